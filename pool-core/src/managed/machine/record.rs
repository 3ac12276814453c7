//! What the state machine knows of a slot and of the connection in it.

use super::tuning::{Tuning, optional_nanos};
use super::vocabulary::{Caller, Phase, Time};
use crate::Limits;
use crate::manager::Activity;
use crate::snapshot::{CloseReason, Counts};

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
    pub(crate) caller: Option<Caller>,
    /// The turn in which its user got it.
    pub(crate) ticket: u64,
    /// And after how long a wait.
    pub(crate) wait: u64,
    /// If its connection notes one.
    pub(crate) activity: Option<Activity>,
    /// Last given back by a user.
    pub(super) used_at: Time,
    /// Last known to have had traffic.
    pub(super) touched_at: Time,
    /// From here on it is replaced where that can be done without a gap.
    pub(super) retire_at: Time,
    /// From here on it is not handed out.
    pub(super) expire_at: Time,
    /// Untouched for less than this, it needs no proof for its age.
    pub(super) trusted_for: u64,
    /// For so long after a return, nothing is to be done about it but to retire it.
    pub(super) left_alone_for: u64,
    /// Untouched for this long, it is too close to what the server allows.
    pub(super) idle_limit: u64,
    pub(super) keepalive: u64,
    pub(crate) id: u64,
    pub(crate) born: Time,
    /// Drawn at birth, from 0 to 1: how it ages among others of its age.
    draw: f64,
    /// What the server allows, in nanoseconds: how long it may be open, and idle.
    limits: (u64, u64),
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
            born: now,
            draw: 0.0,
            limits: (u64::MAX, u64::MAX),
            used_at: now,
            touched_at: now,
            retire_at: Time::NEVER,
            expire_at: Time::NEVER,
            idle_limit: u64::MAX,
            keepalive: u64::MAX,
            trusted_for: u64::MAX,
            left_alone_for: u64::MAX,
            reason: None,
            caller: None,
            ticket: 0,
            activity: None,
        }
    }

    /// The connection is open.
    pub(super) fn born(&mut self, now: Time, tuning: &Tuning, limits: Limits, draw: f64) {
        (self.born, self.used_at, self.touched_at) = (now, now, now);
        self.limits = (optional_nanos(limits.lifetime), optional_nanos(limits.idle));
        self.draw = draw;
        self.age(tuning);
    }

    /// Ages by these settings, within what the server allows, from its birth on.
    pub(super) fn age(&mut self, tuning: &Tuning) {
        let ((may_live, may_idle), draw) = (self.limits, self.draw);
        let scale = |nanos: u64, by: f64| match nanos {
            u64::MAX => u64::MAX,
            nanos => (nanos as f64 * by) as u64,
        };
        let lifetime = tuning.max_lifetime.min(may_live);
        self.expire_at = self.born.after(lifetime);
        let retire_at = self.born.after(scale(lifetime, 1.0 - tuning.jitter * draw));
        self.retire_at = retire_at.min(self.expire_at); // a large number is rounded
        // Between two thirds and nine tenths of what the server allows.
        self.idle_limit = scale(may_idle, 0.65 + 0.25 * draw);
        self.keepalive = scale(tuning.keepalive, 0.9 + 0.1 * draw);
        let touch = self.idle_limit.min(self.keepalive);
        self.trusted_for = touch.min(tuning.validate_after);
        // What is due at once is seen to at the next use, not by the clock.
        let by_the_clock = [touch, tuning.idle_timeout].into_iter().filter(|limit| *limit > 0);
        self.left_alone_for = by_the_clock.min().unwrap_or(u64::MAX);
    }

    /// Comes into a phase.
    pub(super) fn enter(&mut self, phase: Phase, now: Time, phases: &mut [usize; 6]) {
        phases[self.phase as usize] -= 1;
        phases[phase as usize] += 1;
        (self.phase, self.since) = (phase, now);
    }

    /// Takes the present checkout out of the counts.
    pub(crate) fn uncount(&self, counts: &mut Counts) {
        counts.acquired -= 1;
        counts.waited -= u64::from(self.waited);
        counts.misses -= u64::from(self.miss);
        counts.hits -= u64::from(!self.miss);
    }

    /// When something is to be done about it, should it stay idle.
    pub(super) fn due_after(&self, now: Time, tuning: &Tuning) -> Time {
        let pruned = self.used_at.after(tuning.idle_timeout);
        let touched = self.touched_at.after(self.idle_limit.min(self.keepalive));
        let to_come = |due: Time| if due > now { due } else { Time::NEVER };
        let by_age = to_come(self.retire_at).min(to_come(self.expire_at));
        by_age.min(to_come(pruned)).min(to_come(touched))
    }
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
                    assert!(slot.retire_at <= slot.expire_at, "{config:?}");
                    let now = Time(7);
                    if now < slot.retire_at {
                        (slot.used_at, slot.touched_at) = (now, now);
                        let due = slot.retire_at.min(now.after(slot.left_alone_for));
                        assert_eq!(due, slot.due_after(now, &tuning), "{limits:?} {config:?}");
                    }
                }
            }
        }
    }
}
