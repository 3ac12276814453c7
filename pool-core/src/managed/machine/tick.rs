//! What time does to a pool: hand-offs nobody took, aging connections, leaks, retries.

use super::record::Upkeep;
use super::recorder::Event;
use super::state::State;
use super::vocabulary::{Phase, SlotKey, Time};
use super::waiters::Delivery;
use crate::Cause;
use crate::snapshot::CloseReason;

/// How long a connection lies in the hands of a future that nobody polls before it is taken back;
/// twice as long each time the same waiter lets one lie, so that a slow runtime makes progress.
pub(super) const GRACE: u64 = 200_000_000;

impl<P> State<P> {
    /// Does what is due, if anything is, and says when to come again.
    pub(crate) fn tick(&mut self) -> Time {
        if self.now < self.alarm {
            return self.alarm;
        }
        self.take_back_what_is_due();
        self.pass_time()
    }

    pub(super) fn pass_time(&mut self) -> Time {
        self.note(Event::Tick);
        self.alarm = Time::NEVER;
        let next = self.take_back_at().map(|(_, due)| due).min();
        self.wind(next.unwrap_or(Time::NEVER));
        if self.bound && !self.suspended {
            self.somebody_waits(); // else those whose time is up, and who do not come, go
        }
        self.call_time();
        self.groom();
        self.report_leaks();
        self.serve();
        self.out.nudge = false;
        self.alarm
    }

    /// Each connection that is taken back is an event of its own: whether its owner comes for it in
    /// this moment is not for the machine to know.
    fn take_back_what_is_due(&mut self) {
        let due: Vec<_> = self.take_back_at().filter(|(_, due)| *due <= self.now).collect();
        due.into_iter().for_each(|(slot, _)| self.take_back(slot));
    }

    /// Slots whose connection lies with somebody who has not come for it yet, and until when it may.
    fn take_back_at(&self) -> impl Iterator<Item = (SlotKey, Time)> {
        let on_their_way = self.waiters.on_their_way();
        // A slow runtime makes progress.
        let due = |slot: SlotKey, dozed: u32| self.slots[slot].since.after(GRACE << dozed.min(8));
        on_their_way.map(move |(slot, dozed)| (slot, due(slot, dozed)))
    }

    /// Takes a connection back from who was handed it, unless it has come for it.
    pub(super) fn take_back(&mut self, slot: SlotKey) {
        let Some(waiter) = self.waiters.let_go(slot) else { return };
        let Some(Delivery { connection, .. }) = waiter.take_back() else { return };
        self.note(Event::TakeBack(slot));
        self.waiters.step_aside();
        self.counts.taken_back += 1;
        self.out.errands().stalled.push(waiter.caller);
        let _ = self.uncount_acquired(slot);
        self.place(slot, connection, false);
    }

    /// Wakes those whose time is up, for they have no timer of their own where the pool's
    /// maintenance runs beside them. Their own poll takes them out of the queue.
    fn call_time(&mut self) {
        let (now, shortest) = (self.now, self.waiters.shortest_wait());
        let (mut due, mut next) = (Vec::new(), Time::NEVER);
        for waiter in self.waiters.in_line() {
            let soonest = waiter.since.after(shortest);
            if soonest > now {
                // Nobody behind can be due before that: they all came later.
                next = next.min(soonest);
                break;
            }
            if waiter.deadline > now {
                next = next.min(waiter.deadline);
            } else {
                due.extend(waiter.call());
            }
        }
        due.into_iter().for_each(|waker| self.out.wake(Some(waker)));
        self.wind(next);
    }

    /// Goes once through the idle connections, oldest first.
    fn groom(&mut self) {
        self.replacing = 0;
        for _ in 0..self.idle.len() {
            let (key, connection) = self.idle.pop_front().expect("counted");
            let slot = &self.slots[key];
            let untouched = self.now.since(slot.touched_at);
            let unused = self.now.since(slot.used_at);
            let (retire, touch) = (self.now >= slot.retire_at, untouched >= slot.touch_limit);
            // This one is popped: what stays is what the minimums are held against.
            let sizes = &self.tuning.sizes;
            // What is to be replaced may be away for a ping, hence no simple difference.
            let needed = self.servers() - self.replacing <= sizes.min_size
                || self.idle.len().saturating_sub(self.replacing) < sizes.min_idle;
            let reason = if let Some(reason) = self.unfit(&self.slots[key]) {
                Some(reason)
            } else if retire && needed && self.open() < sizes.max_size {
                self.replacing += 1;
                None
            } else if retire {
                Some(CloseReason::Lifetime)
            } else if touch && self.tuning.keepalive == u64::MAX {
                Some(CloseReason::ServerLimit)
            } else if unused >= self.tuning.idle_timeout && !needed {
                Some(CloseReason::Idle)
            } else {
                None
            };
            match reason {
                Some(reason) => self.close(key, connection, reason),
                None if touch && self.bound => self.validate(key, connection),
                None if self.now >= self.slots[key].upkeep_at() && self.bound => {
                    self.slots[key].upkeep = Upkeep::UnderWay;
                    self.enter(key, Phase::Resetting);
                    self.out.errands().reset.push((connection, Some(Cause::Upkeep)));
                }
                None => {
                    self.wind(self.slots[key].due_after(self.now, &self.tuning));
                    self.idle.push_back((key, connection));
                }
            }
        }
    }

    fn report_leaks(&mut self) {
        if self.tuning.leak_after == u64::MAX {
            return;
        }
        let mut next = Time::NEVER;
        for (_, slot) in &mut self.slots {
            if slot.phase != Phase::InUse || slot.leak_reported {
                continue;
            }
            let due = slot.since.after(self.tuning.leak_after);
            if due > self.now {
                next = next.min(due);
            } else if let Some(caller) = slot.caller {
                slot.leak_reported = true;
                self.counts.leaks += 1;
                self.out.errands().leaks.push((caller, self.now.since(slot.since)));
            }
        }
        self.wind(next);
    }
}
