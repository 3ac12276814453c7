//! The engine's state machine: plain synchronous functions, events in, effects out.
//!
//! It knows no runtime, no clock and no connection type: time is an argument, and a connection is
//! an opaque `P` that it stores, hands on and gives out, but never drops. Nothing of a user's runs
//! in here (no manager, hook, waker, `Drop`), so it is always called under one short lock.
//!
//! # States of a slot, and who moves it
//!
//! ```text
//!                 serve()            connected()                 hand() / acquire()
//!   (free) ------------> Connecting ------------> Idle <--------------------------> InUse
//!     ^                      |                    |  ^                                |
//!     |       connect_failed |           validate |  | settle()             release()  | dirty
//!     |                      v                    v  |                                v
//!     +<------ ended() <- Closing <----------- Validating         settle() <----- Resetting
//! ```
//!
//! From every state but `Connecting` a slot may go to `Closing`, and from every state straight to
//! free when its token is dropped ([`ended`](State::ended)): a panic or a dead runtime lose the
//! connection, never the slot. A connection and its slot's token travel together inside `P`.
//!
//! # Why no wake-up is lost
//!
//! A connection becomes available in [`place`](State::place) only, which gives it to the first
//! waiter or makes it idle. A waiter joins in [`enqueue`](State::enqueue) only, which then calls
//! [`serve`](State::serve): idle connections go to waiters first. Both run under the lock, so there
//! is no moment in which a usable idle connection and a queued waiter do not see each other.
//! Capacity becomes free in [`ended`](State::ended) and [`connect_failed`](State::connect_failed),
//! which call `serve` too. A handed connection lies in the waiter's node: the waiter takes it, or
//! gives it back as it leaves ([`give_up`](State::give_up)), or it is taken back
//! ([`tick`](State::tick)).

use std::collections::VecDeque;
use std::panic::Location;
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Duration;

use slab::Slab;

use super::demand::Backoff;
use super::recorder::{Event, Recorder};
use super::waiters::{Place, WaiterKey, Waiters};
use crate::manager::Activity;
use crate::snapshot::{CloseReason, Counts};
use crate::{Cause, Histogram, Limits, PoolConfig, Reuse, Validation};

pub(crate) type SlotKey = usize;

/// Nanoseconds since the pool was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier`; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a checkout comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) site: &'static Location<'static>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) who: Who,
}

/// Which task or thread asks, to tell when one waits for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Task(tokio::task::Id),
    Thread(ThreadId),
    Unknown,
}

/// How long a caller has waited and will wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) since: Time,
    pub(crate) deadline: Time,
    /// Its place, if it had one before.
    pub(crate) ticket: Option<u64>,
}

/// Why an acquire gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TimedOut,
    Connect,
    Panicked,
    QueueFull,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Idle,
    InUse,
    Validating,
    Resetting,
    Closing,
}

/// What a fast acquire finds.
#[derive(Debug)]
pub(crate) enum Fast<P> {
    Got {
        connection: P,
        ticket: u64,
        hit: bool,
    },
    MustWait,
    Refused(Refusal),
    /// There is no runtime to work on: bind one and come again.
    Unbound,
}

/// What a waiter finds in its node.
#[derive(Debug)]
pub(crate) enum Taken<P> {
    Got { connection: P, ticket: u64, hit: bool, waited: u64 },
    Refused(Refusal),
    Nothing { suspended: bool, bound: bool },
}

/// How a connection comes back from its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Dirty(Cause),
    Broken(Cause),
    /// It was found unfit before its user saw it.
    Rejected {
        hit: bool,
        /// None if it did not have to.
        waited: Option<u64>,
        fate: Fate,
    },
}

/// What becomes of a connection that was rejected at checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Reset(Cause),
    Close(Cause),
    /// A hook did not want it.
    Refused,
    /// A hook panicked: the acquire fails; in all other cases it goes on waiting.
    Panicked,
}

/// How a connection comes back from work in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// A ping went through; so long it took.
    Proven { took: u64 },
    /// It was cleaned; so long it took.
    Reset { took: u64 },
    /// It was looked at and is as it was.
    Kept,
    /// A ping failed: it has to go, and the others are suspect.
    Failed,
    /// It has to go.
    Close(CloseReason),
}

/// What the shell has to do once the lock is released.
#[derive(Debug)]
pub(crate) struct Effects<P> {
    pub(crate) wake: Option<Waker>,
    pub(crate) wake_more: Vec<Waker>,
    pub(crate) stale: Vec<Waker>,
    pub(crate) connect: Vec<Start>,
    /// With whether a ping is needed, or only what the hooks do.
    pub(crate) validate: Vec<(P, bool)>,
    /// With what is to be cleared, or nothing where only hooks are to run.
    pub(crate) reset: Vec<(P, Option<Cause>)>,
    pub(crate) close: Vec<(P, CloseReason)>,
    pub(crate) stalled: Vec<Caller>,
    pub(crate) leaks: Vec<(Caller, u64)>,
    /// The maintenance task has to look at its alarm again.
    pub(crate) nudge: bool,
    /// The last slot of a closed pool is free, or the minimums may be reached.
    pub(crate) changed: bool,
}

/// A connect to be started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) slot: SlotKey,
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) activity: Activity,
}

impl<P> Effects<P> {
    pub(crate) fn new() -> Self {
        Self {
            wake: None,
            wake_more: Vec::new(),
            stale: Vec::new(),
            connect: Vec::new(),
            validate: Vec::new(),
            reset: Vec::new(),
            close: Vec::new(),
            stalled: Vec::new(),
            leaks: Vec::new(),
            nudge: false,
            changed: false,
        }
    }

    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        match self.wake {
            None => self.wake = waker,
            Some(_) => self.wake_more.extend(waker),
        }
    }
}

/// [`PoolConfig`] in the numbers the engine counts in.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    pub(crate) max_size: usize,
    pub(crate) min_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: Option<usize>,
    pub(crate) max_waiting: usize,
    pub(crate) max_connecting: usize,
    pub(crate) idle_timeout: u64,
    pub(crate) max_lifetime: u64,
    pub(crate) jitter: f64,
    pub(crate) keepalive: u64,
    /// Idle for this long, a connection is proven before use: 0 is always, `u64::MAX` never.
    pub(crate) validate_after: u64,
    pub(crate) lifo: bool,
    /// There are asynchronous `before_acquire` hooks: every hand-out goes through validation.
    pub(crate) prepare: bool,
    /// There are asynchronous `after_release` hooks: every return goes through a reset.
    pub(crate) finish: bool,
    pub(crate) backoff_base: u64,
    pub(crate) backoff_cap: u64,
    pub(crate) leak_after: u64,
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Tuning {
    pub(crate) fn new(config: &PoolConfig, prepare: bool, finish: bool) -> Self {
        let optional = |duration: Option<Duration>| duration.map_or(u64::MAX, nanos);
        Self {
            max_size: config.max_size as usize,
            min_size: config.min_size as usize,
            min_idle: config.min_idle as usize,
            max_idle: config.max_idle.map(|n| n as usize),
            max_waiting: config.max_waiting.map_or(usize::MAX, |n| n as usize),
            max_connecting: config.max_connecting as usize,
            idle_timeout: optional(config.idle_timeout),
            max_lifetime: optional(config.max_lifetime),
            jitter: config.lifetime_jitter,
            keepalive: optional(config.keepalive),
            validate_after: match config.validation {
                Validation::Always => 0,
                Validation::IfIdleFor(idle) => nanos(idle),
                Validation::Never => u64::MAX,
            },
            lifo: config.reuse == Reuse::Lifo,
            prepare,
            finish,
            backoff_base: nanos(config.backoff_base),
            backoff_cap: nanos(config.backoff_cap),
            leak_after: optional(config.leak_after),
        }
    }

    pub(crate) fn max_idle(&self) -> usize {
        self.max_idle.unwrap_or(self.max_size).min(self.max_size)
    }
}

/// What is known of a slot and the connection in it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: u64,
    pub(crate) phase: Phase,
    /// When it came into this phase.
    pub(crate) since: Time,
    /// `invalidate_all` so far when its connect began.
    pub(super) generation: u32,
    /// Alarms so far when it was last proven; fewer than the pool's make it suspect.
    pub(super) epoch: u32,
    pub(super) probe_epoch: u32,
    /// Nobody has used it yet.
    pub(super) fresh: bool,
    pub(super) leak_reported: bool,
    pub(crate) born: Time,
    /// Last given back by a user.
    pub(super) used_at: Time,
    /// Last known to have had traffic.
    pub(super) touched_at: Time,
    /// From here on it is replaced where that can be done without a gap.
    pub(super) retire_at: Time,
    /// From here on it is not handed out.
    pub(super) expire_at: Time,
    /// Untouched for this long, it is too close to what the server allows.
    pub(super) idle_limit: u64,
    pub(super) keepalive: u64,
    pub(super) reason: Option<CloseReason>,
    pub(crate) caller: Option<Caller>,
    pub(crate) activity: Activity,
    pub(crate) busy_before: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct State<P> {
    pub(crate) tuning: Tuning,
    pub(super) slots: Slab<Slot>,
    pub(super) phases: [usize; 6],
    pub(super) idle: VecDeque<(SlotKey, P)>,
    pub(super) waiters: Waiters<P>,
    pub(super) next_ticket: u64,
    pub(super) next_id: u64,
    pub(super) generation: u32,
    pub(super) epoch: u32,
    /// There is a runtime to work on.
    pub(crate) bound: bool,
    pub(crate) suspended: bool,
    pub(crate) closed: bool,
    pub(super) backoff: Backoff,
    /// When the maintenance task looks next.
    pub(super) alarm: Time,
    pub(super) rng: fastrand::Rng,
    /// Where this pool's draws begin, so that a fleet's pools differ.
    offset: f64,
    /// Idle connections that are due to retire and wait for their replacement.
    pub(super) replacing: usize,
    pub(crate) counts: Counts,
    pub(crate) times: Times,
    pub(crate) recorder: Recorder,
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

impl<P> State<P> {
    pub(crate) fn new(tuning: Tuning, seed: u64, recorder: Recorder) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            offset: rng.f64(),
            rng,
            replacing: 0,
            slots: Slab::with_capacity(tuning.max_size.min(64)),
            idle: VecDeque::with_capacity(tuning.max_idle().min(64)),
            tuning,
            phases: [0; 6],
            waiters: Waiters::new(),
            next_ticket: 0,
            next_id: 0,
            generation: 0,
            epoch: 0,
            bound: false,
            suspended: false,
            closed: false,
            backoff: Backoff::default(),
            alarm: Time::NEVER,
            counts: Counts::default(),
            times: Times::default(),
            recorder,
        }
    }

    // ---- acquiring ----

    /// Takes an idle connection if nobody waits and one is fit to be handed out as it is.
    pub(crate) fn acquire(&mut self, now: Time, caller: Caller, fx: &mut Effects<P>) -> Fast<P> {
        self.recorder.note(Event::Acquire { now });
        if self.closed {
            self.counts.closed += 1;
            return Fast::Refused(Refusal::Closed);
        }
        if !self.bound {
            return Fast::Unbound;
        }
        if self.suspended || self.waiters.queued() > 0 {
            return Fast::MustWait;
        }
        while let Some((key, connection)) = self.pop_idle() {
            if let Some(reason) = self.unfit(key, now) {
                self.close(key, connection, reason, now, fx);
            } else if self.needs_proof(key, now) {
                self.push_back_idle(key, connection);
                return Fast::MustWait;
            } else {
                self.check_out(key, caller, now, fx);
                let hit = self.count_acquired(key, 0);
                self.next_ticket += 1;
                if self.idle.len() < self.tuning.min_idle {
                    self.serve(now, fx);
                }
                return Fast::Got { connection, ticket: self.next_ticket - 1, hit };
            }
        }
        Fast::MustWait
    }

    /// Joins the queue and is served at once if that can be. A ticket from before keeps its place.
    pub(crate) fn enqueue(
        &mut self,
        now: Time,
        wait: Wait,
        caller: Caller,
        waker: Option<Waker>,
        fx: &mut Effects<P>,
    ) -> Result<WaiterKey, Refusal> {
        self.recorder.note(Event::Enqueue { now, wait });
        let Wait { since, deadline, ticket } = wait;
        let refusal = if self.closed {
            Some(Refusal::Closed)
        } else if self.backoff.is_permanent(now) && self.servers() == 0 {
            Some(Refusal::Connect)
        } else if ticket.is_none() && self.queue_is_full() {
            Some(Refusal::QueueFull)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.count_refused(refusal);
            fx.stale.extend(waker);
            return Err(refusal);
        }
        let ticket = ticket.unwrap_or_else(|| {
            self.next_ticket += 1;
            self.next_ticket - 1
        });
        let key = self.waiters.push(ticket, since, deadline, caller, waker);
        self.serve(now, fx);
        Ok(key)
    }

    /// Takes what the waiter was given, or stores who is to be woken.
    pub(crate) fn take(
        &mut self,
        key: WaiterKey,
        now: Time,
        waker: Option<Waker>,
        fx: &mut Effects<P>,
    ) -> Taken<P> {
        self.recorder.note(Event::Take { key, now });
        if matches!(self.waiters.place(key), Place::Dozing) {
            self.waiters.rejoin(key);
            if self.closed {
                fx.stale.extend(self.waiters.refuse(key, Refusal::Closed));
            }
            self.serve(now, fx);
        }
        if matches!(self.waiters.place(key), Place::Queued) {
            fx.stale.extend(self.waiters.set_waker(key, waker));
            return Taken::Nothing { suspended: self.suspended, bound: self.bound };
        }
        fx.stale.extend(waker);
        self.take_outcome(key, now, fx)
    }

    /// Whether there is something to take.
    pub(crate) fn has_outcome(&self, key: WaiterKey) -> bool {
        matches!(self.waiters.place(key), Place::Handed { .. } | Place::Refused(_))
    }

    /// Ends a wait. A time-out still takes a connection that came in the same moment; a
    /// cancellation passes it on.
    pub(crate) fn give_up(
        &mut self,
        key: WaiterKey,
        now: Time,
        cancelled: bool,
        fx: &mut Effects<P>,
    ) -> Taken<P> {
        self.recorder.note(Event::GiveUp { key, now, cancelled });
        let suspended = self.suspended;
        let waiting = matches!(self.waiters.place(key), Place::Queued | Place::Dozing);
        if !cancelled && !waiting {
            return self.take_outcome(key, now, fx);
        }
        let (waiter, waker) = self.waiters.remove(key);
        fx.stale.extend(waker);
        if cancelled {
            self.counts.cancelled += 1;
        } else if suspended {
            self.counts.suspended += 1;
        } else {
            self.counts.timed_out += 1;
        }
        if let Place::Handed { slot, connection, .. } = waiter.place {
            self.place(slot, connection, now, false, fx);
        }
        Taken::Nothing { suspended, bound: self.bound }
    }

    fn take_outcome(&mut self, key: WaiterKey, now: Time, fx: &mut Effects<P>) -> Taken<P> {
        let (waiter, waker) = self.waiters.remove(key);
        fx.stale.extend(waker);
        match waiter.place {
            Place::Handed { slot, connection, .. } => {
                self.counts.waited += 1;
                let waited = now.since(waiter.since);
                let hit = self.count_acquired(slot, waited);
                Taken::Got { connection, ticket: waiter.ticket, hit, waited }
            }
            Place::Refused(why) => {
                self.count_refused(why);
                Taken::Refused(why)
            }
            Place::Queued | Place::Dozing => unreachable!("asked for where there is an outcome"),
        }
    }

    // ---- returning ----

    /// A connection comes back from its user.
    pub(crate) fn release(
        &mut self,
        key: SlotKey,
        connection: P,
        verdict: Verdict,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        self.recorder.note(Event::Release { slot: key, verdict, now });
        let slot = &mut self.slots[key];
        let used = now.since(slot.since);
        let over = now >= slot.retire_at;
        if !matches!(verdict, Verdict::Rejected { .. }) {
            (slot.used_at, slot.touched_at) = (now, now);
            self.times.usage.record_nanos(used);
        }
        let dirty = match verdict {
            Verdict::Clean => None,
            Verdict::Dirty(cause) => Some(cause),
            Verdict::Broken(cause) => {
                return self.close_broken(key, connection, cause, now, fx);
            }
            Verdict::Rejected { hit, waited, fate } => {
                self.uncount_acquired(key, hit, waited);
                match fate {
                    Fate::Reset(cause) => Some(cause),
                    Fate::Close(cause) => {
                        return self.close_broken(key, connection, cause, now, fx);
                    }
                    Fate::Refused => {
                        return self.close(key, connection, CloseReason::Validation, now, fx);
                    }
                    Fate::Panicked => {
                        self.count_refused(Refusal::Panicked);
                        return self.close(key, connection, CloseReason::Broken, now, fx);
                    }
                }
            }
        };
        if let Some(reason) = self.unfit(key, now) {
            self.close(key, connection, reason, now, fx);
        } else if over {
            self.close(key, connection, CloseReason::Lifetime, now, fx);
        } else if dirty.is_none() && !self.tuning.finish {
            self.place(key, connection, now, false, fx);
        } else if self.bound {
            self.enter(key, Phase::Resetting, now);
            fx.reset.push((connection, dirty));
        } else {
            self.close(key, connection, CloseReason::Reset, now, fx);
        }
    }

    fn close_broken(
        &mut self,
        key: SlotKey,
        connection: P,
        cause: Cause,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        if cause == Cause::Disconnected {
            self.doubt_all();
        }
        let reason = match cause {
            Cause::Invalidated => CloseReason::Invalidated,
            _ => CloseReason::Broken,
        };
        self.close(key, connection, reason, now, fx);
    }

    /// A connection comes back from validation, reset or inspection.
    pub(crate) fn settle(
        &mut self,
        key: SlotKey,
        connection: P,
        settled: Settled,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        self.recorder.note(Event::Settle { slot: key, settled, now });
        let proven = match settled {
            Settled::Proven { took } => {
                self.counts.validated += 1;
                self.times.validate.record_nanos(took);
                let slot = &mut self.slots[key];
                slot.touched_at = now;
                slot.epoch = slot.probe_epoch;
                slot.epoch == self.epoch
            }
            Settled::Reset { took } => {
                self.counts.reset += 1;
                self.times.reset.record_nanos(took);
                self.slots[key].touched_at = now;
                false
            }
            Settled::Kept => false,
            Settled::Failed => {
                self.doubt_all();
                self.close(key, connection, CloseReason::Validation, now, fx);
                return self.serve(now, fx);
            }
            Settled::Close(reason) => {
                self.close(key, connection, reason, now, fx);
                return self.serve(now, fx);
            }
        };
        match self.unfit(key, now) {
            Some(reason) => self.close(key, connection, reason, now, fx),
            None => self.place(key, connection, now, proven, fx),
        }
        self.serve(now, fx);
    }

    /// A fit connection that nobody has: to the first waiter, else idle.
    pub(super) fn place(
        &mut self,
        key: SlotKey,
        connection: P,
        now: Time,
        proven: bool,
        fx: &mut Effects<P>,
    ) {
        let waiter = if self.suspended { None } else { self.first_waiter(now, fx) };
        match waiter {
            Some(waiter) if proven || !self.needs_proof(key, now) || !self.bound => {
                self.hand(waiter, key, connection, now, fx);
            }
            Some(_) => self.validate(key, connection, now, fx),
            None if self.idle.len() >= self.tuning.max_idle() => {
                self.close(key, connection, CloseReason::Surplus, now, fx);
            }
            None => self.push_idle(key, connection, now, fx),
        }
    }

    /// The slot's token is gone: whatever was in it has ended.
    /// Tells its number, the reason and its birth, if it had been opened.
    pub(crate) fn ended(
        &mut self,
        key: SlotKey,
        abandoned: bool,
        now: Time,
        fx: &mut Effects<P>,
    ) -> Option<(u64, CloseReason, Time)> {
        self.recorder.note(Event::Ended { slot: key, abandoned, now });
        let slot = self.slots.remove(key);
        self.phases[slot.phase as usize] -= 1;
        let reason = slot.reason.unwrap_or(CloseReason::Lost);
        let opened = (slot.phase != Phase::Connecting).then_some((slot.id, reason, slot.born));
        if slot.phase != Phase::Connecting {
            self.counts.ended.add(reason);
            self.counts.abandoned += u64::from(abandoned);
        }
        fx.changed = true;
        self.serve(now, fx);
        opened
    }

    /// Notes why a slot is about to end, before its token is dropped.
    pub(crate) fn ending(&mut self, key: SlotKey, reason: CloseReason) {
        self.recorder.note(Event::Ending { slot: key, reason });
        self.slots[key].reason = Some(reason);
    }

    // ---- connecting ----

    /// A connect succeeded.
    pub(crate) fn connected(
        &mut self,
        key: SlotKey,
        connection: P,
        limits: Limits,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        self.recorder.note(Event::Connected { slot: key, limits, now });
        self.counts.created += 1;
        self.backoff = Backoff::default();
        let spread = 1.0 - self.tuning.jitter * self.draw(key, 0.0);
        let lifetime = self.tuning.max_lifetime.min(limits.lifetime.map_or(u64::MAX, nanos));
        let scale = |nanos: u64, by: f64| match nanos {
            u64::MAX => u64::MAX,
            nanos => (nanos as f64 * by) as u64,
        };
        // Between two thirds and nine tenths of what the server allows.
        let idle_limit =
            scale(limits.idle.map_or(u64::MAX, nanos), 0.65 + 0.25 * self.draw(key, 0.3));
        let keepalive = scale(self.tuning.keepalive, 0.9 + 0.1 * self.draw(key, 0.6));
        let slot = &mut self.slots[key];
        self.times.connect.record_nanos(now.since(slot.since));
        (slot.born, slot.used_at, slot.touched_at) = (now, now, now);
        slot.retire_at = now.after(scale(lifetime, spread));
        slot.expire_at = now.after(lifetime);
        (slot.idle_limit, slot.keepalive, slot.fresh) = (idle_limit, keepalive, true);
        match self.unfit(key, now) {
            Some(reason) => self.close(key, connection, reason, now, fx),
            // A connect is proof, but not what asynchronous before_acquire hooks do.
            None => self.place(key, connection, now, !self.tuning.prepare, fx),
        }
        fx.changed = true;
        if self.replacing > 0 {
            self.wind(now, fx);
        }
        self.serve(now, fx);
    }

    /// Where in the lifetime's last part a connection retires, and the like: the golden ratio's
    /// multiples lie as far from each other as can be, so that no cohort ends together.
    fn draw(&self, key: SlotKey, shift: f64) -> f64 {
        (self.offset + shift + self.slots[key].id as f64 * 0.618_033_988_749_895).fract()
    }

    // ---- moving slots ----

    pub(super) fn first_waiter(&mut self, now: Time, fx: &mut Effects<P>) -> Option<WaiterKey> {
        while let Some((key, waiter)) = self.waiters.oldest() {
            if waiter.deadline >= now {
                return Some(key);
            }
            fx.wake(self.waiters.refuse(key, Refusal::TimedOut));
        }
        None
    }

    pub(super) fn hand(
        &mut self,
        waiter: WaiterKey,
        key: SlotKey,
        connection: P,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        let (_, head) = self.waiters.oldest().expect("a waiter was found");
        self.check_out(key, head.caller, now, fx);
        fx.wake(self.waiters.hand(waiter, key, connection, now));
        self.wind(now.after(2 * super::tick::GRACE), fx);
    }

    pub(super) fn validate(&mut self, key: SlotKey, connection: P, now: Time, fx: &mut Effects<P>) {
        let ping = self.is_doubtful(key, now);
        self.slots[key].probe_epoch = self.epoch;
        self.enter(key, Phase::Validating, now);
        fx.validate.push((connection, ping));
    }

    pub(super) fn close(
        &mut self,
        key: SlotKey,
        connection: P,
        reason: CloseReason,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        self.slots[key].reason = Some(reason);
        self.enter(key, Phase::Closing, now);
        fx.close.push((connection, reason));
    }

    pub(super) fn push_idle(
        &mut self,
        key: SlotKey,
        connection: P,
        now: Time,
        fx: &mut Effects<P>,
    ) {
        self.enter(key, Phase::Idle, now);
        self.idle.push_back((key, connection));
        fx.changed |= self.idle.len() <= self.tuning.min_idle;
        self.wind(self.slots[key].due(&self.tuning), fx);
    }

    pub(super) fn pop_idle(&mut self) -> Option<(SlotKey, P)> {
        if self.tuning.lifo { self.idle.pop_back() } else { self.idle.pop_front() }
    }

    fn check_out(&mut self, key: SlotKey, caller: Caller, now: Time, fx: &mut Effects<P>) {
        self.enter(key, Phase::InUse, now);
        let slot = &mut self.slots[key];
        slot.caller = Some(caller);
        slot.busy_before = slot.activity.total();
        slot.activity.name(caller.operation);
        slot.leak_reported = false;
        self.wind(now.after(self.tuning.leak_after), fx);
    }

    pub(super) fn enter(&mut self, key: SlotKey, phase: Phase, now: Time) {
        let slot = &mut self.slots[key];
        self.phases[slot.phase as usize] -= 1;
        self.phases[phase as usize] += 1;
        (slot.phase, slot.since) = (phase, now);
    }

    /// Sees to it that the maintenance task looks by then.
    pub(super) fn wind(&mut self, due: Time, fx: &mut Effects<P>) {
        if due < self.alarm {
            self.alarm = due;
            fx.nudge = true;
        }
    }

    /// Everything older than now is suspect: proven before it is handed out again.
    pub(super) fn doubt_all(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    // ---- looking ----

    /// Why this connection must not stay, if so.
    pub(super) fn unfit(&self, key: SlotKey, now: Time) -> Option<CloseReason> {
        let slot = &self.slots[key];
        if self.closed {
            Some(CloseReason::PoolClosed)
        } else if slot.generation != self.generation {
            Some(CloseReason::Invalidated)
        } else if self.slots.len() - self.count(Phase::Closing) > self.tuning.max_size {
            Some(CloseReason::Shrink)
        } else if now >= slot.expire_at {
            Some(CloseReason::Lifetime)
        } else {
            None
        }
    }

    /// Whether something has to be done with it before its next use.
    pub(super) fn needs_proof(&self, key: SlotKey, now: Time) -> bool {
        self.tuning.prepare || self.is_doubtful(key, now)
    }

    /// Whether a ping has to come before its next use.
    pub(super) fn is_doubtful(&self, key: SlotKey, now: Time) -> bool {
        let slot = &self.slots[key];
        let untouched = now.since(slot.touched_at);
        // A connect is proof enough for the moment.
        let validate_after = self.tuning.validate_after.max(u64::from(slot.fresh));
        slot.epoch != self.epoch
            || untouched >= validate_after
            || untouched >= slot.idle_limit
            || untouched >= slot.keepalive
    }

    /// Whether as many wait for others' connections as may. Who waits for one that is about to be
    /// opened or proven is not counted.
    fn queue_is_full(&self) -> bool {
        let held = self.count(Phase::InUse) + self.count(Phase::Resetting);
        let room = self.tuning.max_size.saturating_sub(held);
        self.waiters.queued() >= self.tuning.max_waiting.saturating_add(room)
    }

    pub(crate) fn count(&self, phase: Phase) -> usize {
        self.phases[phase as usize]
    }

    /// Connections that may yet serve somebody.
    pub(super) fn servers(&self) -> usize {
        self.slots.len() - self.count(Phase::Connecting) - self.count(Phase::Closing)
    }

    pub(crate) fn open(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn slot(&self, key: SlotKey) -> &Slot {
        &self.slots[key]
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|(_, slot)| slot).filter(|slot| slot.phase == Phase::InUse)
    }

    /// Whether the minimums are reached, or why they will not be; `None` while it is open.
    pub(crate) fn readiness(&self, now: Time) -> Option<Result<(), Refusal>> {
        let spare = self.count(Phase::Idle) + self.count(Phase::Validating);
        if self.closed {
            Some(Err(Refusal::Closed))
        } else if self.servers() >= self.tuning.min_size && spare >= self.tuning.min_idle {
            Some(Ok(()))
        } else {
            self.backoff.is_permanent(now).then_some(Err(Refusal::Connect))
        }
    }

    /// The last connect failed.
    pub(crate) fn failing(&self) -> bool {
        self.backoff.failures() > 0
    }

    pub(crate) fn waiters(&self) -> &Waiters<P> {
        &self.waiters
    }

    /// Counts a checkout; true if the connection had been used before.
    fn count_acquired(&mut self, key: SlotKey, waited: u64) -> bool {
        let fresh = std::mem::take(&mut self.slots[key].fresh);
        self.counts.acquired += 1;
        self.counts.misses += u64::from(fresh);
        self.counts.hits += u64::from(!fresh);
        self.times.wait.record_nanos(waited);
        !fresh
    }

    fn uncount_acquired(&mut self, key: SlotKey, hit: bool, waited: Option<u64>) {
        self.slots[key].fresh = !hit;
        self.counts.acquired -= 1;
        self.counts.waited -= u64::from(waited.is_some());
        self.counts.misses -= u64::from(!hit);
        self.counts.hits -= u64::from(hit);
        self.times.wait.forget_nanos(waited.unwrap_or(0));
    }

    fn count_refused(&mut self, why: Refusal) {
        match why {
            Refusal::TimedOut => self.counts.timed_out += 1,
            Refusal::Connect | Refusal::Panicked => self.counts.failed += 1,
            Refusal::QueueFull => self.counts.shed += 1,
            Refusal::Closed => self.counts.closed += 1,
        }
    }
}
