//! [`PoolConfig`] in the numbers the engine counts in: sizes, and nanoseconds where `u64::MAX` is
//! never. All of it can be exchanged while a pool runs, but for what follows from its hooks.

use std::time::Duration;

use crate::{PoolConfig, Reuse, Validation};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuning {
    pub(crate) sizes: Sizes,
    pub(crate) max_waiting: usize,
    pub(crate) max_connecting: usize,
    pub(crate) idle_timeout: u64,
    pub(crate) max_lifetime: u64,
    pub(crate) jitter: f64,
    pub(crate) keepalive: u64,
    /// Idle for this long, a connection is proven before use: 0 is always.
    pub(crate) validate_after: u64,
    pub(crate) lifo: bool,
    /// There are asynchronous `before_acquire` hooks: every hand-out goes through validation.
    pub(crate) prepare: bool,
    /// There are asynchronous `after_release` hooks: every return goes through a reset.
    pub(crate) finish: bool,
    pub(crate) backoff_base: u64,
    pub(crate) backoff_cap: u64,
    pub(crate) leak_after: u64,
}

/// How many connections there may be and should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) max_size: usize,
    pub(crate) min_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: usize,
}

impl Sizes {
    pub(crate) fn new(config: &PoolConfig) -> Self {
        let max_size = config.max_size as usize;
        Self {
            max_size,
            min_size: config.min_size as usize,
            min_idle: config.min_idle as usize,
            max_idle: config.max_idle.map_or(max_size, |n| n as usize).min(max_size),
        }
    }
}

impl Tuning {
    pub(crate) fn new(config: &PoolConfig, prepare: bool, finish: bool) -> Self {
        Self {
            sizes: Sizes::new(config),
            max_waiting: config.max_waiting.map_or(usize::MAX, |n| n as usize),
            max_connecting: config.max_connecting as usize,
            idle_timeout: optional_nanos(config.idle_timeout),
            max_lifetime: optional_nanos(config.max_lifetime),
            jitter: config.lifetime_jitter,
            keepalive: optional_nanos(config.keepalive),
            validate_after: match config.validation {
                Validation::Always => 0,
                Validation::IfIdleFor(idle) => nanos(idle),
                Validation::Never => u64::MAX,
            },
            lifo: config.reuse == Reuse::Lifo,
            prepare,
            finish,
            backoff_base: nanos(config.backoff_base),
            backoff_cap: nanos(config.backoff_cap),
            leak_after: optional_nanos(config.leak_after),
        }
    }

    /// The same pool by other settings.
    pub(crate) fn with(&self, config: &PoolConfig) -> Self {
        Self::new(config, self.prepare, self.finish)
    }
}

/// None is never.
pub(crate) fn optional_nanos(duration: Option<Duration>) -> u64 {
    duration.map_or(u64::MAX, nanos)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}
