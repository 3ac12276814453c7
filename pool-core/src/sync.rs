//! The one place where locks come from, and where they are exchanged for a model checker's: loom's
//! in tests under `--cfg pool_loom`, shuttle's under `--cfg pool_shuttle`.

pub(crate) use std::sync::Arc;
#[cfg(not(pool_shuttle))]
pub(crate) use std::thread_local;

#[cfg(all(test, pool_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
#[cfg(pool_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
#[cfg(pool_shuttle)]
pub(crate) use shuttle::thread_local;
#[cfg(not(any(all(test, pool_loom), pool_shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicUsize};

/// Locks; a poisoned lock is taken over, since nothing of a user's ever runs under one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    SECTIONS.set(SECTIONS.get() + 1);
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
thread_local! {
    /// How many lock sections this thread has entered.
    pub(crate) static SECTIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
