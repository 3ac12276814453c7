//! [`App`]: the settings of the whole service, of which the pool's are a part.

use std::error::Error;
use std::path::Path;

use clap::ValueEnum;
use figment::providers::{Format as _, Json, Toml, Yaml};
use pool_config::PoolSettings;
use serde::Deserialize;

/// The settings of the service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    /// What the service is called.
    pub(crate) service: String,
    /// The pool's part: any of its words, such as `max_size` or `pool_size`.
    #[serde(default)]
    pub(crate) database: PoolSettings,
}

/// What reads the file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Reader {
    Config,
    Figment,
}

impl App {
    /// Reads the file; its extension says in which format it is.
    pub(crate) fn read(file: &Path, reader: Reader) -> Result<Self, Box<dyn Error>> {
        match reader {
            Reader::Config => {
                let source = config::File::from(file);
                Ok(config::Config::builder().add_source(source).build()?.try_deserialize()?)
            }
            Reader::Figment => {
                let figment = figment::Figment::new();
                let figment = match file.extension().and_then(|extension| extension.to_str()) {
                    Some("yaml" | "yml") => figment.merge(Yaml::file_exact(file)),
                    Some("json") => figment.merge(Json::file_exact(file)),
                    _ => figment.merge(Toml::file_exact(file)),
                };
                Ok(figment.extract()?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pool_config::{Loader, Setting};

    use super::*;

    #[test]
    fn every_format_and_reader_give_the_same_pool() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "a.toml",
                "service = 's'\n[database]\nmax_size = 20\nidle_timeout = '1h30m'\npool_pre_ping = true\n",
            ),
            (
                "a.yaml",
                "service: s\ndatabase:\n  max_size: 20\n  idle_timeout: 1h30m\n  pool_pre_ping: true\n",
            ),
            (
                "a.json",
                r#"{"service": "s", "database": {"max_size": 20, "idle_timeout": "1h30m", "pool_pre_ping": true}}"#,
            ),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            for reader in [Reader::Config, Reader::Figment] {
                let app = App::read(&file, reader).unwrap();
                let loaded = Loader::new().file(name, &app.database).load().unwrap();
                assert_eq!((&*app.service, loaded.config.max_size), ("s", 20), "{name} {reader:?}");
                let shown = loaded.source(Setting::IdleTimeout).to_string();
                assert_eq!(shown, format!("idle_timeout in {name}"));
                assert_eq!(loaded.config.validation, pool_core::Validation::Always);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        std::fs::write(&file, "service = 's'\n[databse]\nmax_size = 20").unwrap();
        for reader in [Reader::Config, Reader::Figment] {
            let error = App::read(&file, reader).unwrap_err().to_string();
            assert!(error.contains("databse"), "{error}");
        }
    }
}
