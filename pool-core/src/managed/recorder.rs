//! The flight recorder: the last engine events, and their replay into the state machine.
//!
//! Every event that goes into the state machine is noted under the same lock, in a ring that was
//! allocated with the pool. As the machine knows no clock and no I/O, the same events make the same
//! states: a recording can be replayed, long after and elsewhere, and has to end where it ended.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;

use super::state::{
    Caller, Effects, Phase, Settled, SlotKey, State, Taken, Time, Tuning, Verdict, Wait, Who,
};
use super::tick::Sizes;
use super::waiters::{Place, WaiterKey};
use crate::snapshot::CloseReason;
use crate::{ErrorClass, Limits};

/// One event into the state machine, with all that its outcome depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Acquire { now: Time },
    Enqueue { now: Time, wait: Wait },
    Take { key: WaiterKey, now: Time },
    GiveUp { key: WaiterKey, now: Time, cancelled: bool },
    Release { slot: SlotKey, verdict: Verdict, now: Time },
    Settle { slot: SlotKey, settled: Settled, now: Time },
    Ending { slot: SlotKey, reason: CloseReason },
    Ended { slot: SlotKey, abandoned: bool, now: Time },
    Connected { slot: SlotKey, limits: Limits, now: Time },
    ConnectFailed { slot: SlotKey, class: Option<ErrorClass>, now: Time },
    Tick { now: Time },
    Resize { sizes: Sizes, now: Time },
    Suspend { suspended: bool, now: Time },
    InvalidateAll { now: Time },
    SuspectAll,
    Shut { now: Time },
    Bind { now: Time },
    Unbind,
    TakeIdle { now: Time },
}

#[derive(Debug)]
pub(crate) struct Recorder {
    ring: VecDeque<Event>,
    capacity: usize,
    overwritten: u64,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { ring: VecDeque::with_capacity(capacity), capacity, overwritten: 0 }
    }

    pub(crate) fn note(&mut self, event: Event) {
        if self.ring.len() == self.capacity {
            self.overwritten += 1;
            if self.ring.pop_front().is_none() {
                return; // switched off
            }
        }
        self.ring.push_back(event);
    }
}

/// What a pool's flight recorder holds, see
/// [`ManagedPool::flight_recording`](crate::ManagedPool::flight_recording).
///
/// Its `Display` is the list of events, one a line.
#[derive(Clone)]
pub struct Recording {
    tuning: Tuning,
    seed: u64,
    events: Vec<Event>,
    overwritten: u64,
    end: String,
}

impl Recording {
    pub(crate) fn take<P>(state: &State<P>, tuning: Tuning, seed: u64) -> Self {
        Self {
            tuning,
            seed,
            events: state.recorder.ring.iter().copied().collect(),
            overwritten: state.recorder.overwritten,
            end: state.digest(),
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many older events the ring has overwritten. Only a recording that reaches back to the
    /// pool's birth, with none overwritten, can be replayed.
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Feeds the events into a fresh state machine and compares where both ended.
    ///
    /// # Errors
    /// What differs, or why there is no replay.
    pub fn replay(&self) -> Result<(), String> {
        if self.overwritten > 0 {
            return Err(format!(
                "{} older events were overwritten: record with a larger flight_recorder",
                self.overwritten
            ));
        }
        let mut state = State::<()>::new(self.tuning.clone(), self.seed, Recorder::new(0));
        for (n, event) in self.events.iter().enumerate() {
            state.apply(*event);
            state.check().map_err(|fault| format!("after event {n} ({event:?}): {fault}"))?;
        }
        let end = state.digest();
        if end == self.end {
            Ok(())
        } else {
            Err(format!("replayed to\n{end}\nbut recorded was\n{}", self.end))
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.overwritten > 0 {
            writeln!(f, "({} older events overwritten)", self.overwritten)?;
        }
        self.events.iter().try_for_each(|event| writeln!(f, "{event:?}"))?;
        write!(f, "end: {}", self.end)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("events", &self.events.len())
            .field("overwritten", &self.overwritten)
            .finish_non_exhaustive()
    }
}

impl State<()> {
    /// Does what the event did.
    fn apply(&mut self, event: Event) {
        let fx = &mut Effects::new();
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        match event {
            Event::Acquire { now } => drop(self.acquire(now, caller, fx)),
            Event::Enqueue { now, wait } => {
                let _ = self.enqueue(now, wait, caller, None, fx);
            }
            Event::Take { key, now } => drop::<Taken<()>>(self.take(key, now, None, fx)),
            Event::GiveUp { key, now, cancelled } => drop(self.give_up(key, now, cancelled, fx)),
            Event::Release { slot, verdict, now } => self.release(slot, (), verdict, now, fx),
            Event::Settle { slot, settled, now } => self.settle(slot, (), settled, now, fx),
            Event::Ending { slot, reason } => self.ending(slot, reason),
            Event::Ended { slot, abandoned, now } => drop(self.ended(slot, abandoned, now, fx)),
            Event::Connected { slot, limits, now } => self.connected(slot, (), limits, now, fx),
            Event::ConnectFailed { slot, class, now } => self.connect_failed(slot, class, now, fx),
            Event::Tick { now } => drop(self.tick(now, fx)),
            Event::Resize { sizes, now } => self.resize(sizes, now, fx),
            Event::Suspend { suspended, now } => self.suspend(suspended, now, fx),
            Event::InvalidateAll { now } => self.invalidate_all(now, fx),
            Event::SuspectAll => self.suspect_all(),
            Event::Shut { now } => self.shut(now, fx),
            Event::Bind { now } => self.bind(now, fx),
            Event::Unbind => self.unbind(fx),
            Event::TakeIdle { now } => drop(self.take_idle(now)),
        }
    }
}

impl<P> State<P> {
    /// The state in words, without what a replay cannot know (call sites, connections).
    fn digest(&self) -> String {
        let idle: Vec<_> = self.idle.iter().map(|(key, _)| *key).collect();
        let mut waiters: Vec<_> = self
            .waiters()
            .iter()
            .map(|waiter| {
                let place = match waiter.place {
                    Place::Queued => "queued".into(),
                    Place::Dozing => "dozing".into(),
                    Place::Handed { slot, .. } => format!("handed {slot}"),
                    Place::Refused(why) => format!("{why:?}"),
                };
                (waiter.ticket, place)
            })
            .collect();
        waiters.sort();
        let slots: Vec<_> =
            self.slots.iter().map(|(key, slot)| (key, slot.id, slot.phase, slot.since.0)).collect();
        format!(
            "slots {slots:?}, idle {idle:?}, waiters {waiters:?}, generation {}, epoch {}, \
             bound {}, suspended {}, closed {}, backoff {:?}, alarm {:?}, {:?}",
            self.generation,
            self.epoch,
            self.bound,
            self.suspended,
            self.closed,
            self.backoff,
            self.alarm,
            self.counts
        )
    }

    /// What has to be true between any two events.
    ///
    /// # Errors
    /// The first thing that is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut phases = [0; 6];
        self.slots.iter().for_each(|(_, slot)| phases[slot.phase as usize] += 1);
        if phases != self.phases {
            return Err(format!("phases are {phases:?}, counted {:?}", self.phases));
        }
        if self.idle.len() != self.count(Phase::Idle) {
            return Err(format!("{} idle, counted {:?}", self.idle.len(), self.phases));
        }
        if self.open() - self.count(Phase::Closing) > self.tuning.max_size
            && self.count(Phase::Idle) > 0
        {
            return Err(format!("{:?} above max_size {}", self.phases, self.tuning.max_size));
        }
        let open = self.open() - self.count(Phase::Connecting);
        if self.counts.created != self.counts.ended.total() + open as u64 {
            return Err(format!("{open} open, but {:?}", self.counts));
        }
        let usable = |key| !self.needs_proof_ever(key);
        if self.bound
            && !self.suspended
            && self.waiters().queued() > 0
            && self.idle.iter().any(|(key, _)| usable(*key))
        {
            return Err("a usable connection is idle while somebody waits".into());
        }
        Ok(())
    }

    /// Whether it may need proof, at any time.
    fn needs_proof_ever(&self, key: SlotKey) -> bool {
        self.tuning.prepare
            || self.tuning.validate_after != u64::MAX
            || self.slots[key].idle_limit != u64::MAX
            || self.slots[key].epoch != self.epoch
    }
}
