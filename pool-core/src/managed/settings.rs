//! The settings a pool goes by, and how they are exchanged while it runs.
//!
//! The state machine decides by a [`Tuning`] of its own, under its lock. Here is what the shell
//! reads: all of them, under a lock of their own, for tasks and for who asks; and the acquire
//! timeout once more, which every acquire reads and no lock should cost.
//!
//! An exchange keeps this lock until the machine has its share, so that of two at once the same one
//! comes last for everybody. What the machine asks for is carried out, and the manager told, when both
//! locks are released.

use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::tuning::{Tuning, optional_nanos};
use super::shared::{Shared, quietly};
use crate::reconfigured::Reconfigured;
use crate::sync::{Arc, Mutex, lock};
use crate::{Manager, PoolConfig};

#[repr(C)] // the timeout first, beside what else a checkout reads
pub(crate) struct Settings {
    /// In nanoseconds; `u64::MAX` is none.
    acquire_timeout: AtomicU64,
    present: Mutex<Arc<PoolConfig>>,
    /// What the state machine began with, as a replay does.
    pub(super) birth: Tuning,
}

impl Settings {
    pub(super) fn new(config: PoolConfig, prepare: bool, finish: bool) -> Self {
        Self {
            acquire_timeout: AtomicU64::new(optional_nanos(config.acquire_timeout)),
            birth: Tuning::new(&config, prepare, finish),
            present: Mutex::new(Arc::new(config)),
        }
    }

    /// All of them, as they are now.
    pub(crate) fn present(&self) -> Arc<PoolConfig> {
        lock(&self.present).clone()
    }

    /// How long an acquire that begins now takes at most, in nanoseconds; `u64::MAX` is none.
    #[inline]
    pub(super) fn acquire_timeout(&self) -> u64 {
        self.acquire_timeout.load(Ordering::Relaxed)
    }
}

impl<M: Manager> Shared<M> {
    /// Goes by what `change` makes of the present settings, as far as that can be; it is valid.
    pub(super) fn reconfigure(
        self: &Arc<Self>,
        change: impl FnOnce(&PoolConfig) -> PoolConfig,
    ) -> Reconfigured {
        let (settings, mut out) = (&self.settings, None);
        let done = {
            let mut present = lock(&settings.present);
            let (new, done) = Reconfigured::between(&present, change(&present));
            let tuning = settings.birth.with(&new);
            let acquire_timeout = optional_nanos(new.acquire_timeout);
            settings.acquire_timeout.store(acquire_timeout, Ordering::Relaxed);
            *present = Arc::new(new);
            self.step(self.now(), &mut out, |state| state.retune(Arc::new(tuning)));
            done
        };
        self.perform(out);
        let mut latest = self.settings.present();
        loop {
            quietly(|| self.manager.reconfigured(&latest));
            // Where others came meanwhile, whoever is last tells what holds.
            let present = self.settings.present();
            if Arc::ptr_eq(&latest, &present) {
                return done;
            }
            latest = present;
        }
    }
}
