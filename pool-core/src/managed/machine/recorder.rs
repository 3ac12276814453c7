//! The flight recorder: the last engine events, and their replay into the state machine.
//!
//! Every event that goes into the state machine is noted under the same lock, nearly all in a ring
//! that was allocated with the pool; what is rare lies beside it. As the machine knows no clock and no I/O, the same events make the same
//! states: a recording can be replayed, long after and elsewhere, and has to end where it ended.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::Location;

use super::outbox::Outbox;
use super::state::State;
use super::tuning::Tuning;
use super::vocabulary::{Caller, Miss, Phase, Settled, SlotKey, Time, Verdict, Who};
use super::waiters::Waiter;
use crate::snapshot::CloseReason;
use crate::sync::Arc;
use crate::{ErrorClass, Limits};

const MILLISECOND: u64 = 1_000_000;

/// One event into the state machine, with all that its outcome depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Acquire,
    Enqueue {
        since: Time,
        deadline: Time,
        ticket: Option<u64>,
    },
    /// Waiters are told by their tickets.
    Rejoin(u64),
    Told(u64),
    GiveUp {
        ticket: u64,
        cancelled: bool,
    },
    GivenUpEarly,
    Stranded(Option<u64>),
    Release {
        slot: SlotKey,
        verdict: Verdict,
    },
    Settle {
        slot: SlotKey,
        settled: Settled,
    },
    Ending {
        slot: SlotKey,
        reason: CloseReason,
    },
    Ended {
        slot: SlotKey,
        abandoned: bool,
    },
    Connected {
        slot: SlotKey,
        limits: Limits,
    },
    ConnectFailed {
        slot: SlotKey,
        class: Option<ErrorClass>,
    },
    TakeBack(SlotKey),
    Tick,
    /// By the number of this event: the settings lie beside the ring, being large and rare.
    Retune(u64),
    Suspend(bool),
    InvalidateAll,
    SuspectAll,
    Shut,
    Bind,
    Unbind,
    TakeIdle,
}

#[derive(Debug)]
#[repr(C)] // what every note writes is first
pub(crate) struct Recorder {
    /// How many events there were, and so the number of the next.
    noted: u64,
    /// Where that goes in the ring.
    next: usize,
    /// The last events: when each was, and which, as [`pack`] has it. Small, since the ring's lines
    /// travel between the cores of all who use the pool.
    ring: Vec<[u64; 2]>,
    /// Those of them that are not packed, by their numbers; at most as many as the ring has places.
    aside: VecDeque<(u64, Event)>,
    /// The settings that they tell of, by the number of the event.
    tunings: VecDeque<(u64, Arc<Tuning>)>,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        let (aside, tunings) = (VecDeque::new(), VecDeque::new());
        Self { noted: 0, next: 0, ring: vec![[0; 2]; capacity], aside, tunings }
    }

    /// Notes other settings, and forgets those whose event was overwritten.
    pub(crate) fn note_tuning(&mut self, now: Time, tuning: &Arc<Tuning>) {
        let number = self.noted;
        self.note(now, Event::Retune(number));
        self.tunings.push_back((number, tuning.clone()));
        let overwritten = self.overwritten();
        self.tunings.retain(|(number, _)| *number >= overwritten);
    }

    #[inline]
    pub(crate) fn note(&mut self, now: Time, event: Event) {
        let packed = pack(now, event).unwrap_or_else(|| self.set_aside(event));
        self.noted += 1;
        if let Some(place) = self.ring.get_mut(self.next) {
            *place = [now.0, packed];
            self.next = if self.next + 1 < self.ring.len() { self.next + 1 } else { 0 };
        }
    }

    /// Keeps an event beside the ring, until the next one after its place was overwritten.
    #[cold]
    fn set_aside(&mut self, event: Event) -> u64 {
        let capacity = self.ring.len() as u64;
        while self.aside.front().is_some_and(|(number, _)| number + capacity <= self.noted) {
            self.aside.pop_front();
        }
        if capacity > 0 {
            self.aside.push_back((self.noted, event));
        }
        ASIDE
    }

    fn overwritten(&self) -> u64 {
        self.noted.saturating_sub(self.ring.len() as u64)
    }

    fn events(&self) -> Vec<(Time, Event)> {
        let (first, (later, earlier)) = (self.overwritten(), self.ring.split_at(self.next));
        let unused = self.ring.len() - (self.noted - first) as usize;
        let kept = earlier.iter().chain(later).skip(unused);
        let mut aside = self.aside.iter().skip_while(|(number, _)| *number < first);
        let event = |[at, packed]: &[u64; 2]| {
            let at = Time(*at);
            let unpacked = unpack(at, *packed).or_else(|| aside.next().map(|(_, event)| *event));
            (at, unpacked.expect("what is not packed is kept beside"))
        };
        kept.map(event).collect()
    }
}

/// Not packed, but beside the ring.
const ASIDE: u64 = 0;
const ACQUIRE: u64 = 1;
/// With the slot.
const RELEASE: u64 = 2;
/// With how long ago it began, and how long it may wait.
const ENQUEUE: u64 = 3;
/// Which of these it is.
const KIND: u32 = 2;
/// In nanoseconds: 4 ms.
const AGO: u32 = 22;
/// In nanoseconds: 18 minutes; the largest number is without limit.
const MAY_WAIT: u32 = 64 - AGO - KIND;
const FOREVER: u64 = (1 << MAY_WAIT) - 1;

/// An event as one number, if it is one of the three that nearly all are, and not out of the ordinary.
#[inline]
fn pack(now: Time, event: Event) -> Option<u64> {
    match event {
        Event::Acquire => Some(ACQUIRE),
        Event::Release { slot, verdict: Verdict::Clean } => Some((slot as u64) << KIND | RELEASE),
        Event::Enqueue { since, deadline, ticket: None } => {
            let ago = now.0.checked_sub(since.0).filter(|ago| *ago < 1 << AGO)?;
            let may_wait = match deadline {
                Time::NEVER => FOREVER,
                _ => deadline.0.checked_sub(since.0).filter(|wait| *wait < FOREVER)?,
            };
            Some(may_wait << AGO << KIND | ago << KIND | ENQUEUE)
        }
        _ => None,
    }
}

/// The event that was packed, unless it is beside the ring.
fn unpack(now: Time, packed: u64) -> Option<Event> {
    let rest = packed >> KIND;
    match packed & ((1 << KIND) - 1) {
        ACQUIRE => Some(Event::Acquire),
        RELEASE => Some(Event::Release { slot: rest as SlotKey, verdict: Verdict::Clean }),
        ENQUEUE => {
            let (ago, may_wait) = (rest & ((1 << AGO) - 1), rest >> AGO);
            let since = Time(now.0 - ago);
            let deadline = if may_wait == FOREVER { Time::NEVER } else { since.after(may_wait) };
            Some(Event::Enqueue { since, deadline, ticket: None })
        }
        _ => None,
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
    tunings: VecDeque<(u64, Arc<Tuning>)>,
    overwritten: u64,
    end: String,
}

impl Recording {
    pub(crate) fn take<P>(state: &State<P>, tuning: Tuning, seed: u64) -> Self {
        Self {
            tuning,
            seed,
            events: state.recorder.events(),
            tunings: state.recorder.tunings.clone(),
            overwritten: state.recorder.overwritten(),
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
        let mut owners = Owners::new();
        for (n, (now, event)) in self.events.iter().enumerate() {
            state.now = *now;
            match self.tuning_of(event) {
                Some(tuning) => state.retune(tuning.clone()),
                None => state.apply(*event, &mut owners),
            }
            state.check().map_err(|fault| format!("after event {n} ({event:?}): {fault}"))?;
        }
        let end = state.digest();
        if end == self.end {
            Ok(())
        } else {
            Err(format!("replayed to\n{end}\nbut recorded was\n{}", self.end))
        }
    }

    /// The settings that an event tells of.
    fn tuning_of(&self, event: &Event) -> Option<&Arc<Tuning>> {
        let Event::Retune(number) = event else { return None };
        self.tunings.iter().find(|(at, _)| at == number).map(|(_, tuning)| tuning)
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.overwritten > 0 {
            writeln!(f, "({} older events overwritten)", self.overwritten)?;
        }
        for (now, event) in &self.events {
            write!(f, "{:>16} {event:?}", now.0)?;
            match self.tuning_of(event) {
                Some(tuning) => writeln!(f, " {tuning:?}")?,
                None => writeln!(f)?,
            }
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

/// Those who wait in a replay, by their tickets. None of them takes what it is handed: the machine
/// does not know when they do.
type Owners = HashMap<u64, Arc<Waiter<()>>>;

impl State<()> {
    /// Does what the event did.
    fn apply(&mut self, event: Event, owners: &mut Owners) {
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        match event {
            Event::Acquire => drop(self.acquire(&caller, &mut Miss::MustWait)),
            Event::Enqueue { since, deadline, ticket } => {
                let mut waiter = Waiter::new(since, deadline, caller, None);
                if self.enqueue(&mut waiter, ticket).is_ok() {
                    owners.insert(waiter.ticket, waiter);
                }
            }
            Event::Rejoin(ticket) => self.rejoin(&owners[&ticket]),
            Event::Told(ticket) => drop(self.take_outcome(&owners[&ticket])),
            Event::GiveUp { ticket, cancelled } => {
                let waiter = owners.remove(&ticket).expect("it has joined");
                let _ = self.give_up(&waiter, cancelled);
            }
            Event::GivenUpEarly => self.given_up_early(),
            Event::Stranded(ticket) => {
                let waiter = ticket.and_then(|ticket| owners.remove(&ticket));
                self.stranded(waiter.as_deref());
            }
            Event::Release { slot, verdict } => {
                // Its owner has come for it at some time before.
                drop(owners.remove(&self.slots[slot].ticket));
                self.release(slot, (), verdict);
            }
            Event::Settle { slot, settled } => self.settle(slot, (), settled),
            Event::Ending { slot, reason } => self.ending(slot, reason),
            Event::Ended { slot, abandoned } => drop(self.ended(slot, abandoned)),
            Event::Connected { slot, limits } => self.connected(slot, (), limits),
            Event::ConnectFailed { slot, class } => self.connect_failed(slot, class),
            Event::TakeBack(slot) => self.take_back(slot),
            Event::Tick => drop(self.pass_time()),
            Event::Retune(_) => {} // has its settings from the recording
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
    /// The state in words, without what a replay cannot know (call sites, connections,
    /// whether those who were handed one have come for it, and so when to look next).
    fn digest(&self) -> String {
        let idle: Vec<_> = self.idle.iter().map(|(key, _)| *key).collect();
        let queued: Vec<_> = self.waiters().in_line().map(|waiter| waiter.ticket).collect();
        let aside = self.waiters().len() - queued.len();
        let slots: Vec<_> =
            self.slots.iter().map(|(key, slot)| (key, slot.id, slot.phase, slot.since.0)).collect();
        format!(
            "slots {slots:?}, idle {idle:?}, queued {queued:?}, aside {aside}, generation {}, \
             epoch {}, \
             bound {}, suspended {}, closed {}, backoff {:?}, {:?}",
            self.generation,
            self.epoch,
            self.bound,
            self.suspended,
            self.closed,
            self.backoff,
            self.counts()
        )
    }

    /// What has to be true between any two events.
    ///
    /// # Errors
    /// The first thing that is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut phases = [0; 6];
        self.slots.iter().for_each(|(_, slot)| phases[slot.phase as usize] += 1_u32);
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
            return Err(format!("{open} open, but {:?}", self.counts()));
        }
        let (counts, used) = (self.counts(), self.times.usage.count());
        let in_use = self.count(Phase::InUse) as u64;
        if counts.acquired < used + in_use || counts.misses > counts.acquired.min(counts.created) {
            return Err(format!("{used} used, {in_use} in use, but {counts:?}"));
        }
        let usable = |(key, _): &(SlotKey, P)| {
            !self.needs_proof(&self.slots[*key]) && self.unfit(&self.slots[*key]).is_none()
        };
        let able = self.bound && !self.suspended && !self.closed;
        if able && self.waiters().queued() > 0 && self.idle.iter().any(usable) {
            return Err("a usable connection is idle while somebody waits".into());
        }
        // Who came a little later may have read the clock a little earlier.
        let uncalled = |waiter: &Waiter<P>| {
            waiter.deadline > self.now && waiter.deadline.after(MILLISECOND) < self.alarm
        };
        if self.bound && !self.closed && self.waiters().in_line().any(uncalled) {
            return Err("nobody will call one who waits when its time is up".into());
        }
        Ok(())
    }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;
    use crate::managed::machine::vocabulary::Fate;
    use crate::{Cause, PoolConfig};

    type Change = fn(&mut State<()>);

    fn tuning() -> Tuning {
        Tuning::new(&PoolConfig::new().max_size(2), false, false)
    }

    /// A pool with one idle connection.
    fn one_idle() -> State<()> {
        let mut state = State::new(tuning(), 1, Recorder::new(100));
        state.bind();
        let waiter = wait(&mut state, Time::NEVER);
        state.connected(0, (), Limits::none());
        let _ = state.give_up(&waiter, true);
        state.tick();
        state.out = Outbox::default();
        state.check().unwrap();
        assert_eq!(state.idle.len(), 1);
        state
    }

    fn nobody() -> Caller {
        Caller { site: Location::caller(), operation: None, who: Who::Unknown }
    }

    fn wait(state: &mut State<()>, deadline: Time) -> Arc<Waiter<()>> {
        let mut waiter = Waiter::new(state.now, deadline, nobody(), None);
        state.enqueue(&mut waiter, None).unwrap();
        waiter
    }

    /// Puts somebody into the queue behind the back of the state machine.
    fn smuggle(state: &mut State<()>, deadline: Time) {
        let waiter = Waiter::new(state.now, deadline, nobody(), None);
        state.waiters.push(waiter);
    }

    #[test]
    fn the_ring_keeps_the_last_in_their_order() {
        for (capacity, kept) in [(0, 7..7), (1, 6..7), (3, 4..7), (7, 0..7), (8, 0..7)] {
            let mut recorder = Recorder::new(capacity);
            (0..7).for_each(|at| recorder.note(Time(at), Event::Tick));
            let times: Vec<_> = recorder.events().into_iter().map(|(at, _)| at.0).collect();
            assert_eq!(times, kept.clone().collect::<Vec<_>>(), "{capacity}");
            assert_eq!(recorder.overwritten(), kept.start);
            assert!(recorder.aside.len() <= capacity);
        }
    }

    #[test]
    fn what_is_packed_and_what_is_not_come_out_as_they_were() {
        let now = Time(1 << 40);
        let enqueue = |ago: u64, may_wait: u64, ticket| {
            let since = Time(now.0 - ago);
            Event::Enqueue { since, deadline: since.after(may_wait), ticket }
        };
        let packed = [
            Event::Acquire,
            Event::Release { slot: 0, verdict: Verdict::Clean },
            Event::Release { slot: usize::MAX >> KIND, verdict: Verdict::Clean },
            enqueue(0, 0, None),
            enqueue((1 << AGO) - 1, FOREVER - 1, None),
            enqueue(1, u64::MAX, None),
        ];
        let dirty = Verdict::Dirty(Cause::Upkeep);
        let not = [
            Event::Tick,
            Event::Release { slot: 3, verdict: dirty },
            enqueue(1 << AGO, 1, None),
            enqueue(1, FOREVER, None),
            enqueue(1, 1, Some(7)),
            Event::Enqueue { since: Time(now.0 + 1), deadline: Time(now.0 + 2), ticket: None },
            Event::Enqueue { since: now, deadline: Time(now.0 - 1), ticket: None },
        ];
        assert!(packed.iter().all(|event| pack(now, *event).is_some()));
        assert!(not.iter().all(|event| pack(now, *event).is_none()));
        for capacity in 1..20 {
            let mut recorder = Recorder::new(capacity);
            let mut noted = Vec::new();
            for n in 0..100 {
                let event = [packed[n % 6], not[n % 7]][n / 6 % 2];
                recorder.note(now, event);
                noted.push((now, event));
                assert_eq!(recorder.events(), noted[noted.len().saturating_sub(capacity)..]);
            }
        }
    }

    #[test]
    fn settings_are_kept_as_long_as_their_events() {
        for (capacity, kept) in [(1, 1), (3, 2), (100, 20)] {
            let mut state = State::<()>::new(tuning(), 1, Recorder::new(capacity));
            for max_waiting in 0..20 {
                state.suspend(true);
                state.retune(Arc::new(Tuning { max_waiting, ..tuning() }));
            }
            let recording = Recording::take(&state, tuning(), 1);
            let told = recording.events.iter().filter_map(|(_, event)| recording.tuning_of(event));
            let told: Vec<_> = told.map(|tuning| tuning.max_waiting).collect();
            assert_eq!(told, (20 - kept..20).collect::<Vec<_>>(), "{capacity}");
            assert_eq!(recording.tunings.len(), kept);
        }
    }

    #[test]
    fn a_recording_tells_what_it_holds() {
        let state = one_idle();
        let recording = Recording::take(&state, tuning(), 1);
        assert!(!recording.is_empty());
        let text = recording.to_string();
        assert!(text.lines().next().unwrap().ends_with("0 Bind"), "{text}");
        let debug = format!("{recording:?}");
        assert!(debug.starts_with("Recording { events: 5, overwritten: 0"), "{debug}");
    }

    #[test]
    fn a_replay_that_ends_elsewhere_is_told() {
        let mut recording = Recording::take(&one_idle(), tuning(), 1);
        recording.replay().unwrap();
        recording.events.push((Time(0), Event::GivenUpEarly));
        let why = recording.replay().unwrap_err();
        assert!(why.contains("cancelled: 2") && why.contains("but recorded was"), "{why}");
    }

    #[test]
    fn what_is_wrong_is_found() {
        let wrong: [(Change, &str); 8] = [
            (|state| state.phases[0] += 1, "counted ["),
            (|state| state.idle.clear(), "0 idle, counted"),
            (|state| state.tuning.sizes.max_size = 0, "above max_size 0"),
            (|state| state.counts.created += 1, "1 open, but "),
            (|state| state.times.usage.record_nanos(1), "1 used, 0 in use"),
            (|state| state.counts.misses += 1, "0 used, 0 in use"),
            (|state| smuggle(state, Time::NEVER), "a usable connection is idle"),
            (
                |state| {
                    state.suspended = true;
                    state.alarm = Time::NEVER;
                    smuggle(state, Time(1));
                },
                "nobody will call",
            ),
        ];
        for (change, said) in wrong {
            let mut state = one_idle();
            change(&mut state);
            let why = state.check().unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn what_is_not_wrong_is_not_found() {
        let right: [(&str, Time, Change); 8] = [
            ("suspended", Time::NEVER, |state| state.suspended = true),
            ("closed", Time::NEVER, |state| state.closed = true),
            ("without a runtime", Time::NEVER, |state| state.bound = false),
            ("no longer to be used", Time::NEVER, |state| state.slots[0].may_live = 0),
            ("to be proven first", Time::NEVER, |state| state.epoch += 1),
            ("called in time", Time(1), |state| {
                state.suspended = true;
                state.alarm = Time(1 + MILLISECOND);
            }),
            ("not called, since closed", Time(1), |state| {
                state.closed = true;
                state.alarm = Time::NEVER;
            }),
            ("not called, since without a runtime", Time(1), |state| {
                state.bound = false;
                state.alarm = Time::NEVER;
            }),
        ];
        for (why, deadline, change) in right {
            let mut state = one_idle();
            change(&mut state);
            smuggle(&mut state, deadline);
            assert_eq!(state.check(), Ok(()), "{why}");
        }
    }

    #[test]
    fn a_replay_tells_apart_whom_a_slot_had_one_after_the_other() {
        let tuning = Tuning::new(&PoolConfig::new().max_size(3), false, false);
        let mut state = State::new(tuning.clone(), 1, Recorder::new(1000));
        state.bind();
        let take = |waiter: &Waiter<()>| assert!(waiter.take().is_some());
        // Three connections, each used before.
        for key in 0..3 {
            let w = wait(&mut state, Time::NEVER);
            state.connected(key, (), Limits::none());
            take(&w);
        }
        for key in 0..3 {
            state.release(key, (), Verdict::Clean);
        }
        state.now = Time(1_000_000_000);
        state.tick();
        for _ in 0..3 {
            assert!(state.acquire(&nobody(), &mut Miss::MustWait).is_some());
        }
        // H and W wait and are handed 0 and 1; both come for it.
        let h = wait(&mut state, Time::NEVER);
        let w = wait(&mut state, Time::NEVER);
        state.release(0, (), Verdict::Clean);
        state.release(1, (), Verdict::Clean);
        take(&h);
        take(&w);
        let ticket = w.ticket;
        drop(w);
        // What W got is broken: it keeps its place, and is handed 2.
        state.release(1, (), Verdict::Rejected(Fate::Close(Cause::Invalidated)));
        let mut again = Waiter::new(state.now, Time::NEVER, nobody(), None);
        state.enqueue(&mut again, Some(ticket)).unwrap();
        state.release(2, (), Verdict::Clean);
        assert!(again.is_handed());
        // A new connection in slot 1, used without a wait.
        let _ = state.ended(1, false);
        let x = wait(&mut state, Time::NEVER);
        let _ = state.give_up(&x, true);
        state.connected(1, (), Limits::none());
        assert!(state.acquire(&nobody(), &mut Miss::MustWait).is_some());
        state.release(1, (), Verdict::Clean);
        // W gives up what it was handed.
        let _ = state.give_up(&again, true);
        let recording = Recording::take(&state, tuning, 1);
        recording.replay().unwrap();
    }
}
