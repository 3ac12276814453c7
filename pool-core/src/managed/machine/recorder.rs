//! The flight recorder: the last engine events.
//!
//! Every event that goes into the state machine is noted under the same lock, nearly all in a ring
//! that was allocated with the pool; what is rare lies beside it.

use std::collections::VecDeque;

use super::tuning::Tuning;
use super::vocabulary::{Settled, SlotKey, Time, Verdict};
use crate::snapshot::CloseReason;
use crate::sync::Arc;
use crate::{ErrorClass, Limits};

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
    pub(super) tunings: VecDeque<(u64, Arc<Tuning>)>,
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

    pub(super) fn overwritten(&self) -> u64 {
        self.noted.saturating_sub(self.ring.len() as u64)
    }

    pub(super) fn events(&self) -> Vec<(Time, Event)> {
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

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;
    use crate::Cause;

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
}
