//! [`Reconfigured`]: what other settings have changed in a running pool, and what they could not.

use std::fmt;

use crate::PoolConfig;

/// What [`ManagedPool::reconfigure`](crate::ManagedPool::reconfigure) has done. Settings go by the
/// names of their fields in [`PoolConfig`], in the order in which those are declared.
///
/// Its `Display` says it in one sentence: `changed max_size, idle_timeout; needs a restart: name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconfigured {
    /// What is different from before, from now on.
    pub changed: Vec<&'static str>,
    /// What should be different and stays as it is until the pool is built anew.
    pub needs_restart: Vec<&'static str>,
}

impl Reconfigured {
    /// What is to become of the one, where the other is wanted: both what there will be and what
    /// is said of it. For pools that are made of several.
    ///
    /// ```
    /// # use pool_core::{PoolConfig, Reconfigured};
    /// let wanted = PoolConfig::new().max_size(3).name("shop");
    /// let (next, done) = Reconfigured::between(&PoolConfig::new(), wanted);
    /// assert_eq!(next, PoolConfig::new().max_size(3));
    /// assert_eq!(done.to_string(), "changed max_size; needs a restart: name");
    /// ```
    pub fn between(present: &PoolConfig, wanted: PoolConfig) -> (PoolConfig, Self) {
        let new = PoolConfig {
            name: present.name.clone(),
            flight_recorder: present.flight_recorder,
            ..wanted.clone()
        };
        let done = Self { changed: new.differing(present), needs_restart: new.differing(&wanted) };
        (new, done)
    }
}

impl fmt::Display for Reconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = if self.changed.is_empty() { "nothing" } else { &self.changed.join(", ") };
        write!(f, "changed {changed}")?;
        if !self.needs_restart.is_empty() {
            write!(f, "; needs a restart: {}", self.needs_restart.join(", "))?;
        }
        Ok(())
    }
}
