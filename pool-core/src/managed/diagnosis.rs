//! Snapshots, holders and errors: what the pool says about itself.

use std::collections::HashSet;
use std::panic::Location;
use std::time::Duration;

use super::machine::record::Slot;
use super::machine::state::State;
use super::machine::vocabulary::{Caller, Phase, Time, Who};
use super::shared::Shared;
use crate::Manager;
use crate::error::{self, AcquireError, AcquireErrorKind, Inner, LastError, Nested};
use crate::holders::Holder;
use crate::metrics::AcquireFailed;
use crate::snapshot::{Snapshot, Statistics};
use crate::sync::{Arc, lock};

/// A diagnosis is made at most this often; a storm of errors shares one.
const FRESH: u64 = 1_000_000;
/// As many call sites are told.
const SITES: usize = 16;
/// As many waiters are looked at for nested acquires.
const WAITERS: usize = 1024;

/// A look at the whole pool, shared by the errors of one millisecond.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    snapshot: Arc<Snapshot>,
    holders: Arc<[Holder]>,
    /// Which tasks hold connections, taken where.
    held_by: Vec<(Who, &'static Location<'static>)>,
    waiting: HashSet<Who>,
    failing: bool,
}

/// One checkout, as it is copied out from under the lock.
struct Held {
    caller: Caller,
    held: Duration,
    busy: Option<Duration>,
}

impl<M: Manager> Shared<M> {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        self.read(|state| snapshot(&self.name, state, &state.on_their_way(), now))
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let now = self.now();
        let (snapshot, times) = self.read(|state| {
            let on_their_way = state.on_their_way();
            (snapshot(&self.name, state, &on_their_way, now), state.times(&on_their_way))
        });
        Statistics {
            snapshot,
            wait: times.wait,
            usage: times.usage,
            connect: times.connect,
            validate: times.validate,
            reset: times.reset,
        }
    }

    pub(crate) fn holders(&self) -> Vec<Holder> {
        let now = self.now();
        group(self.read(|state| held(state, now)))
    }

    /// The error for an acquire that ended without a connection; observers are told.
    pub(crate) fn error(
        &self,
        kind: AcquireErrorKind,
        caller: Caller,
        waited: u64,
    ) -> AcquireError {
        let error = self.explain(kind, caller, waited);
        let (pool, site, operation) = (&*self.name, caller.site, caller.operation);
        let waited = Duration::from_nanos(waited);
        self.tell(|m| m.acquire_failed(&AcquireFailed { pool, operation, site, waited, kind }));
        error
    }

    /// The same for who did not acquire.
    pub(crate) fn explain(
        &self,
        kind: AcquireErrorKind,
        caller: Caller,
        waited: u64,
    ) -> AcquireError {
        let now = self.now();
        let waited = Duration::from_nanos(waited);
        let diagnosis = self.diagnose(now);
        let told = match kind {
            AcquireErrorKind::Connect | AcquireErrorKind::Panicked => true,
            _ => diagnosis.failing,
        };
        let source = Some(kind).filter(|_| told).and_then(|kind| self.why(kind, now));
        AcquireError::new(Inner {
            kind,
            waited,
            phase: phase(&diagnosis.snapshot),
            snapshot: diagnosis.snapshot.clone(),
            holders: diagnosis.holders.clone(),
            source,
            nested: diagnosis.nested(caller.who),
        })
    }

    /// The last connect error; or, if that came later, why a connection that was open was refused.
    fn why(&self, kind: AcquireErrorKind, now: Time) -> Option<LastError> {
        let connect = self.last_error().map(|(at, error)| (at, "last connect error", error));
        let refusal = self.last_refusal().map(|(at, error)| (at, "last refusal", error));
        let refusal = refusal.filter(|_| kind != AcquireErrorKind::Connect);
        let later = connect.into_iter().chain(refusal).max_by_key(|(at, ..)| *at);
        let ago = |at| Duration::from_nanos(now.since(at));
        later.map(|(at, what, error)| LastError { what, error, ago: ago(at) })
    }

    fn diagnose(&self, now: Time) -> Arc<Diagnosis> {
        let mut last = lock(&self.diagnosis);
        if let Some((at, diagnosis)) = &*last
            && now.since(*at) < FRESH
        {
            return diagnosis.clone();
        }
        let (snapshot, held, waiting, failing) = self.read(|state| {
            let waiting: HashSet<_> =
                state.waiters().in_line().take(WAITERS).map(|waiter| waiter.caller.who).collect();
            let failing = state.failing();
            let snapshot = snapshot(&self.name, state, &state.on_their_way(), now);
            (snapshot, held(state, now), waiting, failing)
        });
        let held_by = held.iter().map(|held| (held.caller.who, held.caller.site)).collect();
        let diagnosis = Arc::new(Diagnosis {
            snapshot: Arc::new(snapshot),
            holders: group(held).into(),
            held_by,
            waiting,
            failing,
        });
        *last = Some((now, diagnosis.clone()));
        diagnosis
    }
}

impl Diagnosis {
    fn nested(&self, who: Who) -> Option<Nested> {
        if who == Who::Unknown {
            return None;
        }
        let (_, site) = self.held_by.iter().find(|(holder, _)| *holder == who)?;
        let waits = |(holder, _): &(Who, _)| *holder == who || self.waiting.contains(holder);
        let all = self.held_by.len() >= self.snapshot.max_size as usize;
        Some(Nested { site, deadlock: all && self.held_by.iter().all(waits) })
    }
}

/// What those who wait now are waiting for.
fn phase(snapshot: &Snapshot) -> error::Phase {
    if snapshot.in_use >= snapshot.max_size {
        error::Phase::Queue
    } else if snapshot.validating + snapshot.resetting > 0 && snapshot.connecting == 0 {
        error::Phase::Validate
    } else {
        error::Phase::Connect
    }
}

fn held<P>(state: &State<P>, now: Time) -> Vec<Held> {
    state
        .holders()
        .filter_map(|slot| {
            let busy = slot.activity.as_ref().and_then(|activity| activity.busy_time());
            let held = Duration::from_nanos(now.since(slot.since));
            Some(Held { caller: slot.caller?, held, busy })
        })
        .collect()
}

/// One line for each call site, most connections first.
fn group(held: Vec<Held>) -> Vec<Holder> {
    let mut holders: Vec<(Holder, Duration, Duration)> = Vec::new();
    for one in held {
        let caller = one.caller;
        let at = holders.iter().position(|(holder, ..)| {
            holder.site == caller.site && holder.operation == caller.operation
        });
        let at = at.unwrap_or_else(|| {
            let holder = Holder {
                site: caller.site,
                operation: caller.operation,
                count: 0,
                longest: Duration::ZERO,
                idle_share: None,
            };
            holders.push((holder, Duration::ZERO, Duration::ZERO));
            holders.len() - 1
        });
        let (holder, known, busy) = &mut holders[at];
        holder.count += 1;
        holder.longest = holder.longest.max(one.held);
        if let Some(was_busy) = one.busy {
            *known += one.held;
            *busy += was_busy.min(one.held);
            let share = busy.as_secs_f64() / known.as_secs_f64().max(f64::MIN_POSITIVE);
            holder.idle_share = Some(1.0 - share.min(1.0));
        }
    }
    let mut holders: Vec<_> = holders.into_iter().map(|(holder, ..)| holder).collect();
    holders.sort_by_key(|holder| std::cmp::Reverse((holder.count, holder.longest)));
    holders.truncate(SITES);
    holders
}

fn snapshot<P>(name: &str, state: &State<P>, on_their_way: &[&Slot], now: Time) -> Snapshot {
    let count = |phase| state.count(phase) as u32;
    Snapshot {
        name: name.to_owned(),
        max_size: state.tuning.sizes.max_size as u32,
        min_size: state.tuning.sizes.min_size as u32,
        min_idle: state.tuning.sizes.min_idle as u32,
        max_idle: state.tuning.sizes.max_idle as u32,
        idle: count(Phase::Idle),
        in_use: count(Phase::InUse),
        connecting: count(Phase::Connecting),
        validating: count(Phase::Validating),
        resetting: count(Phase::Resetting),
        closing: count(Phase::Closing),
        waiting: (state.waiters().len() + on_their_way.len()) as u32,
        oldest_waiter: state
            .waiters()
            .oldest()
            .map(|waiter| Duration::from_nanos(now.since(waiter.since))),
        failing: state.failing(),
        suspended: state.suspended,
        closed: state.closed,
        counts: state.counts(on_their_way),
    }
}
