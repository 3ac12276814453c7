//! What time and operators do to a pool: upkeep, resize, suspend, invalidate, close, bind.

use super::recorder::Event;
use super::state::{Effects, Phase, Refusal, Slot, SlotKey, State, Time, Tuning};
use super::waiters::Place;
use crate::snapshot::CloseReason;

/// How long a connection lies in the hands of a future that nobody polls before it is taken back;
/// twice as long each time the same waiter lets one lie, so that a slow runtime makes progress.
pub(super) const GRACE: u64 = 200_000_000;

impl Slot {
    /// When something is to be done about it while it is idle.
    pub(super) fn due(&self, tuning: &Tuning) -> Time {
        let pruned = self.used_at.after(tuning.idle_timeout);
        let touched = self.touched_at.after(self.idle_limit.min(self.keepalive));
        self.retire_at.min(pruned).min(touched)
    }

    /// The next such moment that is still to come.
    fn due_after(&self, now: Time, tuning: &Tuning) -> Time {
        let pruned = self.used_at.after(tuning.idle_timeout);
        let touched = self.touched_at.after(self.idle_limit.min(self.keepalive));
        [self.retire_at, self.expire_at, pruned, touched]
            .into_iter()
            .filter(|due| *due > now)
            .min()
            .unwrap_or(Time::NEVER)
    }
}

impl<P> State<P> {
    /// Does what is due, and says when to come again.
    pub(crate) fn tick(&mut self, now: Time, fx: &mut Effects<P>) -> Time {
        self.recorder.note(Event::Tick { now });
        self.alarm = Time::NEVER;
        self.take_back(now, fx);
        self.groom(now, fx);
        self.report_leaks(now, fx);
        self.serve(now, fx);
        fx.nudge = false;
        self.alarm
    }

    fn take_back(&mut self, now: Time, fx: &mut Effects<P>) {
        while let Some((key, waiter)) = self.waiters.oldest_handed() {
            let Place::Handed { at, .. } = waiter.place else {
                break;
            };
            let until = at.after(GRACE << waiter.dozed.min(8));
            if until > now {
                self.wind(until, fx);
                break;
            }
            let (slot, connection, caller) = self.waiters.take_back(key);
            self.counts.taken_back += 1;
            fx.stalled.push(caller);
            self.place(slot, connection, now, false, fx);
        }
    }

    /// Goes once through the idle connections, oldest first.
    fn groom(&mut self, now: Time, fx: &mut Effects<P>) {
        self.replacing = 0;
        for _ in 0..self.idle.len() {
            let (key, connection) = self.idle.pop_front().expect("counted");
            let slot = &self.slots[key];
            let untouched = now.since(slot.touched_at);
            let unused = now.since(slot.used_at);
            let (retire, limit) = (now >= slot.retire_at, untouched >= slot.idle_limit);
            let keepalive = untouched >= slot.keepalive;
            // This one is popped: what stays is what the minimums are held against.
            let needed = self.servers() - self.replacing <= self.tuning.min_size
                || self.idle.len() - self.replacing < self.tuning.min_idle;
            let reason = self.unfit(key, now).or_else(|| {
                if retire && needed && self.open() < self.tuning.max_size {
                    self.replacing += 1;
                    None
                } else if retire {
                    Some(CloseReason::Lifetime)
                } else if limit && self.tuning.keepalive == u64::MAX {
                    Some(CloseReason::ServerLimit)
                } else if unused >= self.tuning.idle_timeout && !needed {
                    Some(CloseReason::Idle)
                } else {
                    None
                }
            });
            match reason {
                Some(reason) => self.close(key, connection, reason, now, fx),
                None if (limit || keepalive) && self.bound => {
                    self.validate(key, connection, now, fx);
                }
                None => {
                    self.wind(self.slots[key].due_after(now, &self.tuning), fx);
                    self.idle.push_back((key, connection));
                }
            }
        }
    }

    fn report_leaks(&mut self, now: Time, fx: &mut Effects<P>) {
        if self.tuning.leak_after == u64::MAX {
            return;
        }
        let mut next = Time::NEVER;
        for (_, slot) in &mut self.slots {
            if slot.phase != Phase::InUse || slot.leak_reported {
                continue;
            }
            let due = slot.since.after(self.tuning.leak_after);
            if due > now {
                next = next.min(due);
            } else if let Some(caller) = slot.caller {
                slot.leak_reported = true;
                self.counts.leaks += 1;
                fx.leaks.push((caller, now.since(slot.since)));
            }
        }
        self.wind(next, fx);
    }

    /// Puts an idle connection back where [`pop_idle`](Self::pop_idle) took it.
    pub(super) fn push_back_idle(&mut self, key: SlotKey, connection: P) {
        if self.tuning.lifo {
            self.idle.push_back((key, connection));
        } else {
            self.idle.push_front((key, connection));
        }
    }

    // ---- operators ----

    pub(crate) fn resize(&mut self, sizes: Sizes, now: Time, fx: &mut Effects<P>) {
        self.recorder.note(Event::Resize { sizes, now });
        self.tuning.max_size = sizes.max_size;
        self.tuning.min_size = sizes.min_size;
        self.tuning.min_idle = sizes.min_idle;
        self.tuning.max_idle = sizes.max_idle;
        while self.idle.len() > self.tuning.max_idle()
            || self.open() - self.count(Phase::Closing) > self.tuning.max_size
        {
            let Some((key, connection)) = self.idle.pop_front() else {
                break;
            };
            self.close(key, connection, CloseReason::Shrink, now, fx);
        }
        fx.changed = true;
        self.serve(now, fx);
    }

    pub(crate) fn suspend(&mut self, suspended: bool, now: Time, fx: &mut Effects<P>) {
        self.recorder.note(Event::Suspend { suspended, now });
        self.suspended = suspended;
        self.serve(now, fx);
    }

    /// Everything opened so far goes: what is idle now, the rest as it comes back.
    pub(crate) fn invalidate_all(&mut self, now: Time, fx: &mut Effects<P>) {
        self.recorder.note(Event::InvalidateAll { now });
        self.generation = self.generation.wrapping_add(1);
        self.close_idle(CloseReason::Invalidated, now, fx);
        self.serve(now, fx);
    }

    /// Something happened that may have cut every connection.
    pub(crate) fn suspect_all(&mut self) {
        self.recorder.note(Event::SuspectAll);
        self.doubt_all();
    }

    /// No more hand-outs, ever: waiters are told, idle connections close.
    pub(crate) fn shut(&mut self, now: Time, fx: &mut Effects<P>) {
        self.recorder.note(Event::Shut { now });
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        while let Some((key, _)) = self.waiters.oldest() {
            fx.wake(self.waiters.refuse(key, Refusal::Closed));
        }
        self.close_idle(CloseReason::PoolClosed, now, fx);
        (fx.nudge, fx.changed) = (true, true);
    }

    /// There is a runtime to work on.
    pub(crate) fn bind(&mut self, now: Time, fx: &mut Effects<P>) {
        self.recorder.note(Event::Bind { now });
        self.bound = true;
        self.alarm = Time::NEVER;
        self.wind(now, fx);
        self.serve(now, fx);
    }

    /// The runtime is gone, and with it perhaps what the connections lived on: all are suspect,
    /// and whoever waits has to bring a new one.
    pub(crate) fn unbind(&mut self, fx: &mut Effects<P>) {
        self.recorder.note(Event::Unbind);
        self.bound = false;
        self.doubt_all();
        self.waiters.wake_all(&mut fx.wake_more);
    }

    /// Takes every idle connection out for an inspection; each comes back by `settle`.
    pub(crate) fn take_idle(&mut self, now: Time) -> Vec<P> {
        self.recorder.note(Event::TakeIdle { now });
        let taken: Vec<_> = self.idle.drain(..).collect();
        taken
            .into_iter()
            .map(|(key, connection)| {
                self.enter(key, Phase::Validating, now);
                connection
            })
            .collect()
    }

    fn close_idle(&mut self, reason: CloseReason, now: Time, fx: &mut Effects<P>) {
        while let Some((key, connection)) = self.idle.pop_front() {
            self.close(key, connection, reason, now, fx);
        }
    }
}

/// The sizes that can be changed while a pool runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) max_size: usize,
    pub(crate) min_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: Option<usize>,
}
