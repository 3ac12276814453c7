//! Samples of the last minutes of one database, and what happened in the window.
//!
//! A sample is a [`Point`] for drawing, kept for [`POINTS`] samples. What a window needs besides, the
//! pool's statistics at its beginning, is kept every twelfth of it: so the window is at most a
//! twelfth too long, and a pool's history costs 100 KiB and not megabytes.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::{Counts, Statistics};
use tokio::time::Instant;

/// So many points are kept: five minutes at one each second.
pub(crate) const POINTS: usize = 300;
const PARTS: u32 = 12;

/// A database at one moment, small.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Point {
    /// When, in milliseconds since 1970.
    pub unix_millis: u64,
    /// Connections that somebody holds.
    pub in_use: u32,
    /// Connections ready to be taken.
    pub idle: u32,
    /// Connections being opened, pinged, cleaned or closed.
    pub busy: u32,
    /// Callers waiting.
    pub waiting: u32,
    /// The most connections there may be.
    pub max_size: u32,
    /// How long the first of those who wait has waited, in seconds.
    pub oldest_waiter_seconds: f64,
    /// Acquires that got a connection, since the point before, for each second.
    pub acquired_per_second: f64,
    /// Acquires that got none, likewise.
    pub failed_per_second: f64,
    /// 99 of 100 of the waits since the point before were no longer, in seconds.
    pub wait_p99_seconds: f64,
    /// 99 of 100 of the uses since the point before were no longer, in seconds.
    pub use_p99_seconds: f64,
}

/// A moment, and what each side told then.
type Reading = (Instant, Vec<Statistics>);

#[derive(Default)]
pub(crate) struct History {
    points: VecDeque<Point>,
    /// The last two samples.
    last: VecDeque<Reading>,
    marks: VecDeque<Reading>,
    /// The in-use share of each sample in the window.
    utilization: VecDeque<(Instant, f64)>,
}

/// What happened in the window.
pub(crate) struct Window {
    /// Counts and times of the window for each side; sizes and connections as they are now.
    pub(crate) sides: Vec<Statistics>,
    /// All sides together.
    pub(crate) between: Statistics,
    /// The mean share of `max_size` in use over the samples of the window, the present one too.
    pub(crate) utilization: f64,
    /// How long the window is: shorter in the beginning.
    pub(crate) length: Duration,
    /// How many acquires each side refused since the last sample but one.
    pub(crate) refused_lately: Vec<u64>,
}

/// All sides of a database, of which there is at least one.
pub(crate) fn together(sides: &[Statistics]) -> Statistics {
    let mut all = sides[0].clone();
    sides[1..].iter().for_each(|side| all.merge(side));
    all
}

/// Acquires that got nothing since there were too few connections.
pub(crate) fn refused(counts: &Counts) -> u64 {
    counts.timed_out + counts.shed
}

fn since(now: &[Statistics], then: &Reading) -> Vec<Statistics> {
    now.iter().zip(&then.1).map(|(now, then)| now.since(then)).collect()
}

impl History {
    /// The watch begins: what was before is in no window.
    pub(crate) fn begin(&mut self, now: Instant, sides: Vec<Statistics>) {
        self.marks.push_back((now, sides));
    }

    /// Whether the last sample is as old as that.
    pub(crate) fn is_due(&self, now: Instant, every: Duration) -> bool {
        self.last.back().is_none_or(|(at, _)| now - *at >= every)
    }

    /// Takes a sample.
    pub(crate) fn sample(
        &mut self,
        now: Instant,
        unix_millis: u64,
        sides: Vec<Statistics>,
        window: Duration,
    ) {
        let all = together(&sides);
        let (seconds, between) = match self.last.back() {
            Some(last) => ((now - last.0).as_secs_f64(), together(&since(&sides, last))),
            None => (0.0, all.clone()),
        };
        let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        let (state, counts) = (&all.snapshot, &between.snapshot.counts);
        let point = Point {
            unix_millis,
            in_use: state.in_use,
            idle: state.idle,
            busy: state.connecting + state.validating + state.resetting + state.closing,
            waiting: state.waiting,
            max_size: state.max_size,
            oldest_waiter_seconds: state.oldest_waiter.unwrap_or_default().as_secs_f64(),
            acquired_per_second: per_second(counts.acquired),
            failed_per_second: per_second(counts.acquires() - counts.acquired),
            wait_p99_seconds: between.wait.quantile(0.99).as_secs_f64(),
            use_p99_seconds: between.usage.quantile(0.99).as_secs_f64(),
        };
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.utilization.push_back((now, state.utilization()));
        if self.marks.back().is_none_or(|(at, _)| now - *at >= window / PARTS) {
            self.marks.push_back((now, sides.clone()));
        }
        self.last.push_back((now, sides));
        if self.last.len() > 2 {
            self.last.pop_front();
        }
        self.trim(now, window);
    }

    /// Keeps one mark from before the window's beginning: that is where it is measured from.
    fn trim(&mut self, now: Instant, window: Duration) {
        while self.marks.get(1).is_some_and(|(at, _)| now - *at >= window) {
            self.marks.pop_front();
        }
        while self.utilization.front().is_some_and(|(at, _)| now - *at > window) {
            self.utilization.pop_front();
        }
    }

    /// What happened in the window that ends now; since the start of the watch, if that is shorter.
    pub(crate) fn window(&self, now: Instant, read: &[Statistics], window: Duration) -> Window {
        let from = self.marks.iter().rev().find(|(at, _)| now - *at >= window);
        let from = from.or_else(|| self.marks.front());
        let present = together(read).snapshot.utilization();
        let in_window = self.utilization.iter().filter(|(at, _)| now - *at <= window);
        let shares: Vec<f64> = in_window.map(|(_, share)| *share).chain([present]).collect();
        let sides = from.map_or_else(|| read.to_vec(), |then| since(read, then));
        let lately = self.last.front().map_or_else(|| read.to_vec(), |then| since(read, then));
        Window {
            between: together(&sides),
            sides,
            utilization: shares.iter().sum::<f64>() / shares.len() as f64,
            length: from.map_or(Duration::ZERO, |(at, _)| now - *at),
            refused_lately: lately.iter().map(|side| refused(&side.snapshot.counts)).collect(),
        }
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        self.points.iter().copied().collect()
    }
}
