//! [`Loader`]: all the sources of settings, joined into one [`Loaded`].
//!
//! Each source becomes a [`Layer`]. Then the layers are laid one over the other, the weakest first:
//! the backend's own values, preset, file, URL, environment, program. What is wrong is collected on
//! the way and told at the end, all at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use pool_core::PoolConfig;
use pool_sql::Secret;

use crate::database_config::DatabaseConfig;
use crate::error::{SettingsError, SettingsFault};
use crate::file::PoolSettings;
use crate::layer::{Layer, unknown};
use crate::loaded::Loaded;
use crate::merge::Merge;
use crate::preset::Preset;
use crate::setting::{Change, Setting};
use crate::source::Source;
use crate::ssl::SslMode;
use crate::target::{Database, Places};
use crate::url::split;
use crate::words::{Place, Reading};

type Changing = Box<dyn FnOnce(PoolConfig) -> PoolConfig>;

/// Names in the environment that begin so should be settings.
const PREFIX: &str = "DB_POOL_";

/// Where the settings of a pool come from.
///
/// In this order, whoever says something first is right: the program ([`change`](Self::change)),
/// the environment ([`env`](Self::env)), the parameters of the URL, a file ([`file`](Self::file)),
/// a preset, and what the backend has by itself.
///
/// ```
/// use pool_config::{Loader, Setting};
///
/// let env = [("DB_MAX_OPEN_CONNS", "40"), ("DB_CONN_MAX_LIFETIME", "1h30m")];
/// let loaded = Loader::new()
///     .url("postgres://app:secret@host/shop?connection_limit=20&pool_timeout=10")
///     .env_from(env)
///     .change(|config| config.name("shop"))
///     .load()?;
/// assert_eq!(loaded.config.max_size, 40);
/// assert_eq!(
///     loaded.source(Setting::AcquireTimeout).to_string(),
///     "pool_timeout in the URL",
/// );
/// println!("{loaded}"); // every setting, its value and where it comes from; no secret
/// # Ok::<(), pool_config::SettingsError>(())
/// ```
#[derive(Default)]
#[must_use = "nothing is read until it is loaded"]
pub struct Loader {
    defaults: Option<Changing>,
    change: Option<Changing>,
    code: Layer,
    knows_database: bool,
    env: Vec<(OsString, OsString)>,
    files: Vec<(String, PoolSettings)>,
}

impl Loader {
    /// No source at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this process's environment, with the names of [WORDS.md](crate#words). It is never
    /// written.
    pub fn env(self) -> Self {
        self.env_from(std::env::vars_os())
    }

    /// Reads these variables instead of the process's.
    pub fn env_from<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.env.extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The database's URL; `DATABASE_URL`, `DATABASE_MODE` and `SQLITE_DB_PATH` are not looked at
    /// then. The pool's own parameters are taken out of it, see [`Database::url`].
    pub fn url(self, url: impl Into<String>) -> Self {
        self.without_database().own(Change::Url(url.into().into()))
    }

    /// Does not look for a database: for a program that knows its own.
    pub fn without_database(mut self) -> Self {
        self.knows_database = true;
        self
    }

    /// Takes settings from a file, or from wherever serde read them. `file` is its name in
    /// messages. Of several files the first is right.
    pub fn file(mut self, file: impl Into<String>, settings: &PoolSettings) -> Self {
        self.files.push((file.into(), settings.clone()));
        self
    }

    /// What lies below all else. A preset that the environment or a file names does not count then.
    pub fn preset(self, preset: &'static Preset) -> Self {
        self.own(Change::Preset(preset))
    }

    /// How TLS is used, whatever the URL says.
    pub fn ssl_mode(self, mode: SslMode) -> Self {
        self.own(Change::SslMode(mode))
    }

    /// Takes all settings of a [`DatabaseConfig`], whatever the other sources say.
    pub fn database_config(self, config: &DatabaseConfig) -> Self {
        let DatabaseConfig { ssl_mode, .. } = *config;
        let config = config.clone();
        self.change(move |pool| config.apply_to(pool)).ssl_mode(ssl_mode)
    }

    /// Changes settings after all sources were read; what is changed here counts. Later calls are
    /// right over earlier ones.
    pub fn change(mut self, change: impl FnOnce(PoolConfig) -> PoolConfig + 'static) -> Self {
        self.change = Some(match self.change {
            None => Box::new(change),
            Some(earlier) => Box::new(move |config| change(earlier(config))),
        });
        self
    }

    /// Changes what counts where no source says anything: the program's own idea of it, below all
    /// sources.
    pub fn defaults(mut self, change: impl FnOnce(PoolConfig) -> PoolConfig + 'static) -> Self {
        self.defaults = Some(Box::new(change));
        self
    }

    /// Reads all sources over the engine's own values.
    ///
    /// # Errors
    /// All that makes no sense: values that are none, names that disagree, entries of a file that
    /// are not known, settings that do not go together.
    pub fn load(self) -> Result<Loaded, SettingsError> {
        self.load_onto(|_| PoolConfig::default())
    }

    /// As [`load`](Self::load), over what a backend has by itself.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_onto(
        self,
        base: impl FnOnce(Option<&Database>) -> PoolConfig,
    ) -> Result<Loaded, SettingsError> {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let mut code = self.code;
        let mut env = read_env(&self.env, &mut faults, &mut warnings);
        let files = self.files.iter().map(|file| read_file(file, &mut faults));
        let mut files: Vec<_> = files.collect();

        let given = code.take(Setting::Url);
        let mut named = |setting| {
            let mut layers = [&mut code, &mut env].into_iter().chain(&mut files);
            layers.find_map(|layer| layer.take(setting))
        };
        let preset = named(Setting::Preset);
        let (url, mode, sqlite_path) = match self.knows_database {
            true => (given, None, None),
            false => (named(Setting::Url), named(Setting::Mode), named(Setting::SqlitePath)),
        };
        let source = |of: &Option<(_, Source)>| of.as_ref().map(|(_, source)| source.clone());
        let (url_source, mode_source) = (source(&url), source(&mode));

        let url = url.and_then(|url| read_url(url, &mut faults));
        let places = Places {
            mode: mode.and_then(|(mode, _)| mode.into_mode()),
            url: url.as_ref().map(|(url, _)| url.clone()),
            sqlite_path: sqlite_path.map(|(path, _)| path.show()),
        };
        let database = places.choose().unwrap_or_else(|(setting, want)| {
            let source = if setting == Setting::Mode { mode_source } else { url_source };
            let place = source.unwrap_or(Source::Code).of(setting);
            faults.push(SettingsFault::new(place, None, want));
            None
        });
        let is_used = |url: &Secret| database.as_ref().is_none_or(|used| used.url == *url);
        let url_layer = url.filter(|(url, _)| is_used(url)).map(|(_, layer)| layer);
        let preset = match preset {
            Some((Change::Preset(preset), _)) => Some(preset),
            _ if database.as_ref().is_some_and(|database| database.is_supabase) => {
                Preset::named("supabase").ok()
            }
            _ => None,
        };

        let base = base(database.as_ref());
        let mut merge = Merge::new(match self.defaults {
            Some(change) => change(base),
            None => base,
        });
        merge.lay(preset.map(read_preset).unwrap_or_default());
        files.into_iter().rev().for_each(|file| merge.lay(file));
        let url_ssl = url_layer.as_ref().and_then(Layer::ssl_mode);
        merge.lay(url_layer.unwrap_or_default());
        merge.lay(env);
        merge.lay(code);
        if let Some(change) = self.change {
            merge.change(change);
        }
        let mut loaded = merge.finish(&mut faults);
        if let (Some(ours), Some(urls)) = (loaded.ssl_mode(), url_ssl)
            && ours < urls
        {
            let source = loaded.source(Setting::SslMode);
            warnings.push(format!("ssl_mode is {ours} by {source}: weaker than the URL's {urls}"));
        }
        if !faults.is_empty() {
            return Err(SettingsError { faults });
        }
        loaded.database = database;
        loaded.warnings = warnings;
        Ok(loaded)
    }

    fn own(mut self, change: Change) -> Self {
        self.code.set(change, Source::Code);
        self
    }
}

/// The settings among the variables.
fn read_env(
    variables: &[(OsString, OsString)],
    faults: &mut Vec<SettingsFault>,
    warnings: &mut Vec<String>,
) -> Layer {
    let mut layer = Layer::default();
    // What is given later for the same name takes the place of what was given before.
    let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name, value)).collect();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        if Reading::of(name, Place::Env).is_none() {
            if name.starts_with(PREFIX) {
                let source = Source::Environment(name.to_owned());
                warnings.push(format!("{source}: {}", unknown(name, Place::Env)));
            }
            continue;
        }
        let source = Source::Environment(name.to_owned());
        let added = match value.to_str() {
            Some(value) => layer.add(name, value, Place::Env, source),
            None => Err(SettingsFault::new(source, None, "want UTF-8".into())),
        };
        faults.extend(added.err());
    }
    layer
}

/// The URL for the driver, and the settings that stood in it.
fn read_url(
    (url, source): (Change, Source),
    faults: &mut Vec<SettingsFault>,
) -> Option<(Secret, Layer)> {
    let Change::Url(url) = url else { return None };
    let split = match split(url.expose()) {
        Ok(split) => split,
        Err(want) => {
            faults.push(SettingsFault::new(source.of(Setting::Url), None, want.into()));
            return None;
        }
    };
    let mut layer = Layer::default();
    for (name, value) in split.pool {
        faults.extend(layer.add(&name, &value, Place::Url, Source::Url(name.clone())).err());
    }
    if let Some((name, mode)) = split.ssl {
        layer.set(Change::SslMode(mode), Source::Url(name));
    }
    Some((split.url, layer))
}

fn read_file((file, settings): &(String, PoolSettings), faults: &mut Vec<SettingsFault>) -> Layer {
    let mut layer = Layer::default();
    for (key, value) in &settings.entries {
        let source = Source::File { file: file.clone(), key: key.clone() };
        faults.extend(layer.add(key, value, Place::Key, source).err());
    }
    layer
}

fn read_preset(preset: &'static Preset) -> Layer {
    let mut layer = Layer::default();
    for (word, value) in preset.words() {
        let added = layer.add(word, value, Place::Key, Source::Preset(preset.name()));
        debug_assert!(added.is_ok(), "{added:?}"); // a test reads them all
    }
    layer
}

/// Which sources there are; no value.
impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("change", &self.change.is_some())
            .field("variables", &self.env.len())
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
