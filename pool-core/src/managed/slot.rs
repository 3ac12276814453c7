//! Capacity as a value: the token of a slot, and a live connection with its token.
//!
//! A slot is taken as long as its token exists. Whatever happens to the code that has it (an early
//! return, a panic, a task dropped with its runtime), the token's `Drop` frees the slot and serves
//! the queue. Tokens are never dropped under the pool's lock: the state machine only moves them. Were
//! it to panic, the connection in its hands would lose its slot, but nobody would hang.

use std::time::Duration;

use super::machine::vocabulary::SlotKey;
use super::shared::{Shared, in_the_machine, quietly};
use crate::Manager;
use crate::metrics::Closed;
use crate::sync::Arc;

pub(crate) struct SlotToken<M: Manager> {
    pub(crate) shared: Arc<Shared<M>>,
    key: u32,
    /// Nobody has used the connection yet.
    pub(crate) fresh: bool,
    /// The connection's end was not confirmed in time.
    pub(crate) abandoned: bool,
    /// The state machine knows already that the slot is free.
    pub(crate) spent: bool,
}

/// A connection in its slot. The connection is dropped first: a slot is free when its connection
/// has ended.
pub(crate) struct Live<M: Manager> {
    pub(crate) connection: M::Connection,
    pub(crate) token: SlotToken<M>,
}

impl<M: Manager> SlotToken<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, key: SlotKey) -> Self {
        let key = u32::try_from(key).expect("max_size fits");
        Self { shared, key, fresh: true, abandoned: false, spent: false }
    }

    pub(crate) fn key(&self) -> SlotKey {
        self.key as SlotKey
    }
}

impl<M: Manager> Drop for SlotToken<M> {
    fn drop(&mut self) {
        if self.spent || in_the_machine() {
            return;
        }
        let (now, abandoned) = (self.shared.now(), self.abandoned);
        let ended = self.shared.with_at(now, |state| state.ended(self.key(), abandoned));
        if let Some((id, reason, born)) = ended {
            let age = Duration::from_nanos(now.since(born));
            let pool = &self.shared.name;
            self.shared.tell(|m| m.closed(&Closed { pool, id, reason, age, abandoned }));
        }
    }
}

/// Drops what may be a user's, whose panic is its own affair.
pub(crate) fn discard<T>(value: T) {
    quietly(|| drop(value));
}
