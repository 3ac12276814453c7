//! [`State`]: all that the machine knows, and the side of it that acquires see.

use std::collections::VecDeque;
use std::task::Waker;

use slab::Slab;

use super::demand::Backoff;
use super::outbox::Outbox;
use super::record::Slot;
use super::recorder::{Event, Recorder};
use super::tuning::Tuning;
use super::vocabulary::{Caller, Miss, Phase, Refusal, SlotKey, Taken, Time};
use super::waiters::{Delivery, Place, Waiter, Waiters};
use crate::snapshot::{CloseReason, Counts};
use crate::sync::Arc;
use crate::{Activity, Histogram};

/// In this order, since what a checkout touches lies together, on few cache lines.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State<P> {
    /// When the present event happens.
    pub(crate) now: Time,
    /// Checkouts that did not have to wait: no more is noted of most.
    at_once: u64,
    pub(super) idle: VecDeque<(SlotKey, P)>,
    next_ticket: u64,
    pub(super) phases: [u32; 6],
    pub(crate) recorder: Recorder,
    pub(super) slots: Slab<Slot>,
    /// When the maintenance task looks next.
    pub(super) alarm: Time,
    /// There is a runtime to work on.
    pub(crate) bound: bool,
    pub(crate) suspended: bool,
    pub(crate) closed: bool,
    /// The last ping failed.
    pub(super) ping_failed: bool,
    pub(super) generation: u32,
    pub(super) epoch: u32,
    /// Idle connections that are due to retire and wait for their replacement.
    pub(super) replacing: usize,
    pub(crate) out: Outbox<P>,
    pub(super) waiters: Waiters<P>,
    pub(super) backoff: Backoff,
    pub(crate) tuning: Tuning,
    /// Without what follows from other numbers; see [`counts`](Self::counts).
    pub(super) counts: Counts,
    /// Of the waits only those of who had to: see [`times`](Self::times).
    pub(super) times: Times,
    pub(super) next_id: u64,
    /// When a ping failed last.
    pub(super) failed_at: Option<Time>,
    /// The runtime to which it was bound last.
    pub(crate) home: Option<tokio::runtime::Id>,
    pub(super) rng: fastrand::Rng,
    /// Where this pool's draws begin, so that a fleet's pools differ.
    pub(super) offset: f64,
}

/// How long things took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) wait: Histogram,
    pub(crate) usage: Histogram,
    pub(crate) connect: Histogram,
    pub(crate) validate: Histogram,
    pub(crate) reset: Histogram,
}

/// The golden ratio's multiples lie as far from each other as can be: no cohort, born together, ends
/// together.
pub(super) fn draw(offset: f64, id: u64) -> f64 {
    (offset + id as f64 * 0.618_033_988_749_895).fract()
}

impl<P> State<P> {
    pub(crate) fn new(tuning: Tuning, seed: u64, recorder: Recorder) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            now: Time(0),
            out: Outbox::default(),
            slots: Slab::with_capacity(tuning.sizes.max_size.min(64)),
            idle: VecDeque::with_capacity(tuning.sizes.max_idle.min(64)),
            tuning,
            phases: [0; 6],
            waiters: Waiters::new(),
            next_ticket: 0,
            at_once: 0,
            next_id: 0,
            generation: 0,
            epoch: 0,
            ping_failed: false,
            failed_at: None,
            bound: false,
            home: None,
            suspended: false,
            closed: false,
            backoff: Backoff::default(),
            alarm: Time::NEVER,
            offset: rng.f64(),
            rng,
            replacing: 0,
            counts: Counts::default(),
            times: Times::default(),
            recorder,
        }
    }

    #[inline]
    pub(super) fn note(&mut self, event: Event) {
        self.recorder.note(self.now, event);
    }

    // ---- acquiring ----

    /// Takes an idle connection if nobody waits and one is fit to be handed out as it is; else says
    /// why not.
    #[inline]
    pub(crate) fn acquire(&mut self, caller: &Caller, miss: &mut Miss) -> Option<P> {
        *miss = Miss::MustWait;
        let is_open = self.bound && !self.closed;
        if is_open && (self.suspended || self.waiters.queued() > 0) {
            return None; // nothing changed: nothing to note
        }
        self.note(Event::Acquire);
        if !is_open {
            *miss = self.not_open();
            return None;
        }
        while let Some((key, connection)) = self.pop_idle() {
            let slot = &self.slots[key];
            if let Some(reason) = self.unfit(slot) {
                self.close(key, connection, reason);
            } else if self.needs_proof(slot) {
                self.unpop_idle(key, connection);
                return None;
            } else {
                let ticket = self.ticket();
                self.check_out(key, caller, ticket, None);
                if self.idle.len() < self.tuning.sizes.min_idle {
                    self.serve();
                }
                return Some(connection);
            }
        }
        None
    }

    #[cold]
    fn not_open(&mut self) -> Miss {
        if !self.closed {
            return Miss::Unbound;
        }
        self.count_refused(Refusal::Closed);
        Miss::Refused(Refusal::Closed)
    }

    /// Joins the queue and is served at once if that can be. A ticket from before keeps its place.
    pub(crate) fn enqueue(
        &mut self,
        waiter: &mut Arc<Waiter<P>>,
        ticket: Option<u64>,
    ) -> Result<(), Refusal> {
        let (since, deadline) = (waiter.since, waiter.deadline);
        self.note(Event::Enqueue { since, deadline, ticket });
        let refusal = if self.closed {
            Some(Refusal::Closed)
        } else if !self.suspended && self.backoff.is_permanent(self.now) && self.servers() == 0 {
            Some(Refusal::Connect)
        } else if ticket.is_none() && self.queue_is_full() {
            Some(Refusal::QueueFull)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.count_refused(refusal);
            return Err(refusal);
        }
        let new = Arc::get_mut(waiter).expect("it joins once, and nobody else has it yet");
        new.ticket = ticket.unwrap_or_else(|| self.ticket());
        // Everybody has a turn, though others may have read the clock a moment later.
        new.deadline = deadline.max(self.now);
        if deadline > since {
            self.wind(new.deadline);
        }
        self.waiters.push(waiter.clone());
        self.serve();
        Ok(())
    }

    /// For who found no connection in its hands: takes what has come since; else stores who is to
    /// be woken, and gives back who was before. One that dozed is in line again.
    pub(crate) fn look(&mut self, waiter: &Arc<Waiter<P>>, waker: &mut Option<Waker>) -> Taken<P> {
        if waiter.is_dozing() {
            self.rejoin(waiter);
        }
        if let Some(outcome) = self.take_outcome(waiter) {
            return outcome;
        }
        waiter.set_waker(waker);
        self.nothing()
    }

    pub(super) fn rejoin(&mut self, waiter: &Arc<Waiter<P>>) {
        self.note(Event::Rejoin(waiter.ticket));
        self.wind(waiter.deadline.max(self.now));
        if self.closed {
            let waker = waiter.put(Place::Refused(Refusal::Closed));
            self.out.discard(waker);
        } else {
            self.waiters.rejoin(waiter.clone());
            self.serve();
        }
    }

    /// Takes a connection or a refusal out of the waiter's hands.
    pub(super) fn take_outcome(&mut self, waiter: &Waiter<P>) -> Option<Taken<P>> {
        let Some(why) = waiter.take_refusal() else { return waiter.take() };
        self.note(Event::Told(waiter.ticket));
        self.waiters.forget_aside();
        self.count_refused(why);
        Some(Taken::Refused(why))
    }

    /// Ends a wait. A time-out still takes a connection that came in the same moment; a
    /// cancellation passes it on.
    pub(crate) fn give_up(&mut self, waiter: &Waiter<P>, cancelled: bool) -> Taken<P> {
        if !cancelled && let Some(outcome) = self.take_outcome(waiter) {
            return outcome;
        }
        self.note(Event::GiveUp { ticket: waiter.ticket, cancelled });
        if cancelled {
            self.counts.cancelled += 1;
        } else if self.suspended {
            self.counts.suspended += 1;
        } else {
            self.count_refused(Refusal::TimedOut);
        }
        self.leave(waiter);
        self.nothing()
    }

    /// Its owner leaves: a connection that it was handed is taken back.
    fn leave(&mut self, waiter: &Waiter<P>) {
        let (place, waker) = waiter.leave();
        self.out.discard(waker);
        match place {
            Place::Queued => self.waiters.remove(waiter.ticket),
            Place::Dozing | Place::Refused(_) => self.waiters.forget_aside(),
            Place::Handed(Delivery { slot, connection, .. }) => {
                self.let_go(slot);
                let _ = self.uncount_acquired(slot);
                self.place(slot, connection, false);
            }
            Place::Gone => {}
        }
    }

    /// An acquire that had not joined the queue yet is given up.
    pub(crate) fn given_up_early(&mut self) {
        self.note(Event::GivenUpEarly);
        self.counts.cancelled += 1;
    }

    /// An acquire fails since there is no runtime to work on.
    pub(crate) fn stranded(&mut self, waiter: Option<&Waiter<P>>) {
        self.note(Event::Stranded(waiter.map(|waiter| waiter.ticket)));
        self.counts.failed += 1;
        if let Some(waiter) = waiter {
            self.leave(waiter);
        }
    }

    fn nothing(&self) -> Taken<P> {
        Taken::Nothing { suspended: self.suspended, bound: self.bound }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    // ---- moving slots ----

    /// Whether there is a first in line whose time is not up.
    pub(super) fn somebody_waits(&mut self) -> bool {
        while let Some(waiter) = self.waiters.oldest() {
            if waiter.deadline >= self.now {
                return true;
            }
            self.refuse(Refusal::TimedOut);
        }
        false
    }

    /// Tells the first in line that there will be no connection.
    pub(super) fn refuse(&mut self, why: Refusal) {
        let waiter = self.waiters.pop().expect("asked for where somebody waits");
        self.waiters.step_aside();
        let waker = waiter.put(Place::Refused(why));
        self.out.wake(waker);
    }

    /// Hands a connection to the first in line.
    pub(super) fn hand(&mut self, key: SlotKey, connection: P) {
        let waiter = self.waiters.pop().expect("asked for where somebody waits");
        let waited = self.now.since(waiter.since);
        self.check_out(key, &waiter.caller, waiter.ticket, Some(waited));
        let delivery = Delivery { slot: key, connection, waited };
        let waker = waiter.put(Place::Handed(delivery));
        self.out.wake(waker);
        self.waiters.keep(key, waiter);
        if self.slots[key].miss && key > 0 {
            // A pool that grows does not keep all who began it.
            let over = self.waiters.let_go_if_over(key - 1);
            self.out.served = over.or_else(|| self.out.served.take());
        }
        self.wind(self.now.after(super::tick::GRACE));
    }

    /// The connection of this slot comes back from, or ended with, who was handed it.
    #[inline(never)] // not for those who did not wait
    pub(super) fn let_go(&mut self, key: SlotKey) {
        let waiter = self.waiters.let_go(key);
        self.out.served = waiter.or_else(|| self.out.served.take());
    }

    pub(super) fn validate(&mut self, key: SlotKey, connection: P) {
        let ping = self.is_doubtful(&self.slots[key]);
        self.slots[key].probe_epoch = self.epoch;
        self.enter(key, Phase::Validating);
        self.out.errands().validate.push((connection, ping));
    }

    #[cold]
    pub(super) fn close(&mut self, key: SlotKey, connection: P, reason: CloseReason) {
        self.end(key, connection, reason, true);
    }

    /// Ends a connection, with a goodbye if there is anybody to say it to.
    pub(super) fn end(&mut self, key: SlotKey, connection: P, reason: CloseReason, polite: bool) {
        self.slots[key].reason = Some(reason);
        self.enter(key, Phase::Closing);
        self.out.errands().close.push((connection, polite));
    }

    pub(super) fn push_idle(&mut self, key: SlotKey, connection: P) {
        let due = self.slots[key].due_after(self.now, &self.tuning);
        self.keep_idle(key, connection, due);
    }

    /// Keeps an idle connection, to which something is to be done by then.
    #[inline]
    pub(super) fn keep_idle(&mut self, key: SlotKey, connection: P, due: Time) {
        self.enter(key, Phase::Idle);
        self.idle.push_back((key, connection));
        if self.idle.len() <= self.tuning.sizes.min_idle {
            self.out.changed = true;
        }
        self.wind(due);
    }

    #[inline]
    pub(super) fn pop_idle(&mut self) -> Option<(SlotKey, P)> {
        if self.tuning.lifo { self.idle.pop_back() } else { self.idle.pop_front() }
    }

    /// Puts an idle connection back where [`pop_idle`](Self::pop_idle) took it.
    pub(super) fn unpop_idle(&mut self, key: SlotKey, connection: P) {
        if self.tuning.lifo {
            self.idle.push_back((key, connection));
        } else {
            self.idle.push_front((key, connection));
        }
    }

    /// Somebody has it from now on, after a wait or without; counts it.
    #[inline]
    fn check_out(&mut self, key: SlotKey, caller: &Caller, ticket: u64, waited: Option<u64>) {
        let slot = &mut self.slots[key];
        slot.enter(Phase::InUse, self.now, &mut self.phases);
        (slot.caller, slot.ticket) = (Some(*caller), ticket);
        if let Some(activity) = &slot.activity {
            activity.begin(caller.operation);
        }
        slot.leak_reported = false;
        let (miss, wait) = (std::mem::take(&mut slot.fresh), waited.unwrap_or(0));
        (slot.miss, slot.waited, slot.wait) = (miss, waited.is_some(), wait);
        match waited {
            None => self.at_once += 1,
            Some(waited) => self.times.wait.record_nanos(waited),
        }
        if miss {
            self.counts.misses += 1;
        }
        self.wind(self.now.after(self.tuning.leak_after));
    }

    #[inline]
    pub(super) fn enter(&mut self, key: SlotKey, phase: Phase) {
        self.slots[key].enter(phase, self.now, &mut self.phases);
    }

    /// Sees to it that the maintenance task looks by then.
    #[inline]
    pub(super) fn wind(&mut self, due: Time) {
        if due < self.alarm {
            self.alarm = due;
            self.out.nudge = true;
        }
    }

    /// Everything older than now is suspect: proven before it is handed out again.
    pub(super) fn doubt_all(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    // ---- looking ----

    /// Whether as many wait for others' connections as may. Who waits for one that is about to be
    /// opened or proven is not counted.
    fn queue_is_full(&self) -> bool {
        let held = self.count(Phase::InUse) + self.count(Phase::Resetting);
        let room = self.tuning.sizes.max_size.saturating_sub(held);
        self.waiters.queued() >= self.tuning.max_waiting.saturating_add(room)
    }

    pub(crate) fn count(&self, phase: Phase) -> usize {
        self.phases[phase as usize] as usize
    }

    /// Connections that may yet serve somebody.
    pub(super) fn servers(&self) -> usize {
        self.slots.len() - self.count(Phase::Connecting) - self.count(Phase::Closing)
    }

    pub(crate) fn open(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot(&self, key: SlotKey) -> &Slot {
        &self.slots[key]
    }

    /// A connection that was opened for this slot notes when it is busy.
    pub(crate) fn watch(&mut self, key: SlotKey, activity: Option<Activity>) {
        self.slots[key].activity = activity;
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|(_, slot)| slot).filter(|slot| slot.phase == Phase::InUse)
    }

    pub(crate) fn waiters(&self) -> &Waiters<P> {
        &self.waiters
    }

    /// The last connect failed.
    pub(crate) fn failing(&self) -> bool {
        self.backoff.failures() > 0
    }

    // ---- counting ----

    /// What was handed out and not taken yet: who is to have it still waits, as users see it.
    pub(crate) fn on_their_way(&self) -> Vec<&Slot> {
        self.waiters.on_their_way().map(|(slot, _)| &self.slots[slot]).collect()
    }

    /// Takes a checkout out of the counts; true if it was the connection's first.
    pub(super) fn uncount_acquired(&mut self, key: SlotKey) -> bool {
        let slot = &mut self.slots[key];
        if slot.waited {
            self.times.wait.forget_nanos(slot.wait);
        } else {
            self.at_once -= 1;
        }
        self.counts.misses -= u64::from(slot.miss);
        slot.fresh = slot.miss;
        slot.miss
    }

    /// What has happened so far, without the checkouts of those who have not come for it yet. All of
    /// these waited.
    pub(crate) fn counts(&self, on_their_way: &[&Slot]) -> Counts {
        let not_yet = on_their_way.iter().filter(|slot| slot.miss).count() as u64;
        let misses = self.counts.misses - not_yet;
        let waited = self.times.wait.count() - on_their_way.len() as u64;
        let acquired = self.at_once + waited;
        let hits = acquired.saturating_sub(misses); // never less: see `check`
        Counts { acquired, waited, hits, misses, ..self.counts }
    }

    /// Connections that have ended so far.
    pub(crate) fn ended_so_far(&self) -> u64 {
        self.counts.ended.total()
    }

    /// How long things took so far, without the waits of the same.
    pub(crate) fn times(&self, on_their_way: &[&Slot]) -> Times {
        let mut times = self.times.clone();
        on_their_way.iter().for_each(|slot| times.wait.forget_nanos(slot.wait));
        times.wait.record_zeros(self.at_once);
        times
    }

    pub(super) fn count_refused(&mut self, why: Refusal) {
        match why {
            Refusal::TimedOut => self.counts.timed_out += 1,
            Refusal::Connect | Refusal::Panicked => self.counts.failed += 1,
            Refusal::QueueFull => self.counts.shed += 1,
            Refusal::Closed => self.counts.closed += 1,
        }
    }
}
