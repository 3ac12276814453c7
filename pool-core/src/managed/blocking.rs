//! Acquiring without async: the thread parks until it is served.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use super::ManagedPool;
use super::acquire::{Acquire, this_thread};
use super::guard::ManagedGuard;
use crate::{AcquireError, AcquireErrorKind, Manager};

/// A pool for threads, see [`ManagedPool::blocking`].
pub struct Blocking<'a, M: Manager>(pub(super) &'a ManagedPool<M>);

impl<M: Manager> Blocking<'_, M> {
    /// Waits for a connection, at most for the pool's `acquire_timeout`.
    ///
    /// # Errors
    /// As [`ManagedPool::acquire`]; and
    /// [`WouldBlockAsync`](AcquireErrorKind::WouldBlockAsync), at once, on a thread that runs
    /// async tasks, since it would stop them all.
    #[track_caller]
    pub fn acquire(&self) -> Result<ManagedGuard<M>, AcquireError> {
        self.run(Acquire::new(&self.0.shared, Location::caller()))
    }

    /// Waits for a connection for at most this long; zero tries once, `None` waits without limit.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_within(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<ManagedGuard<M>, AcquireError> {
        self.run(Acquire::new(&self.0.shared, Location::caller()).within(timeout))
    }

    fn run(&self, acquire: Acquire<'_, M>) -> Result<ManagedGuard<M>, AcquireError> {
        let shared = &self.0.shared;
        let who = this_thread();
        if on_async_worker() {
            let caller = acquire.caller(who);
            shared.with(|state| state.stranded(None));
            return Err(shared.error(AcquireErrorKind::WouldBlockAsync, caller, 0));
        }
        // Most often there is no need for a future, nor for a waker of its own, which is allocated.
        let (now, tried) = match acquire.at_once(who) {
            Ok(guard) => return Ok(guard),
            Err(rest) => rest,
        };
        let mut future = acquire.begun(who, now);
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = future.go_on(Some(now), tried, &mut cx) {
            return outcome;
        }
        let waker = Waker::from(StdArc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut future).poll(&mut cx) {
                return outcome;
            }
            match future.deadline() {
                None => std::thread::park(),
                Some(deadline) => {
                    let left = deadline.since(shared.now());
                    std::thread::park_timeout(Duration::from_nanos(left.max(1)));
                }
            }
        }
    }
}

impl<M: Manager> fmt::Debug for Blocking<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(self.0).finish()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: StdArc<Self>) {
        self.0.unpark();
    }
}

/// Whether this thread is running an async task of tokio now, so that blocking it would stop others:
/// false in `spawn_blocking`, in `block_in_place` and on any other thread. For those who adapt a
/// pool that blocks.
///
/// It cannot tell in `tokio::task::unconstrained`. It costs about a microsecond.
///
/// ```
/// assert!(!pool_core::on_async_worker());
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert!(pool_core::on_async_worker());
/// # });
/// ```
pub fn on_async_worker() -> bool {
    // Only in a task does tokio's budget run out.
    const MORE_THAN_ANY_BUDGET: usize = 300;
    if tokio::runtime::Handle::try_current().is_err() {
        return false;
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut spent = Vec::new();
    while spent.len() < MORE_THAN_ANY_BUDGET {
        match tokio::task::coop::poll_proceed(&mut cx) {
            Poll::Ready(unit) => spent.push(unit),
            Poll::Pending => break,
        }
    }
    let ran_out = spent.len() < MORE_THAN_ANY_BUDGET;
    while spent.pop().is_some() {} // each gives its unit back: last taken, first returned
    ran_out
}
