//! [`Setting`]: everything that can be set, under its canonical name; and [`Change`], a setting
//! with its value, read from text and written as text.

use std::time::Duration;

use pool_core::{PoolConfig, Reuse, Validation};
use pool_sql::Secret;

use crate::database::Mode;
use crate::preset::Preset;
use crate::ssl::SslMode;
use crate::term::Term;

macro_rules! settings {
    (
        pool { $($pool:ident $name:ident $env:literal: $type:ty,)* }
        other {
            $($(#[$doc:meta])* $other:ident $other_name:literal $other_env:literal: $other_type:ty,)*
        }
    ) => {
        /// Everything that can be set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Setting {
            $(
                #[doc = concat!("[`PoolConfig::", stringify!($name), "`]")]
                $pool,
            )*
            $($(#[$doc])* $other,)*
        }

        impl Setting {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$pool,)* $(Self::$other,)*];

            /// Its name in files, in URLs and in messages: `max_size`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$pool => stringify!($name),)*
                    $(Self::$other => $other_name,)*
                }
            }

            /// Its name in the environment: `DB_POOL_MAX_SIZE`.
            pub fn env_name(self) -> &'static str {
                match self {
                    $(Self::$pool => $env,)*
                    $(Self::$other => $other_env,)*
                }
            }
        }

        /// A setting with its value.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Change {
            $($pool($type),)*
            $($other($other_type),)*
        }

        impl Change {
            pub(crate) fn read(setting: Setting, text: &str) -> Result<Self, String> {
                Ok(match setting {
                    $(Setting::$pool => Self::$pool(<$type>::read(text)?),)*
                    $(Setting::$other => Self::$other(<$other_type>::read(text)?),)*
                }.settled())
            }

            pub(crate) fn setting(&self) -> Setting {
                match self {
                    $(Self::$pool(_) => Setting::$pool,)*
                    $(Self::$other(_) => Setting::$other,)*
                }
            }

            /// The value so that [`Change::read`] reads the same.
            pub(crate) fn show(&self) -> String {
                match self {
                    $(Self::$pool(value) => value.show(),)*
                    $(Self::$other(value) => value.show(),)*
                }
            }

            /// Puts a setting of the pool in its place; the others have none there.
            pub(crate) fn apply(&self, config: &mut PoolConfig) {
                match self {
                    $(Self::$pool(value) => config.$name = value.clone(),)*
                    $(Self::$other(_) => {})*
                }
            }

            /// All settings of a pool.
            pub(crate) fn all_of(config: &PoolConfig) -> Vec<Self> {
                vec![$(Self::$pool(config.$name.clone()),)*]
            }
        }
    };
}

settings! {
    pool {
        Name name "DB_POOL_NAME": String,
        MaxSize max_size "DB_POOL_MAX_SIZE": u32,
        MinSize min_size "DB_POOL_MIN_SIZE": u32,
        MinIdle min_idle "DB_POOL_MIN_IDLE": u32,
        MaxIdle max_idle "DB_POOL_MAX_IDLE": Option<u32>,
        MaxWaiting max_waiting "DB_POOL_MAX_WAITING": Option<u32>,
        MaxConnecting max_connecting "DB_POOL_MAX_CONNECTING": u32,
        AcquireTimeout acquire_timeout "DB_POOL_ACQUIRE_TIMEOUT": Option<Duration>,
        ConnectTimeout connect_timeout "DB_POOL_CONNECT_TIMEOUT": Duration,
        PingTimeout ping_timeout "DB_POOL_PING_TIMEOUT": Duration,
        ResetTimeout reset_timeout "DB_POOL_RESET_TIMEOUT": Duration,
        CloseTimeout close_timeout "DB_POOL_CLOSE_TIMEOUT": Duration,
        IdleTimeout idle_timeout "DB_POOL_IDLE_TIMEOUT": Option<Duration>,
        MaxLifetime max_lifetime "DB_POOL_MAX_LIFETIME": Option<Duration>,
        LifetimeJitter lifetime_jitter "DB_POOL_LIFETIME_JITTER": f64,
        Keepalive keepalive "DB_POOL_KEEPALIVE": Option<Duration>,
        Validation validation "DB_POOL_VALIDATION": Validation,
        Reuse reuse "DB_POOL_REUSE": Reuse,
        BackoffBase backoff_base "DB_POOL_BACKOFF_BASE": Duration,
        BackoffCap backoff_cap "DB_POOL_BACKOFF_CAP": Duration,
        LeakAfter leak_after "DB_POOL_LEAK_AFTER": Option<Duration>,
        FlightRecorder flight_recorder "DB_POOL_FLIGHT_RECORDER": usize,
    }
    other {
        /// SQLAlchemy's `pool_size`: becomes `max_idle`, and with `max_overflow` `max_size`.
        PoolSize "pool_size" "DB_POOL_SIZE": u32,
        /// SQLAlchemy's `max_overflow`: how many connections above `pool_size` there may be.
        MaxOverflow "max_overflow" "DB_POOL_MAX_OVERFLOW": u32,
        /// Which [`Preset`] lies below all else.
        Preset "preset" "DB_POOL_PRESET": &'static Preset,
        /// How TLS is used.
        SslMode "ssl_mode" "DB_SSL_MODE": SslMode,
        /// The database's URL.
        Url "url" "DATABASE_URL": Secret,
        /// Which database is used, where several are set up.
        Mode "database_mode" "DATABASE_MODE": Mode,
        /// The file of an SQLite database.
        SqlitePath "sqlite_path" "SQLITE_DB_PATH": Secret,
        /// Whether metrics are wanted.
        Metrics "metrics" "DB_POOL_METRICS": bool,
        /// Whether the pool's events are to be logged.
        LogEvents "log_events" "DB_POOL_LOG_EVENTS": bool,
        /// How much of the database's doings is to be logged.
        LogLevel "log_level" "DB_LOG_LEVEL": crate::LogLevel,
    }
}

impl Change {
    /// No time is never, for what happens after a time. So it is in Go, in HikariCP and in libpq.
    fn settled(self) -> Self {
        let never = |time: Option<Duration>| time.filter(|time| !time.is_zero());
        match self {
            Self::IdleTimeout(time) => Self::IdleTimeout(never(time)),
            Self::MaxLifetime(time) => Self::MaxLifetime(never(time)),
            Self::Keepalive(time) => Self::Keepalive(never(time)),
            Self::LeakAfter(time) => Self::LeakAfter(never(time)),
            other => other,
        }
    }

    /// What nothing means, such as `null` in a file: no limit, where there can be none.
    pub(crate) fn none(setting: Setting) -> Option<Self> {
        use Setting::{
            AcquireTimeout, IdleTimeout, Keepalive, LeakAfter, MaxIdle, MaxLifetime, MaxWaiting,
        };
        match setting {
            MaxIdle | MaxWaiting | AcquireTimeout | IdleTimeout | MaxLifetime | Keepalive
            | LeakAfter => Self::read(setting, "none").ok(),
            _ => None,
        }
    }

    pub(crate) fn mode(self) -> Option<Mode> {
        match self {
            Self::Mode(mode) => Some(mode),
            _ => None,
        }
    }

    pub(crate) fn preset(self) -> Option<&'static Preset> {
        match self {
            Self::Preset(preset) => Some(preset),
            _ => None,
        }
    }

    /// What names a database.
    pub(crate) fn secret(self) -> Option<Secret> {
        match self {
            Self::Url(url) => Some(url),
            Self::SqlitePath(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it is no setting of the pool and [`Loaded`](crate::Loaded) tells it.
    pub(crate) fn is_kept(&self) -> bool {
        use Change::{LogEvents, LogLevel, Metrics, SslMode};
        matches!(self, SslMode(_) | Metrics(_) | LogEvents(_) | LogLevel(_))
    }
}
