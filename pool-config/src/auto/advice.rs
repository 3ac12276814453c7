//! [`Advice`]: what an [`Advisor`](super::Advisor) found, in numbers and in words.

use std::fmt;

use pool_core::PoolConfig;

use crate::Machine;

/// Settings, and why. Displays as a line for each with its arithmetic, and a line for each warning.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// The settings: what is advised, the rest [`PoolConfig`]'s defaults. Valid.
    pub config: PoolConfig,
    /// For SQLite: the page cache of all connections together, in KiB
    /// (`SqliteOptions::cache_budget`).
    pub cache_budget: Option<u32>,
    /// Why, for each setting that is advised.
    pub reasons: Vec<Reason>,
    /// What will not work well, and what to do about it.
    pub warnings: Vec<String>,
    /// What the machine was taken for: its text says where each of its figures stands.
    pub machine: Machine,
}

impl Advice {
    /// Sets what is advised, and only that: for a backend's own defaults or settings of yours.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pool_config::{Advisor, Backend, Machine};
    /// # use pool_core::PoolConfig;
    /// let advice = Advisor::new(Backend::Sqlite).machine(Machine::new(4.0)).advise();
    /// let config = advice.apply(PoolConfig::new().acquire_timeout(Duration::from_secs(5)));
    /// assert_eq!((config.max_size, config.acquire_timeout), (9, Some(Duration::from_secs(5))));
    /// ```
    #[must_use]
    pub fn apply(&self, config: PoolConfig) -> PoolConfig {
        config.max_size(self.config.max_size)
    }

    pub(super) fn reason(&mut self, setting: &'static str, value: u32, because: String) {
        self.reasons.push(Reason { setting, value: value.to_string(), because });
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.reasons.iter().enumerate() {
            let lead = if i == 0 { "" } else { "\n" };
            write!(f, "{lead}{reason}")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}

/// Why a setting is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason {
    /// Its name, as in [`PoolConfig`] or [`Advice`].
    pub setting: &'static str,
    /// Its value.
    pub value: String,
    /// The arithmetic.
    pub because: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.setting, self.value, self.because)
    }
}
