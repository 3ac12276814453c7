//! [`Model`]: the reference model, which knows what must be true of any pool.

use std::collections::{BTreeMap, BTreeSet};

use pool_core::{AcquireErrorKind, CloseReport, PoolConfig, Snapshot};

use super::operation::{End, Event, Operation};
use crate::Watch;

/// What must be true of a pool after every step, told what its users see and nothing of how it
/// works: its bound (R1), the order of service (R2), that every connection is in exactly one place
/// (R13), that nothing is handed out while it may not be (R20, R21), and the counts (R24).
#[derive(Clone, Debug)]
pub struct Model {
    watch: Watch,
    /// The most connections there may be: `max_size`, or after a shrink what is left above it.
    bound: u32,
    /// The largest that `bound` ever was.
    widest: u32,
    waiting: BTreeSet<u64>,
    held: u32,
    ends: BTreeMap<&'static str, u64>,
    in_order: bool,
    suspended: bool,
    closed: bool,
}

impl Model {
    /// A model of a new pool with these settings, whose connections are seen by this watch.
    pub fn new(config: &PoolConfig, watch: Watch) -> Self {
        Self {
            watch,
            bound: config.max_size,
            widest: config.max_size,
            waiting: BTreeSet::new(),
            held: 0,
            ends: BTreeMap::new(),
            in_order: true,
            suspended: false,
            closed: false,
        }
    }

    /// For lives in which connections are found unfit at the moment of their checkout
    /// ([`Op::Condition`](crate::Op::Condition) goes wrong): who was served so keeps its place, but
    /// those behind it may be faster.
    #[must_use]
    pub fn without_order(mut self) -> Self {
        self.in_order = false;
        self
    }

    /// Looks at what an operation has led to.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn step(
        &mut self,
        operation: &Operation,
        events: &[Event],
        now: &Snapshot,
    ) -> Result<(), String> {
        match operation {
            Operation::Suspend => self.suspended = true,
            Operation::Resume => self.suspended = false,
            Operation::Close => self.closed = true,
            Operation::Resize(config) | Operation::Reconfigure(config) => {
                self.bound = self.bound.max(config.max_size);
            }
            _ => {}
        }
        self.widest = self.widest.max(self.bound);
        self.told(events)?;
        self.check(now)?;
        self.bound = now.max_size.max(self.bound.min(now.open()));
        Ok(())
    }

    /// Looks at a pool that has had time and nothing against it.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn healed(&mut self, events: &[Event], now: &Snapshot) -> Result<(), String> {
        self.suspended = false;
        self.told(events)?;
        self.check(now)?;
        let least = if self.closed { 0 } else { now.min_size.max(now.min_idle) };
        that(self.waiting.is_empty(), || format!("R7: {:?} were never answered", self.waiting))?;
        let rest = (now.idle, now.open());
        that(rest == (least, least), || format!("R6: {rest:?} idle and open at rest, not {least}"))
    }

    /// Looks at how a pool was closed that nobody used any more.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn closed(&self, report: &CloseReport) -> Result<(), String> {
        that(report.is_complete(), || format!("R21: {report}"))?;
        let left = self.watch.alive() + self.watch.connecting();
        that(left == 0, || format!("R21: {left} connections outlive their pool"))
    }

    fn told(&mut self, events: &[Event]) -> Result<(), String> {
        let mut served = Vec::new();
        for event in events {
            match *event {
                Event::Asked(number) => drop(self.waiting.insert(number)),
                Event::Returned => self.held -= 1,
                Event::Ended(number, end) => {
                    that(self.waiting.remove(&number), || format!("R24: {number} ended twice"))?;
                    *self.ends.entry(count_of(end)).or_default() += 1;
                    if end == End::Acquired {
                        self.held += 1;
                        served.push(number);
                    }
                }
            }
        }
        let shut = self.suspended || self.closed;
        that(served.is_empty() || !shut, || format!("R20, R21: {served:?} were served"))?;
        // Who waits still, or was served after it, has been overtaken.
        for (n, &number) in served.iter().enumerate().filter(|_| self.in_order) {
            let overtaken = self.waiting.iter().chain(&served[n..]).find(|&&other| other < number);
            that(overtaken.is_none(), || format!("R2: {number} overtook {overtaken:?}"))?;
        }
        Ok(())
    }

    fn check(&self, now: &Snapshot) -> Result<(), String> {
        let (open, bound) = (now.open(), self.bound);
        that(open <= bound, || format!("R1: {open} connections, not {bound}: {now:?}"))?;
        let peak = self.watch.peak();
        that(peak <= self.widest as usize, || format!("R1: {peak} connections at once"))?;
        let (alive, connecting) = (self.watch.alive(), self.watch.connecting());
        let slots = ((open - now.connecting) as usize, now.connecting as usize);
        that(slots == (alive, connecting), || {
            format!("R13: {alive} connections exist and {connecting} are opened: {now:?}")
        })?;
        that(now.in_use == self.held, || format!("R13: {} are held: {now:?}", self.held))?;
        let waiting = self.waiting.len();
        that(now.waiting as usize == waiting, || format!("R24: {waiting} wait: {now:?}"))?;
        // An idle connection may rest while as many are being proven as there are waiters.
        let unserved = now.waiting > now.validating && now.idle > 0 && !self.suspended;
        that(!unserved, || format!("R4: they wait beside idle connections: {now:?}"))?;
        let violations = self.watch.violations();
        that(violations.is_empty(), || format!("R19: {violations:?}"))?;
        let counts = &now.counts;
        let ended = counts.created - counts.ended.total();
        that(ended == alive as u64, || format!("R24: created and ended differ: {now:?}"))?;
        for (name, counted) in [
            ("acquired", counts.acquired),
            ("timed_out", counts.timed_out),
            ("cancelled", counts.cancelled),
            ("shed", counts.shed),
            ("failed", counts.failed),
            ("closed", counts.closed),
            ("suspended", counts.suspended),
        ] {
            let seen = self.ends.get(name).copied().unwrap_or_default();
            that(counted == seen, || format!("R24: {seen} ended as {name}, not {counted}"))?;
        }
        Ok(())
    }
}

/// Under which count an acquire is to be found.
fn count_of(end: End) -> &'static str {
    match end {
        End::Acquired => "acquired",
        End::Cancelled => "cancelled",
        End::Failed(AcquireErrorKind::TimedOut) => "timed_out",
        End::Failed(AcquireErrorKind::QueueFull) => "shed",
        End::Failed(AcquireErrorKind::Closed) => "closed",
        End::Failed(AcquireErrorKind::Suspended) => "suspended",
        End::Failed(_) => "failed",
    }
}

fn that(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}
