//! `/metrics/database/config`: the settings by which pools go now.

use std::time::Duration;

use pool_core::{PoolConfig, Validation};
use serde::Serialize;

use crate::watched::Report;

/// The settings of a database's pools. Numbers: where it is and who logs in is not told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Config {
    /// The name the database is watched under.
    pub pool: String,
    /// Each of its pools: one, or writer and readers.
    pub sides: Vec<SideConfig>,
}

macro_rules! side {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $value:expr;)*) => {
        /// The settings of one pool; times in seconds, `null` for never or without limit.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
        #[non_exhaustive]
        pub struct SideConfig {
            /// The pool's name, as in all that is exported.
            pub name: String,
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl From<&PoolConfig> for SideConfig {
            fn from(config: &PoolConfig) -> Self {
                Self { name: config.name.clone(), $($field: $value(config),)* }
            }
        }
    };
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

side! {
    /// How many are kept open in all.
    min_connections: u32 = |c: &PoolConfig| c.min_size;
    /// The most there ever are.
    max_connections: u32 = |c: &PoolConfig| c.max_size;
    /// How many spare ones are kept open.
    min_idle: u32 = |c: &PoolConfig| c.min_idle;
    /// How many may stay open unused.
    max_idle: u32 = |c: &PoolConfig| c.max_idle.unwrap_or(c.max_size);
    /// How many may wait.
    max_waiting: Option<u32> = |c: &PoolConfig| c.max_waiting;
    /// How many connects run at once.
    max_connecting: u32 = |c: &PoolConfig| c.max_connecting;
    /// How long an acquire takes at most.
    acquire_timeout_seconds: Option<f64> = |c: &PoolConfig| seconds(c.acquire_timeout);
    /// How long a connect may take.
    connect_timeout_seconds: f64 = |c: &PoolConfig| c.connect_timeout.as_secs_f64();
    /// How long a ping may take.
    ping_timeout_seconds: f64 = |c: &PoolConfig| c.ping_timeout.as_secs_f64();
    /// How long a reset may take.
    reset_timeout_seconds: f64 = |c: &PoolConfig| c.reset_timeout.as_secs_f64();
    /// How long a goodbye may take.
    close_timeout_seconds: f64 = |c: &PoolConfig| c.close_timeout.as_secs_f64();
    /// How long a spare connection stays.
    idle_timeout_seconds: Option<f64> = |c: &PoolConfig| seconds(c.idle_timeout);
    /// How old a connection gets.
    max_lifetime_seconds: Option<f64> = |c: &PoolConfig| seconds(c.max_lifetime);
    /// How often an idle connection is pinged.
    keepalive_seconds: Option<f64> = |c: &PoolConfig| seconds(c.keepalive);
    /// After how long unused a connection is proven before it is handed out; 0: always.
    validate_after_idle_seconds: Option<f64> = |c: &PoolConfig| match c.validation {
        Validation::Always => Some(0.0),
        Validation::IfIdleFor(idle) => Some(idle.as_secs_f64()),
        _ => None,
    };
    /// A connection held for longer is reported.
    leak_after_seconds: Option<f64> = |c: &PoolConfig| seconds(c.leak_after);
}

impl Config {
    /// Of a database as it is now.
    pub fn of(report: &Report) -> Self {
        Self { pool: report.name.clone(), sides: sides(report) }
    }
}

pub(super) fn sides(report: &Report) -> Vec<SideConfig> {
    let named = report.sides.iter().map(|side| side.snapshot.name.clone()).zip(&report.configs);
    named.map(|(name, config)| SideConfig { name, ..SideConfig::from(&**config) }).collect()
}
