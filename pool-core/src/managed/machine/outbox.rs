//! What the shell has to do once the lock is released.

use std::task::Waker;

use super::vocabulary::{Caller, SlotKey};
use super::waiters::Waiter;
use crate::Cause;
use crate::sync::Arc;

/// Filled by the state machine, emptied by `Shared::step`. The
/// common case, one waker or nothing, costs no allocation.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    pub(crate) wake: Option<Waker>,
    /// The maintenance task has to look at its alarm again.
    pub(crate) nudge: bool,
    /// A slot became free, a connect ended, or the like: who waits for that has to look.
    pub(crate) changed: bool,
    /// A waiter that was served: its memory is given back outside the lock.
    pub(crate) served: Option<Arc<Waiter<P>>>,
    errands: Option<Box<Errands<P>>>,
}

/// Everything that is rarer than a waker.
#[derive(Debug)]
pub(crate) struct Errands<P> {
    pub(crate) wake: Vec<Waker>,
    /// Wakers to be dropped, which may run a user's code.
    pub(crate) stale: Vec<Waker>,
    pub(crate) connect: Vec<Start>,
    /// With whether a ping is needed, or only what the hooks do.
    pub(crate) validate: Vec<(P, bool)>,
    /// With what is to be cleared, or nothing where only hooks are to run.
    pub(crate) reset: Vec<(P, Option<Cause>)>,
    /// With whether anybody is there to say goodbye to.
    pub(crate) close: Vec<(P, bool)>,
    pub(crate) stalled: Vec<Caller>,
    pub(crate) leaks: Vec<(Caller, u64)>,
}

/// A connect to be started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) slot: SlotKey,
    pub(crate) id: u64,
    pub(crate) attempt: u32,
}

impl<P> Outbox<P> {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        match self.wake {
            None => self.wake = waker,
            Some(_) => self.errands().wake.extend(waker),
        }
    }

    pub(super) fn discard(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.errands().stale.push(waker);
        }
    }

    pub(super) fn errands(&mut self) -> &mut Errands<P> {
        self.errands.get_or_insert_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let quiet = !self.nudge && !self.changed;
        quiet && self.wake.is_none() && self.served.is_none() && self.errands.is_none()
    }

    pub(crate) fn take_errands(&mut self) -> Option<Box<Errands<P>>> {
        self.errands.take()
    }
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        Self { wake: None, nudge: false, changed: false, served: None, errands: None }
    }
}

impl<P> Default for Errands<P> {
    fn default() -> Self {
        Self {
            wake: Vec::new(),
            stale: Vec::new(),
            connect: Vec::new(),
            validate: Vec::new(),
            reset: Vec::new(),
            close: Vec::new(),
            stalled: Vec::new(),
            leaks: Vec::new(),
        }
    }
}
