//! [`Loader`]: all the sources of settings, joined into one [`Loaded`].
//!
//! Each source becomes a [`Layer`]. Then the layers are laid one over the other, the weakest first:
//! the backend's own values, preset, file, URL, environment, program. What is wrong is collected on
//! the way and told at the end, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use pool_core::PoolConfig;
use pool_sql::ServerUrl;

use crate::database::{Chosen, Database, Mode, Places};
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
use crate::url::{plain, split};
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
    pub fn database_config(mut self, config: &DatabaseConfig) -> Self {
        for change in config.changes() {
            self.code.set(change, Source::Code);
        }
        self
    }

    /// Changes settings after all sources were read; what is different then counts. Later calls are
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
        let mut found = Findings::default();
        let mut code = self.code;
        let mut env = found.env(&self.env);
        let mut files: Vec<_> = self.files.iter().map(|file| found.file(file)).collect();

        // What chooses among databases and presets: of each the strongest counts.
        let mut take = |setting| {
            let layers = [&mut code, &mut env].into_iter().chain(&mut files);
            let all: Vec<_> = layers.filter_map(|layer| layer.take(setting)).collect();
            all.into_iter().next()
        };
        let preset = take(Setting::Preset);
        let url = take(Setting::Url);
        let mut places = Places {
            mode: take(Setting::Mode).and_then(|(mode, source)| Some((mode.mode()?, source))),
            url: url.and_then(|(url, source)| Some((url.secret()?, source))),
            sqlite_path: take(Setting::SqlitePath)
                .and_then(|(path, source)| Some((path.secret()?, source))),
        };
        if self.knows_database {
            let given = places.url.filter(|(_, source)| *source == Source::Code);
            places = Places { url: given, ..Places::default() };
        }
        let mode = places.mode.as_ref().map(|(mode, _)| *mode);
        let chosen = found.choose(places);
        let (database, url_layer) = match chosen.clone() {
            Some((database, setting, source)) => found.split(database, &source.of(setting)),
            None => (None, Layer::default()),
        };
        let preset = match preset {
            Some((preset, source)) => preset.preset().map(|preset| (preset, Some(source))),
            None => mode.and_then(Mode::preset).map(|preset| (preset, None)),
        };

        let base = base(database.as_ref());
        let mut merge = Merge::new(match self.defaults {
            Some(change) => change(base),
            None => base,
        });
        if let Some((_, setting, source)) = chosen {
            merge.note(setting, Some(source));
        }
        if let Some((preset, source)) = preset {
            merge.lay(read_preset(preset));
            merge.note(Setting::Preset, source);
        }
        let url_ssl = url_layer.ssl_mode();
        for layer in files.into_iter().rev().chain([url_layer, env, code]) {
            found.broken.extend(layer.broken());
            merge.lay(layer);
        }
        merge.settle_sizes(&mut found.faults);
        if let Some(change) = self.change {
            merge.change(change);
        }
        let mut loaded = merge.finish(&found.broken, &mut found.faults);
        if let (Some(ours), Some(urls)) = (loaded.ssl_mode(), url_ssl)
            && ours < urls
        {
            let source = loaded.source(Setting::SslMode);
            let warning = format!("ssl_mode is {ours} by {source}: weaker than the URL's {urls}");
            found.warnings.push(warning);
        }
        let Findings { faults, warnings, .. } = found;
        if !faults.is_empty() {
            return Err(SettingsError { faults, warnings });
        }
        (loaded.database, loaded.warnings) = (database, warnings);
        Ok(loaded)
    }

    fn own(mut self, change: Change) -> Self {
        self.code.set(change, Source::Code);
        self
    }
}

/// What is found out while the sources are read.
#[derive(Default)]
struct Findings {
    faults: Vec<SettingsFault>,
    warnings: Vec<String>,
    /// Settings about which something was said that makes no sense.
    broken: BTreeSet<Setting>,
}

impl Findings {
    /// The settings among the variables.
    fn env(&mut self, variables: &[(OsString, OsString)]) -> Layer {
        let mut layer = Layer::default();
        // What is given later for the same name takes the place of what was given before.
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| (name, value)).collect();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let source = Source::Environment(name.to_owned());
            if Reading::of(name, Place::Env).is_none() {
                if name.starts_with(PREFIX) {
                    self.warnings.push(format!("{source}: {}", unknown(name, Place::Env)));
                }
                continue;
            }
            let added = match value.to_str() {
                Some(value) => layer.add(name, value, Place::Env, source),
                None => Err(SettingsFault::new(source, None, "want UTF-8".into())),
            };
            self.faults.extend(added.err());
        }
        layer
    }

    fn file(&mut self, (file, settings): &(String, PoolSettings)) -> Layer {
        let mut layer = Layer::default();
        for (key, value) in &settings.entries {
            let source = Source::File { file: file.clone(), key: key.clone() };
            let added = match value {
                Some(value) => layer.add(key, value, Place::Key, source),
                None => layer.add_none(key, Place::Key, source),
            };
            self.faults.extend(added.err());
        }
        layer
    }

    /// Which database is used.
    fn choose(&mut self, places: Places) -> Option<Chosen> {
        let mode = places.mode.clone();
        let chosen = places.choose().unwrap_or_else(|fault| {
            self.faults.push(fault);
            None
        });
        if let (Some((mode, source)), None, true) = (mode, &chosen, self.faults.is_empty()) {
            let want = if mode == Mode::Sqlite { Setting::SqlitePath } else { Setting::Url };
            let want = want.env_name();
            self.warnings.push(format!("{source} is {mode}, but {want} is not set: no database"));
        }
        chosen
    }

    /// The database with the URL for its driver, and the settings that stood in it.
    fn split(&mut self, database: Database, place: &str) -> (Option<Database>, Layer) {
        let mut layer = Layer::default();
        let split = match split(database.url.expose()) {
            Ok(split) => split,
            Err(want) => {
                self.faults.push(SettingsFault::new(place, None, want.into()));
                return (None, layer);
            }
        };
        for (name, value) in split.pool {
            let source = Source::Url(name.clone());
            let added = match ServerUrl::decode(&value) {
                Ok(value) => layer.add(&plain(&name), &value, Place::Url, source),
                Err(want) => Err(SettingsFault::new(source, None, want.into())),
            };
            self.faults.extend(added.err());
        }
        if let Some((name, mode)) = split.ssl {
            layer.set(Change::SslMode(mode), Source::Url(name));
        }
        (Some(Database { url: split.url, ..database }), layer)
    }
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
