//! What the state machine knows of a slot and of the connection in it.

use super::tuning::{Tuning, optional_nanos};
use super::vocabulary::{Caller, Phase, Time};
use crate::Limits;
use crate::manager::Activity;
use crate::snapshot::CloseReason;

/// How long a connection lies idle before upkeep that can wait: most are asked for again sooner, and
/// nobody should have to wait for that.
pub(super) const QUIET: u64 = 20_000_000;

/// In this order, since what a checkout touches lies together, on few cache lines.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) phase: Phase,
    /// Nobody has used it yet.
    pub(super) fresh: bool,
    /// How the present checkout was counted: as the first one?
    pub(super) miss: bool,
    /// The same: after a wait?
    pub(super) waited: bool,
    /// It was reset, and nobody has used it since: what is dirty about it, a reset does not remove.
    pub(super) cleaned: bool,
    pub(super) leak_reported: bool,
    pub(super) upkeep: Upkeep,
    pub(super) reason: Option<CloseReason>,
    /// How often everything had been invalidated when its connect began.
    pub(super) generation: u32,
    /// How often everything had been doubted when it was last proven; fewer than the pool's count
    /// make it suspect.
    pub(super) epoch: u32,
    /// The same for the ping under way.
    pub(super) probe_epoch: u32,
    /// When it came into this phase.
    pub(crate) since: Time,
    /// Last given back by a user.
    pub(super) used_at: Time,
    /// Last known to have had traffic.
    pub(super) touched_at: Time,
    /// From here on it is replaced where that can be done without a gap.
    pub(super) retire_at: Time,
    /// Untouched for this long, it is due: too close to that, or for a keepalive.
    pub(super) touch_limit: u64,
    pub(crate) caller: Option<Caller>,
    /// The turn in which its user got it.
    pub(crate) ticket: u64,
    /// And after how long a wait.
    pub(crate) wait: u64,
    /// If its connection notes one.
    pub(crate) activity: Option<Activity>,
    pub(crate) born: Time,
    /// How long the server allows it to be open, in nanoseconds.
    pub(super) may_live: u64,
    /// Untouched for this long, it is too close to what the server allows.
    idle_limit: u64,
    pub(crate) id: u64,
}

/// Whether work is due on a connection that can wait, as of its last return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upkeep {
    No,
    Due,
    UnderWay,
}

impl Slot {
    /// For a connect that begins.
    pub(super) fn new(id: u64, now: Time, generation: u32, epoch: u32) -> Self {
        Self {
            id,
            phase: Phase::Connecting,
            since: now,
            generation,
            epoch,
            probe_epoch: epoch,
            fresh: true,
            miss: false,
            waited: false,
            wait: 0,
            cleaned: false,
            leak_reported: false,
            upkeep: Upkeep::No,
            born: now,
            may_live: u64::MAX,
            used_at: now,
            touched_at: now,
            retire_at: Time::NEVER,
            idle_limit: u64::MAX,
            touch_limit: u64::MAX,
            reason: None,
            caller: None,
            ticket: 0,
            activity: None,
        }
    }

    /// The connection is open. The draw, from 0 to 1, is how it ages among others of its age.
    pub(super) fn born(&mut self, now: Time, tuning: &Tuning, limits: Limits, draw: f64) {
        (self.born, self.used_at, self.touched_at) = (now, now, now);
        self.may_live = optional_nanos(limits.lifetime);
        // Between two thirds and nine tenths of what the server allows.
        self.idle_limit = scale(optional_nanos(limits.idle), 0.65 + 0.25 * draw);
        self.age(tuning, draw);
    }

    /// Ages by these settings, within what the server allows, from its birth on.
    pub(super) fn age(&mut self, tuning: &Tuning, draw: f64) {
        let lifetime = tuning.max_lifetime.min(self.may_live);
        let retire_at = self.born.after(scale(lifetime, 1.0 - tuning.jitter * draw));
        self.retire_at = retire_at.min(self.expire_at(tuning)); // a large number is rounded
        let keepalive = scale(tuning.keepalive, 0.9 + 0.1 * draw);
        self.touch_limit = self.idle_limit.min(keepalive);
    }

    /// From then on it is not handed out.
    #[inline]
    pub(super) fn expire_at(&self, tuning: &Tuning) -> Time {
        self.born.after(tuning.max_lifetime.min(self.may_live))
    }

    /// Comes into a phase.
    pub(super) fn enter(&mut self, phase: Phase, now: Time, phases: &mut [u32; 6]) {
        phases[self.phase as usize] -= 1;
        phases[phase as usize] += 1;
        (self.phase, self.since) = (phase, now);
    }

    /// When its upkeep begins, should it stay idle.
    pub(super) fn upkeep_at(&self) -> Time {
        if self.upkeep == Upkeep::Due { self.used_at.after(QUIET) } else { Time::NEVER }
    }

    /// When something is to be done about it, should it stay idle.
    /// It was reset, and not used since.
    pub(crate) fn is_cleaned(&self) -> bool {
        self.cleaned
    }

    pub(super) fn due_after(&self, now: Time, tuning: &Tuning) -> Time {
        let pruned = self.used_at.after(tuning.idle_timeout);
        let touched = self.touched_at.after(self.touch_limit);
        let by_age = to_come(self.retire_at, now).min(to_come(self.expire_at(tuning), now));
        by_age.min(to_come(pruned, now)).min(to_come(touched, now)).min(self.upkeep_at()) // at once, where that is over
    }

    /// The same of one that was just used, and is not to retire yet.
    #[inline]
    pub(super) fn due_after_use(&self, now: Time, tuning: &Tuning) -> Time {
        let (pruned, touched) = (now.after(tuning.idle_timeout), now.after(self.touch_limit));
        self.retire_at.min(to_come(pruned, now)).min(to_come(touched, now))
    }
}

fn scale(nanos: u64, by: f64) -> u64 {
    if nanos == u64::MAX { nanos } else { (nanos as f64 * by) as u64 }
}

/// What is due already is not seen to by the clock, but at the next use.
fn to_come(due: Time, now: Time) -> Time {
    if due > now { due } else { Time::NEVER }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::PoolConfig;

    /// A clean return does not go through what is due, one by one.
    #[test]
    fn r09_what_is_due_after_a_return_is_known_beforehand() {
        let nanos = |nanos: u64| (nanos < u64::MAX).then_some(Duration::from_nanos(nanos));
        let times = [0, 1, 60_000_000_000, (1 << 53) + 3, u64::MAX];
        let combinations = times.iter().flat_map(|idle| times.map(|keepalive| (*idle, keepalive)));
        for (idle, keepalive) in combinations {
            for (prune, lifetime) in times.iter().flat_map(|p| times.map(|l| (*p, l))) {
                for (jitter, draw) in [(0.0, 0.0), (0.1, 0.7), (1.0, 1.0)] {
                    let mut config = PoolConfig::default();
                    (config.keepalive, config.idle_timeout) = (nanos(keepalive), nanos(prune));
                    (config.max_lifetime, config.lifetime_jitter) = (nanos(lifetime), jitter);
                    let tuning = Tuning::new(&config, false, false);
                    let mut limits = Limits::none();
                    limits.idle = nanos(idle);
                    let mut slot = Slot::new(1, Time(5), 0, 0);
                    slot.born(Time(5), &tuning, limits, draw);
                    assert!(slot.retire_at <= slot.expire_at(&tuning), "{config:?}");
                    let now = Time(7);
                    if now < slot.retire_at {
                        (slot.used_at, slot.touched_at) = (now, now);
                        let due = slot.due_after_use(now, &tuning);
                        assert_eq!(due, slot.due_after(now, &tuning), "{limits:?} {config:?}");
                    }
                }
            }
        }
    }
}
