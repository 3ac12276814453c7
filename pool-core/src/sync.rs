//! The one place where std's locks are exchanged for loom's (`--cfg pool_loom`).

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks; a poisoned lock is taken over, since nothing of a user's ever runs under one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
