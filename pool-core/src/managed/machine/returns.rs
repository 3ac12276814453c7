//! Connections that come back, from a user or from work in the background, and slots that end.

use super::record::Upkeep;
use super::recorder::Event;
use super::state::{State, draw};
use super::vocabulary::{Fate, Phase, Refusal, Settled, SlotKey, Time, Verdict};
use crate::snapshot::CloseReason;
use crate::{Cause, Limits};

impl<P> State<P> {
    /// A connection comes back from its user.
    #[inline]
    pub(crate) fn release(&mut self, key: SlotKey, connection: P, verdict: Verdict) {
        match verdict {
            Verdict::Clean => self.release_clean(key, connection),
            verdict => self.release_with_care(key, connection, verdict),
        }
    }

    /// It is as it was handed out: what nearly every return is. Where nobody waits and it may stay, it
    /// comes to rest by a short way, to the same end as by [`place`](Self::place).
    #[inline]
    fn release_clean(&mut self, key: SlotKey, connection: P) {
        if self.now >= self.slots[key].retire_at || self.tuning.finish {
            return self.release_with_care(key, connection, Verdict::Clean);
        }
        if self.slots[key].waited {
            self.let_go(key);
        }
        self.note(Event::Release { slot: key, verdict: Verdict::Clean });
        self.note_use(key);
        let rests = self.waiters.queued() == 0 && self.has_room_for_idle();
        if !rests || self.unfit(&self.slots[key]).is_some() {
            return self.place(key, connection, false);
        }
        let due = self.slots[key].due_after_use(self.now, &self.tuning);
        self.keep_idle(key, connection, due);
    }

    /// A user had it until now.
    #[inline]
    fn note_use(&mut self, key: SlotKey) {
        let slot = &mut self.slots[key];
        self.backoff.used();
        self.times.usage.record_nanos(self.now.since(slot.since));
        (slot.used_at, slot.touched_at, slot.cleaned) = (self.now, self.now, false);
        slot.upkeep = Upkeep::No;
    }

    fn release_with_care(&mut self, key: SlotKey, connection: P, verdict: Verdict) {
        self.note(Event::Release { slot: key, verdict });
        self.let_go(key);
        let slot = &self.slots[key];
        let (retire, cleaned) = (self.now >= slot.retire_at, slot.cleaned);
        if !matches!(verdict, Verdict::Rejected(_)) {
            self.note_use(key);
        }
        let dirty = match verdict {
            Verdict::Clean => None,
            Verdict::Dirty(Cause::Upkeep) => {
                self.slots[key].upkeep = Upkeep::Due;
                if !retire && !self.tuning.finish {
                    return self.place(key, connection, false);
                }
                None
            }
            Verdict::Dirty(cause) => Some(cause),
            Verdict::Broken(cause) => return self.close_broken(key, connection, cause),
            Verdict::Rejected(fate) => {
                if self.uncount_acquired(key) {
                    self.born_unfit();
                }
                match fate {
                    Fate::Reset(_) if cleaned => {
                        return self.close(key, connection, CloseReason::Reset);
                    }
                    Fate::Reset(cause) => Some(cause),
                    Fate::Close(cause) => return self.close_broken(key, connection, cause),
                    Fate::Refused => return self.close(key, connection, CloseReason::Validation),
                    Fate::Panicked => {
                        self.count_refused(Refusal::Panicked);
                        return self.close(key, connection, CloseReason::Broken);
                    }
                }
            }
        };
        if let Some(reason) = self.unfit(&self.slots[key]) {
            self.close(key, connection, reason);
        } else if retire {
            self.close(key, connection, CloseReason::Lifetime);
        } else if self.bound {
            self.enter(key, Phase::Resetting);
            self.out.errands().reset.push((connection, dirty));
        } else {
            self.close(key, connection, CloseReason::Reset);
        }
    }

    fn close_broken(&mut self, key: SlotKey, connection: P, cause: Cause) {
        let gone = cause == Cause::Disconnected;
        if gone {
            self.doubt_all();
        }
        let reason = match cause {
            Cause::Invalidated => CloseReason::Invalidated,
            _ => CloseReason::Broken,
        };
        self.end(key, connection, reason, !gone);
    }

    /// A connection comes back from validation, reset or inspection.
    pub(crate) fn settle(&mut self, key: SlotKey, connection: P, settled: Settled) {
        self.note(Event::Settle { slot: key, settled });
        let slot = &mut self.slots[key];
        if slot.upkeep == Upkeep::UnderWay {
            slot.upkeep = Upkeep::No;
        }
        let mut proven = false;
        match settled {
            Settled::Proven { took } => {
                self.counts.validated += 1;
                self.times.validate.record_nanos(took);
                (slot.touched_at, slot.epoch) = (self.now, slot.probe_epoch);
                proven = slot.epoch == self.epoch;
                self.ping_failed = false;
            }
            Settled::Reset { took } => {
                self.counts.reset += 1;
                self.times.reset.record_nanos(took);
                (slot.touched_at, slot.cleaned) = (self.now, true);
            }
            Settled::Kept => {}
            Settled::Failed => {
                // Opened after others had failed, and no better: do not open the next at once.
                let unfit = slot.fresh && self.failed_at.is_some_and(|at| slot.born >= at);
                if unfit {
                    self.born_unfit();
                }
                (self.ping_failed, self.failed_at) = (true, Some(self.now));
                self.doubt_all();
                self.end(key, connection, CloseReason::Validation, false);
                return self.serve();
            }
            Settled::Close(reason) => {
                if reason == CloseReason::Validation && slot.fresh {
                    self.born_unfit();
                }
                self.close(key, connection, reason);
                return self.serve();
            }
        }
        self.place(key, connection, proven);
        self.serve();
    }

    /// A connect succeeded.
    pub(crate) fn connected(&mut self, key: SlotKey, connection: P, limits: Limits) {
        self.note(Event::Connected { slot: key, limits });
        self.counts.created += 1;
        self.backoff.connected();
        let slot = &mut self.slots[key];
        let draw = draw(self.offset, slot.id);
        self.times.connect.record_nanos(self.now.since(slot.since));
        slot.born(self.now, &self.tuning, limits, draw);
        // A connect is proof, but not what asynchronous before_acquire hooks do, nor where an alarm came
        // since it began.
        let proven = !self.tuning.prepare && self.slots[key].epoch == self.epoch;
        self.place(key, connection, proven);
        self.out.changed = true;
        if self.replacing > 0 {
            self.wind(self.now);
        }
        self.serve();
    }

    /// A clean connection that nobody has: to the first waiter, else idle, if it may stay.
    pub(super) fn place(&mut self, key: SlotKey, connection: P, proven: bool) {
        if let Some(reason) = self.unfit(&self.slots[key]) {
            return self.close(key, connection, reason);
        }
        // Without a runtime nothing can be proven; who waits was woken and brings one.
        if !self.suspended && self.bound && self.somebody_waits() {
            if proven || !self.needs_proof(&self.slots[key]) {
                self.hand(key, connection);
            } else {
                self.validate(key, connection);
            }
            return;
        }
        if self.has_room_for_idle() {
            self.push_idle(key, connection);
        } else {
            self.close(key, connection, CloseReason::Surplus);
        }
    }

    /// A replacement lies beside what it replaces until that is closed, at the next tick.
    #[inline]
    fn has_room_for_idle(&self) -> bool {
        self.idle.len() < self.tuning.sizes.max_idle.saturating_add(self.replacing)
    }

    /// Notes why a slot is about to end, before its token is dropped.
    pub(crate) fn ending(&mut self, key: SlotKey, reason: CloseReason) {
        self.note(Event::Ending { slot: key, reason });
        self.slots[key].reason = Some(reason);
    }

    /// The slot's token is gone: whatever was in it has ended. Tells its number, the reason and its
    /// birth, if it had been opened.
    pub(crate) fn ended(
        &mut self,
        key: SlotKey,
        abandoned: bool,
    ) -> Option<(u64, CloseReason, Time)> {
        self.note(Event::Ended { slot: key, abandoned });
        self.let_go(key);
        let slot = self.slots.remove(key);
        self.phases[slot.phase as usize] -= 1;
        let opened = (slot.phase != Phase::Connecting).then(|| {
            let reason = slot.reason.unwrap_or(CloseReason::Lost);
            self.counts.ended.add(reason);
            self.counts.abandoned += u64::from(abandoned);
            (slot.id, reason, slot.born)
        });
        self.out.changed = true;
        self.despair();
        self.serve();
        opened
    }
}
