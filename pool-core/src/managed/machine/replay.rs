//! What a flight recorder held, and its replay into the state machine.
//!
//! As the machine knows no clock and no I/O, the same events make the same states: a recording can be
//! replayed, long after and elsewhere, and has to end where it ended.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::Location;

use super::outbox::Outbox;
use super::recorder::{Event, Recorder};
use super::state::State;
use super::tuning::Tuning;
use super::vocabulary::{Caller, Miss, Phase, SlotKey, Time, Who};
use super::waiters::Waiter;
use crate::sync::Arc;

const MILLISECOND: u64 = 1_000_000;

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
            self.counts(&[])
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
            return Err(format!("{open} open, but {:?}", self.counts(&[])));
        }
        let (counts, used) = (self.counts(&[]), self.times.usage.count());
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
    use crate::managed::machine::vocabulary::{Fate, Verdict};
    use crate::{Cause, Limits, PoolConfig};

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
            ("no longer to be used", Time::NEVER, |state| {
                (state.slots[0].may_live, state.slots[0].retire_at) = (0, Time(0));
            }),
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
