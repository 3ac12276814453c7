//! Whether a connection may stay, and whether it has to be proven before its next use.

use super::record::Slot;
use super::state::State;
use super::vocabulary::Phase;
use crate::snapshot::CloseReason;

impl<P> State<P> {
    /// Why this connection must not stay, if so.
    #[inline]
    pub(super) fn unfit(&self, slot: &Slot) -> Option<CloseReason> {
        if self.closed {
            Some(CloseReason::PoolClosed)
        } else if slot.generation != self.generation {
            Some(CloseReason::Invalidated)
        } else if self.slots.len() - self.count(Phase::Closing) > self.tuning.sizes.max_size {
            Some(CloseReason::Shrink)
        } else if self.now >= slot.retire_at && self.now >= slot.expire_at(&self.tuning) {
            // It retires before it expires, and only the first is at hand.
            Some(CloseReason::Lifetime)
        } else {
            None
        }
    }

    /// Whether something has to be done with it before its next use.
    #[inline]
    pub(super) fn needs_proof(&self, slot: &Slot) -> bool {
        self.tuning.prepare || self.is_doubtful(slot)
    }

    /// Whether a ping has to come before its next use.
    #[inline]
    pub(super) fn is_doubtful(&self, slot: &Slot) -> bool {
        let untouched = self.now.since(slot.touched_at);
        // A connect is proof enough for the moment.
        let validate_after = self.tuning.validate_after.max(u64::from(slot.fresh));
        slot.epoch != self.epoch || untouched >= validate_after || untouched >= slot.touch_limit
    }
}
