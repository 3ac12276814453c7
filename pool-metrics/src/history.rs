//! Samples of the last minutes of one database, and what happened in the window.
//!
//! A sample is a [`Point`] for drawing, kept for [`POINTS`] samples. What a window needs besides, the
//! pool's statistics at its beginning, is kept every twelfth of it: so the window is at most a
//! twelfth too long, and a pool's history costs 150 KiB and not megabytes.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::Statistics;
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

#[derive(Default)]
pub(crate) struct History {
    points: VecDeque<Point>,
    last: Option<(Instant, Statistics)>,
    marks: VecDeque<(Instant, Statistics)>,
    /// The in-use share of each sample in the window.
    utilization: VecDeque<(Instant, f64)>,
}

/// What happened in the window.
pub(crate) struct Window {
    /// Counts and times of the window; sizes and connections as they are now.
    pub(crate) between: Statistics,
    /// The mean share of `max_size` in use over the samples of the window, the present one too.
    pub(crate) utilization: f64,
    /// How long the window is: shorter in the beginning.
    pub(crate) length: Duration,
}

impl History {
    /// Takes a sample.
    pub(crate) fn sample(
        &mut self,
        now: Instant,
        unix_millis: u64,
        read: Statistics,
        window: Duration,
    ) {
        let since = self.last.as_ref().map(|(at, last)| (now - *at, read.since(last)));
        let (seconds, between) = match &since {
            Some((took, between)) => (took.as_secs_f64(), between),
            None => (0.0, &read),
        };
        let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        let (state, counts) = (&read.snapshot, &between.snapshot.counts);
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
            self.marks.push_back((now, read.clone()));
        }
        self.last = Some((now, read));
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
    pub(crate) fn window(&self, now: Instant, read: &Statistics, window: Duration) -> Window {
        let from = self.marks.iter().rev().find(|(at, _)| now - *at >= window);
        let from = from.or_else(|| self.marks.front());
        let shares: Vec<f64> = self
            .utilization
            .iter()
            .filter(|(at, _)| now - *at <= window)
            .map(|(_, share)| *share)
            .chain([read.snapshot.utilization()])
            .collect();
        Window {
            between: from.map_or_else(|| read.clone(), |(_, then)| read.since(then)),
            utilization: shares.iter().sum::<f64>() / shares.len() as f64,
            length: from.map_or(Duration::ZERO, |(at, _)| now - *at),
        }
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        self.points.iter().copied().collect()
    }
}
