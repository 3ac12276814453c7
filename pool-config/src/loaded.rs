//! [`Loaded`]: the settings that came of all sources, and where each comes from.

use std::collections::BTreeMap;
use std::fmt;

use pool_core::PoolConfig;

use crate::LogLevel;
use crate::database::Database;
use crate::setting::{Change, Setting};
use crate::source::Source;
use crate::ssl::SslMode;

/// The settings that came of all sources. `Display` shows each with its value and its source, and
/// no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// How the pool behaves. It is valid. Not in it: the [`database`](Self::database) and the
    /// [`ssl_mode`](Self::ssl_mode).
    pub config: PoolConfig,
    /// Which database is meant, if any was named.
    pub database: Option<Database>,
    /// What is odd and no error: names that look like settings and are none.
    pub warnings: Vec<String>,
    others: BTreeMap<Setting, Change>,
    sources: BTreeMap<Setting, Source>,
}

impl Loaded {
    pub(crate) fn new(
        config: PoolConfig,
        others: BTreeMap<Setting, Change>,
        sources: BTreeMap<Setting, Source>,
    ) -> Self {
        Self { config, database: None, warnings: Vec::new(), others, sources }
    }

    /// Where a setting's value comes from.
    pub fn source(&self, setting: Setting) -> Source {
        self.sources.get(&setting).cloned().unwrap_or(Source::Default)
    }

    /// How TLS is to be used, if anybody said so. If its source is the URL, the driver reads it
    /// there; else it is for you to hand on, since it is no setting of the pool's and not in
    /// [`config`](Self::config): `options.sslmode(mode.as_str().parse()?)`, for MySQL `ssl_mode`.
    /// `pool-any` does so by itself.
    pub fn ssl_mode(&self) -> Option<SslMode> {
        match self.others.get(&Setting::SslMode) {
            Some(Change::SslMode(mode)) => Some(*mode),
            _ => None,
        }
    }

    /// Whether metrics are wanted. Default: yes.
    pub fn metrics(&self) -> bool {
        !matches!(self.others.get(&Setting::Metrics), Some(Change::Metrics(false)))
    }

    /// Whether the pool's events are to be logged. Default: no.
    pub fn log_events(&self) -> bool {
        matches!(self.others.get(&Setting::LogEvents), Some(Change::LogEvents(true)))
    }

    /// How much of the database's doings is to be logged, if anybody said so.
    pub fn log_level(&self) -> Option<LogLevel> {
        match self.others.get(&Setting::LogLevel) {
            Some(Change::LogLevel(level)) => Some(*level),
            _ => None,
        }
    }

    /// All settings of the pool as variables of the environment, which [`Loader`](crate::Loader)
    /// reads as the same settings. The URL is not among them, nor is an empty name.
    pub fn to_env(&self) -> Vec<(&'static str, String)> {
        let pool = Change::all_of(&self.config);
        let pool = pool.into_iter().map(|change| (change.setting().env_name(), change.show()));
        pool.filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            let source = [Setting::Url, Setting::SqlitePath]
                .into_iter()
                .find_map(|setting| self.sources.get(&setting))
                .unwrap_or(&Source::Default);
            writeln!(f, "{:18} {:10} {source}", "database", database.backend.as_str())?;
        }
        let pool = Change::all_of(&self.config);
        for change in pool.iter().chain(self.others.values()) {
            let (setting, source) = (change.setting(), self.source(change.setting()));
            writeln!(f, "{:18} {:10} {source}", setting.name(), change.show())?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
