//! [`ManagedGuard`]: a connection that goes back to its pool by itself.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::machine::vocabulary::{Fate, Verdict};
use super::slot::Live;
use crate::metrics::Released;
use crate::snapshot::CloseReason;
use crate::{Cause, Condition, Manager};

/// A connection taken from a [`ManagedPool`](crate::ManagedPool). Dropping it gives it back:
/// at once if it is clean, by way of a reset in the background if it is not.
///
/// It may be dropped anywhere, outside a runtime too. Dropped while its thread panics, it takes
/// the connection out of use.
pub struct ManagedGuard<M: Manager> {
    live: Option<Box<Live<M>>>,
    invalid: bool,
}

impl<M: Manager> ManagedGuard<M> {
    pub(super) fn new(live: Box<Live<M>>) -> Self {
        Self { live: Some(live), invalid: false }
    }

    /// The connection's number: unique in its pool, counted from 1.
    pub fn id(&self) -> u64 {
        let token = &self.live().token;
        token.shared.read(|state| state.slot(token.key()).id)
    }

    /// Gives the connection up: it is closed and never used again. For errors that only the
    /// application understands, for example "read only" after a failover.
    pub fn invalidate(mut self) {
        self.invalid = true;
    }

    /// Takes the connection out of the pool, which may open another in its place.
    pub fn detach(mut self) -> M::Connection {
        let Live { connection, token } =
            *self.live.take().expect("it is there until it is dropped");
        token.shared.with(|state| state.ending(token.key(), CloseReason::Detached));
        connection
    }

    fn live(&self) -> &Live<M> {
        self.live.as_ref().expect("it is there until it is dropped")
    }
}

impl<M: Manager> Deref for ManagedGuard<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        &self.live().connection
    }
}

impl<M: Manager> DerefMut for ManagedGuard<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        &mut self.live.as_mut().expect("it is there until it is dropped").connection
    }
}

impl<M: Manager> Drop for ManagedGuard<M> {
    fn drop(&mut self) {
        let Some(mut live) = self.live.take() else {
            return;
        };
        let (shared, key) = (live.token.shared.clone(), live.token.key());
        let verdict = if self.invalid {
            Verdict::Broken(Cause::Invalidated)
        } else {
            judge_return(&mut live)
        };
        let now = shared.now();
        if !shared.is_observed() {
            return shared.with_at(now, |state| state.release(key, live, verdict));
        }
        let (held, operation) = shared.with_at(now, |state| {
            let slot = state.slot(key);
            let told = (now.since(slot.since), slot.caller.and_then(|caller| caller.operation));
            state.release(key, live, verdict);
            told
        });
        let (pool, held) = (&*shared.name, Duration::from_nanos(held));
        shared.tell(|m| m.released(&Released { pool, operation, held }));
    }
}

impl<M: Manager> fmt::Debug for ManagedGuard<M>
where
    M::Connection: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManagedGuard").field(&**self).finish()
    }
}

#[inline]
fn judge_return<M: Manager>(live: &mut Live<M>) -> Verdict {
    if std::thread::panicking() {
        return Verdict::Broken(Cause::Panicked);
    }
    let (shared, connection) = (&live.token.shared, &mut live.connection);
    let judged = catch_unwind(AssertUnwindSafe(|| {
        match shared.manager.condition(connection) {
            Condition::Clean => Verdict::Clean,
            Condition::Dirty(cause) => Verdict::Dirty(cause),
            Condition::Broken(cause) => return Verdict::Broken(cause),
        }
        .after(|| {
            let hooks = &shared.after_release;
            hooks.any_boxed() || hooks.run_plain(connection).is_ok()
        })
    }));
    judged.unwrap_or(Verdict::Broken(Cause::Panicked))
}

impl Verdict {
    /// The same, unless a hook does not want to keep the connection.
    fn after(self, keep: impl FnOnce() -> bool) -> Self {
        if keep() { self } else { Self::Broken(Cause::Other("refused by an after_release hook")) }
    }
}

/// Looks at a connection before its user sees it: what is known without a round trip, then the
/// `before_acquire` hooks that need not be awaited.
#[inline]
pub(super) fn judge_checkout<M: Manager>(live: &mut Live<M>) -> Result<(), Fate> {
    let (shared, connection) = (&live.token.shared, &mut live.connection);
    let hooks = &shared.before_acquire;
    let judged = catch_unwind(AssertUnwindSafe(|| {
        match shared.manager.condition(connection) {
            Condition::Clean | Condition::Dirty(Cause::Upkeep) => {}
            Condition::Dirty(cause) => return Err(Fate::Reset(cause)),
            Condition::Broken(cause) => return Err(Fate::Close(cause)),
        }
        if hooks.any_boxed() {
            return Ok(()); // they ran in the background, in their order
        }
        hooks.run_plain(connection).map_err(|error| {
            shared.keep_refusal("before_acquire", error);
            Fate::Refused
        })
    }));
    judged.unwrap_or(Err(Fate::Panicked))
}
