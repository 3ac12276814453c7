//! What the pool owes to whom: idle connections to waiters, and connects where demand needs them.

use super::outbox::Start;
use super::record::{Slot, Upkeep};
use super::recorder::Event;
use super::state::State;
use super::tuning::Tuning;
use super::vocabulary::{Phase, Refusal, SlotKey, Time};
use crate::ErrorClass;

const SECOND: u64 = 1_000_000_000;
/// How long a permanent error is told to newcomers before it is tried again.
const REMEMBER: u64 = SECOND;
/// How long the minimums alone, with nobody waiting, stay away from a permanent error.
const QUIET: u64 = 30 * SECOND;

/// When the next connect may start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// Connections in a row that were opened but turned out to be unfit for use.
    unfit: u32,
    retry_at: Option<Time>,
    permanent_until: Option<Time>,
    quiet_until: Option<Time>,
}

impl Backoff {
    fn failed(&mut self, now: Time, permanent: bool, tuning: &Tuning, rng: &mut fastrand::Rng) {
        let doubled = tuning.backoff_base.saturating_mul(1 << self.failures.min(32));
        // At the cap hardly less than it, or there are a third more attempts than the cap says; what
        // has come before has set the pools of a fleet apart.
        let jitter = if doubled < tuning.backoff_cap { 0.5 } else { 0.05 };
        let pause = doubled.min(tuning.backoff_cap) as f64 * (1.0 - jitter * rng.f64());
        self.failures = self.failures.saturating_add(1);
        self.permanent_until = permanent.then(|| now.after(REMEMBER));
        self.quiet_until = permanent.then(|| now.after(QUIET));
        self.retry_at = self.permanent_until.or_else(|| Some(now.after(pause as u64)));
    }

    /// A pause under way lasts no longer than pauses do now.
    pub(super) fn cap(&mut self, now: Time, tuning: &Tuning) {
        if self.permanent_until.is_none() {
            self.retry_at = self.retry_at.map(|at| at.min(now.after(tuning.backoff_cap)));
        }
    }

    /// A connect succeeded. As long as no new connection has proven fit for use, that is no reason
    /// to hurry.
    pub(super) fn connected(&mut self) {
        *self = match self.unfit {
            0 => Self::default(),
            unfit => Self { failures: unfit, unfit, retry_at: self.retry_at, ..Self::default() },
        };
    }

    /// Somebody has used a connection: it is not that all of them are unfit.
    #[inline]
    pub(super) fn used(&mut self) {
        if self.unfit > 0 {
            *self = Self::default();
        }
    }

    /// A permanent error is fresh in memory.
    pub(super) fn is_permanent(&self, now: Time) -> bool {
        self.permanent_until.is_some_and(|until| now < until)
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn not_before(&self, somebody_waits: bool) -> Option<Time> {
        if somebody_waits { self.retry_at } else { self.quiet_until.or(self.retry_at) }
    }
}

impl<P> State<P> {
    /// A connection was found unfit before anybody used it: as bad as a failed connect, and no
    /// reason to open the next at once.
    pub(super) fn born_unfit(&mut self) {
        self.backoff.failed(self.now, false, &self.tuning, &mut self.rng);
        self.backoff.unfit = self.backoff.unfit.saturating_add(1);
    }

    /// Gives idle connections to waiters, then starts the connects that demand needs.
    pub(crate) fn serve(&mut self) {
        let nothing_to_give = self.idle.is_empty() && self.open() >= self.tuning.sizes.max_size;
        if nothing_to_give || self.suspended || self.closed || !self.bound {
            return;
        }
        while self.somebody_waits() {
            let Some((key, connection)) = self.pop_idle() else { break };
            if let Some(reason) = self.unfit(&self.slots[key]) {
                self.close(key, connection, reason);
            } else if !self.needs_proof(&self.slots[key]) {
                self.hand(key, connection);
            } else if self.count(Phase::Validating) < self.waiters.queued() {
                self.validate(key, connection);
            } else {
                // Enough are being proven for those who wait; but perhaps another needs no proof.
                self.unpop_idle(key, connection);
                let usable = |(key, _): &(SlotKey, P)| {
                    !self.needs_proof(&self.slots[*key]) && self.unfit(&self.slots[*key]).is_none()
                };
                let Some(at) = self.idle.iter().position(usable) else { break };
                let (key, connection) = self.idle.remove(at).expect("just found");
                self.hand(key, connection);
            }
        }
        self.start_connects();
    }

    fn start_connects(&mut self) {
        let room = self.tuning.sizes.max_size.saturating_sub(self.open());
        if room == 0 {
            return;
        }
        let connecting = self.count(Phase::Connecting);
        let queued = self.waiters.queued();
        let target = self.connects_wanted(queued);
        if target <= connecting {
            return;
        }
        let mut start = (target - connecting)
            .min(self.tuning.max_connecting.saturating_sub(connecting))
            .min(room);
        if self.backoff.failures() > 0 {
            // One at a time until the server is back.
            start = start.min(1_usize.saturating_sub(connecting));
            if let Some(at) = self.backoff.not_before(queued > 0)
                && self.now < at
            {
                return self.wind(at);
            }
        }
        for _ in 0..start {
            self.next_id += 1;
            self.phases[Phase::Connecting as usize] += 1;
            let slot = Slot::new(self.next_id, self.now, self.generation, self.epoch);
            let attempt = self.backoff.failures().saturating_add(1);
            let slot = self.slots.insert(slot);
            self.out.errands().connect.push(Start { slot, id: self.next_id, attempt });
        }
    }

    /// How many connects should be under way: for those who wait, and for the minimums.
    fn connects_wanted(&self, queued: usize) -> usize {
        let validating = self.count(Phase::Validating);
        // A ping under way serves a waiter as well as a connect does, unless the last one failed.
        let trusted = |slot: &Slot| {
            slot.phase == Phase::Validating && (slot.epoch == self.epoch || !self.ping_failed)
        };
        let proving = match validating.min(queued) {
            0 => 0,
            _ => self.slots.iter().filter(|(_, slot)| trusted(slot)).count(),
        };
        let upkept = match self.count(Phase::Resetting) {
            0 => 0,
            _ => self.slots.iter().filter(|(_, slot)| slot.upkeep == Upkeep::UnderWay).count(),
        };
        let spare = (self.idle.len() + validating + upkept).saturating_sub(self.replacing);
        let for_waiters = queued.saturating_sub(proving);
        let for_idle = self.tuning.sizes.min_idle.saturating_sub(spare);
        let steady = self.servers().saturating_sub(self.replacing);
        let for_size = self.tuning.sizes.min_size.saturating_sub(steady);
        (for_waiters + for_idle).max(for_size)
    }

    /// A connect failed: `None` is a panic.
    pub(crate) fn connect_failed(&mut self, key: SlotKey, class: Option<ErrorClass>) {
        self.note(Event::ConnectFailed { slot: key, class });
        self.slots.remove(key);
        self.phases[Phase::Connecting as usize] -= 1;
        match class {
            Some(ErrorClass::Permanent) => self.counts.connect_permanent += 1,
            Some(ErrorClass::Saturated) => self.counts.connect_saturated += 1,
            Some(ErrorClass::Transient) | None => self.counts.connect_transient += 1,
        }
        let permanent = class == Some(ErrorClass::Permanent);
        self.backoff.failed(self.now, permanent, &self.tuning, &mut self.rng);
        if class.is_none() && self.somebody_waits() {
            self.refuse(Refusal::Panicked);
        }
        self.despair();
        self.out.changed = true;
        self.serve();
    }

    /// Tells everyone in line, where no connection is left and none can be opened. While it is
    /// suspended, they wait for what comes after.
    pub(super) fn despair(&mut self) {
        if !self.suspended && self.servers() == 0 && self.backoff.is_permanent(self.now) {
            while self.somebody_waits() {
                self.refuse(Refusal::Connect);
            }
        }
    }

    /// Whether the minimums are reached, or why they will not be; `None` while it is open.
    pub(crate) fn readiness(&self) -> Option<Result<(), Refusal>> {
        let spare = self.count(Phase::Idle) + self.count(Phase::Validating);
        let sizes = &self.tuning.sizes;
        if self.closed {
            Some(Err(Refusal::Closed))
        } else if self.servers() >= sizes.min_size && spare >= sizes.min_idle {
            Some(Ok(()))
        } else {
            self.backoff.quiet_until.map(|_| Err(Refusal::Connect))
        }
    }
}
