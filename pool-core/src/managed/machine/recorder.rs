//! The flight recorder: the last engine events, and their replay into the state machine.
//!
//! Every event that goes into the state machine is noted under the same lock, in a ring that was
//! allocated with the pool. As the machine knows no clock and no I/O, the same events make the same
//! states: a recording can be replayed, long after and elsewhere, and has to end where it ended.

use std::fmt;
use std::panic::Location;

use super::outbox::Outbox;
use super::state::State;
use super::tuning::{Sizes, Tuning};
use super::vocabulary::{Caller, Phase, Settled, SlotKey, Time, Verdict, Wait, Who};
use super::waiters::{Place, Waiter, WaiterKey};
use crate::snapshot::CloseReason;
use crate::{ErrorClass, Limits};

const MILLISECOND: u64 = 1_000_000;

/// One event into the state machine, with all that its outcome depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Acquire,
    Enqueue(Wait),
    Take(WaiterKey),
    GiveUp { key: WaiterKey, cancelled: bool },
    GivenUpEarly,
    Stranded(Option<WaiterKey>),
    Release { slot: SlotKey, verdict: Verdict },
    Settle { slot: SlotKey, settled: Settled },
    Ending { slot: SlotKey, reason: CloseReason },
    Ended { slot: SlotKey, abandoned: bool },
    Connected { slot: SlotKey, limits: Limits },
    ConnectFailed { slot: SlotKey, class: Option<ErrorClass> },
    Tick,
    Resize(Sizes),
    Suspend(bool),
    InvalidateAll,
    SuspectAll,
    Shut,
    Bind,
    Unbind,
    TakeIdle,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    ring: Vec<(Time, Event)>,
    capacity: usize,
    /// Where the oldest lies, once the ring is full.
    oldest: usize,
    overwritten: u64,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { ring: Vec::with_capacity(capacity), capacity, oldest: 0, overwritten: 0 }
    }

    #[inline]
    pub(crate) fn note(&mut self, now: Time, event: Event) {
        if self.ring.len() < self.capacity {
            return self.ring.push((now, event));
        }
        self.overwritten += 1;
        if let Some(place) = self.ring.get_mut(self.oldest) {
            *place = (now, event);
            self.oldest = if self.oldest + 1 < self.capacity { self.oldest + 1 } else { 0 };
        }
    }

    fn events(&self) -> Vec<(Time, Event)> {
        let (later, earlier) = self.ring.split_at(self.oldest);
        [earlier, later].concat()
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
    events: Vec<(Time, Event)>,
    overwritten: u64,
    end: String,
}

impl Recording {
    pub(crate) fn take<P>(state: &State<P>, tuning: Tuning, seed: u64) -> Self {
        Self {
            tuning,
            seed,
            events: state.recorder.events(),
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
        for (n, (now, event)) in self.events.iter().enumerate() {
            state.now = *now;
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
        for (now, event) in &self.events {
            writeln!(f, "{:>16} {event:?}", now.0)?;
        }
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
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        match event {
            Event::Acquire => drop(self.acquire(caller)),
            Event::Enqueue(wait) => drop(self.enqueue(wait, caller, &mut None)),
            Event::Take(key) => drop(self.take(key, &mut None)),
            Event::GiveUp { key, cancelled } => drop(self.give_up(key, cancelled)),
            Event::GivenUpEarly => self.given_up_early(),
            Event::Stranded(key) => self.stranded(key),
            Event::Release { slot, verdict } => self.release(slot, (), verdict),
            Event::Settle { slot, settled } => self.settle(slot, (), settled),
            Event::Ending { slot, reason } => self.ending(slot, reason),
            Event::Ended { slot, abandoned } => drop(self.ended(slot, abandoned)),
            Event::Connected { slot, limits } => self.connected(slot, (), limits),
            Event::ConnectFailed { slot, class } => self.connect_failed(slot, class),
            Event::Tick => drop(self.tick()),
            Event::Resize(sizes) => self.resize(sizes),
            Event::Suspend(suspended) => self.suspend(suspended),
            Event::InvalidateAll => self.invalidate_all(),
            Event::SuspectAll => self.suspect_all(),
            Event::Shut => self.shut(),
            Event::Bind => self.bind(),
            Event::Unbind => self.unbind(),
            Event::TakeIdle => drop(self.take_idle()),
        }
        self.out = Outbox::default();
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
        if self.open() - self.count(Phase::Closing) > self.tuning.sizes.max_size
            && self.count(Phase::Idle) > 0
        {
            return Err(format!("{:?} above max_size {}", self.phases, self.tuning.sizes.max_size));
        }
        let open = self.open() - self.count(Phase::Connecting);
        if self.counts.created != self.counts.ended.total() + open as u64 {
            return Err(format!("{open} open, but {:?}", self.counts));
        }
        let usable =
            |(key, _): &(SlotKey, P)| !self.needs_proof(*key) && self.unfit(*key).is_none();
        let able = self.bound && !self.suspended && !self.closed;
        if able && self.waiters().queued() > 0 && self.idle.iter().any(usable) {
            return Err("a usable connection is idle while somebody waits".into());
        }
        // Who came a little later may have read the clock a little earlier.
        let uncalled = |(_, waiter): (_, &Waiter<P>)| {
            waiter.deadline > self.now && waiter.deadline.after(MILLISECOND) < self.alarm
        };
        if self.bound && !self.closed && self.waiters().in_line().any(uncalled) {
            return Err("nobody will call one who waits when its time is up".into());
        }
        Ok(())
    }
}
