//! [`DatabaseConfig`]: the settings of a service as one plain struct.

use std::time::Duration;

use pool_core::Validation;

use crate::setting::Change;
use crate::ssl::SslMode;

/// The settings of a service as one plain struct, in sqlx's words: all fields are public, so that
/// it is written out in code.
///
/// ```
/// use std::time::Duration;
/// use pool_config::{DatabaseConfig, Loader, SslMode};
///
/// let config = DatabaseConfig {
///     min_connections: 5,
///     max_connections: 20,
///     ssl_mode: SslMode::Require,
///     ..DatabaseConfig::default()
/// };
/// let loaded = Loader::new().database_config(&config).load()?;
/// assert_eq!(loaded.config.min_size, 5);
/// assert_eq!(loaded.config.acquire_timeout, Some(Duration::from_secs(5)));
/// # Ok::<(), pool_config::SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// How many connections are kept open in all. Default: 2.
    pub min_connections: u32,
    /// The most connections there are. Default: 10.
    pub max_connections: u32,
    /// How long it may take to open one. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long one stays that nobody uses. Default: 10 min.
    pub idle_timeout: Option<Duration>,
    /// How old one gets. Default: 30 min.
    pub max_lifetime: Option<Duration>,
    /// How long to wait for one. Default: 5 s.
    pub acquire_timeout: Duration,
    /// How TLS is used. Default: if the server has it.
    pub ssl_mode: SslMode,
    /// Whether each is tested by a round trip before it is handed out. Default: yes.
    pub test_before_acquire: bool,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            min_connections: 2,
            max_connections: 10,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            acquire_timeout: Duration::from_secs(5),
            ssl_mode: SslMode::Prefer,
            test_before_acquire: true,
        }
    }
}

impl DatabaseConfig {
    /// The defaults, and TLS always: nothing goes over the network in plain.
    pub fn production() -> Self {
        Self { ssl_mode: SslMode::Require, ..Self::default() }
    }

    pub(crate) fn changes(&self) -> [Change; 8] {
        let validation = match self.test_before_acquire {
            true => Validation::Always,
            false => Validation::Never,
        };
        [
            Change::MinSize(self.min_connections),
            Change::MaxSize(self.max_connections),
            Change::ConnectTimeout(self.connect_timeout),
            Change::IdleTimeout(self.idle_timeout),
            Change::MaxLifetime(self.max_lifetime),
            Change::AcquireTimeout(Some(self.acquire_timeout)),
            Change::SslMode(self.ssl_mode),
            Change::Validation(validation),
        ]
    }
}
