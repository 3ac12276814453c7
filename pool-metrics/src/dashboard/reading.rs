//! How [`Live`] is made of what a [`Monitor`] tells.

use std::cmp::Reverse;
use std::time::Duration;

use pool_core::{Counts, Histogram, Holder, PoolConfig, Snapshot};

use super::advice::advice;
use super::live::*;
use super::masked::masked;
use crate::buckets::Buckets;
use crate::clock::unix_millis;
use crate::events::Event;
use crate::health::{Reason, Status};
use crate::history::Point;
use crate::monitor::Monitor;
use crate::operations::Operation;
use crate::statements::{SlowStatement, StatementReport};
use crate::watched::Report;

/// The most rows of any table.
const ROWS: usize = 50;
const EVENTS: usize = 100;
/// So many of the last points are in each document, so that one that was skipped leaves no gap.
const RECENT: usize = 5;

/// The points of every database.
pub(super) fn history(monitor: &Monitor) -> Vec<Series> {
    let series = |name: String| {
        let points = monitor.points(&name);
        Series::of(name, &points)
    };
    monitor.names().into_iter().map(series).collect()
}

impl Live {
    /// What there is to show now.
    pub fn of(monitor: &Monitor) -> Self {
        let reports = monitor.reports();
        let operations = monitor.operations();
        let owners: Vec<(&str, &str)> = reports
            .iter()
            .flat_map(|report| {
                report.sides.iter().map(|side| (&*side.snapshot.name, &*report.name))
            })
            .collect();
        let owner = |event: Event| {
            let found = owners.iter().find(|(pool, _)| *pool == event.pool);
            LiveEvent {
                number: event.number,
                unix_millis: event.unix_millis,
                database: found.map_or_else(|| event.pool.clone(), |(_, name)| (*name).to_owned()),
                kind: event.kind,
                text: masked(&event.text),
            }
        };
        let events = monitor.events(0);
        let skipped = events.len().saturating_sub(EVENTS);
        let databases: Vec<_> = reports
            .iter()
            .map(|report| Database::of(report, &monitor.points(&report.name), &operations))
            .collect();
        let worst = databases.iter().map(|database| database.status).max();
        let mut statements = monitor.statements();
        statements.sort_by_key(|report| Reverse(report.took.sum()));
        Self {
            unix_millis: unix_millis(),
            version: env!("CARGO_PKG_VERSION"),
            status: worst.unwrap_or(Status::Healthy),
            databases,
            statements: statements.iter().take(ROWS).map(StatementRow::of).collect(),
            slowest: monitor.slowest().into_iter().map(SlowRow::of).collect(),
            events: events.into_iter().skip(skipped).map(owner).collect(),
        }
    }
}

impl Database {
    fn of(report: &Report, points: &[Point], operations: &[Operation]) -> Self {
        let (condition, advice) = advice(report);
        let total = &report.total.snapshot;
        let mut own: Vec<_> = operations
            .iter()
            .filter(|one| report.sides.iter().any(|side| side.snapshot.name == one.pool))
            .collect();
        own.sort_by_key(|one| Reverse((one.waits.sum(), one.waits.count())));
        let in_window = report.window.snapshot.counts.ended;
        let closes = total.counts.ended.iter().zip(in_window.iter());
        Self {
            name: report.name.clone(),
            status: report.health.status,
            condition,
            advice,
            reasons: report.health.reasons.iter().map(LiveReason::of).collect(),
            sides: report
                .sides
                .iter()
                .zip(&report.configs)
                .map(|(side, config)| Side::of(&side.snapshot, Some(config)))
                .collect(),
            total: Side::of(total, None),
            utilization: rounded(report.utilization),
            pressure: rounded(total.pressure()),
            window: WindowFigures::of(report),
            closes: closes
                .filter(|((_, count), _)| *count > 0)
                .map(|((reason, count), (_, in_window))| {
                    Close { reason: reason.as_str(), count, in_window } //
                })
                .collect(),
            holders: report.holders.iter().take(ROWS).map(Site::of).collect(),
            last_connect_error: report.last_connect_error.as_ref().map(|(ago, text)| {
                ConnectError { ago_seconds: ago.as_secs_f64(), text: masked(text) }
            }),
            last_probe: report.last_probe.as_ref().map(|(ago, probe)| LastProbe {
                ago_seconds: ago.as_secs_f64(),
                latency_seconds: probe.latency.as_secs_f64(),
                error: probe.error.as_deref().map(masked),
            }),
            operations: own.into_iter().take(ROWS).map(OperationRow::of).collect(),
            recent: Series::of(report.name.clone(), &points[points.len().saturating_sub(RECENT)..]),
        }
    }
}

impl Side {
    fn of(read: &Snapshot, config: Option<&PoolConfig>) -> Self {
        Self {
            name: read.name.clone(),
            idle: read.idle,
            in_use: read.in_use,
            connecting: read.connecting,
            validating: read.validating,
            resetting: read.resetting,
            closing: read.closing,
            max_size: read.max_size,
            min_size: read.min_size,
            min_idle: read.min_idle,
            max_idle: read.max_idle,
            max_waiting: config.and_then(|config| config.max_waiting),
            waiting: read.waiting,
            oldest_waiter_seconds: read.oldest_waiter.as_ref().map(Duration::as_secs_f64),
            suspended: read.suspended,
            closed: read.closed,
        }
    }
}

impl WindowFigures {
    fn of(report: &Report) -> Self {
        let (window, seconds) = (&report.window, report.window_length.as_secs_f64());
        let counts: &Counts = &window.snapshot.counts;
        let per_second = if seconds > 0.0 { counts.acquired as f64 / seconds } else { 0.0 };
        Self {
            seconds: rounded(seconds),
            acquired: counts.acquired,
            acquired_per_second: rounded(per_second),
            waited: counts.waited,
            failed: counts.acquires() - counts.acquired,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            shed: counts.shed,
            hit_rate: counts.hit_rate(),
            wait: Times::from(&window.wait),
            usage: Times::from(&window.usage),
            connect: Times::from(&window.connect),
            connects_failed: counts.connects_failed(),
        }
    }
}

macro_rules! times {
    ($($from:ty),*) => {$(
        impl From<&$from> for Times {
            fn from(read: &$from) -> Self {
                let at = |q| read.quantile(q).as_secs_f64();
                Self {
                    count: read.count(),
                    mean: read.mean().as_secs_f64(),
                    p50: at(0.5),
                    p90: at(0.9),
                    p99: at(0.99),
                    max: read.max().as_secs_f64(),
                }
            }
        }
    )*};
}

times!(Histogram, Buckets);

impl Site {
    fn of(holder: &Holder) -> Self {
        Self {
            site: shortened(holder.site.file(), holder.site.line()),
            operation: holder.operation,
            count: holder.count,
            longest_seconds: holder.longest.as_secs_f64(),
            idle_share: holder.idle_share.map(rounded),
        }
    }
}

/// The last three parts of a path, which tell the crate where it is one of a registry.
fn shortened(path: &str, line: u32) -> String {
    let is_bar = |c: &char| matches!(c, '/' | '\\');
    let from = path.rmatch_indices(|c| is_bar(&c)).nth(2).map_or(0, |(at, _)| at + 1);
    format!("{}:{line}", &path[from..])
}

impl OperationRow {
    fn of(read: &Operation) -> Self {
        Self { operation: read.operation, failed: read.failed, wait: Times::from(&read.waits) }
    }
}

impl StatementRow {
    fn of(read: &StatementReport) -> Self {
        Self {
            backend: read.backend.clone(),
            operation: read.operation,
            errors: read.errors,
            took: Times::from(&read.took),
        }
    }
}

impl SlowRow {
    fn of(slow: SlowStatement) -> Self {
        Self {
            backend: slow.backend,
            operation: slow.operation,
            seconds: slow.took.as_secs_f64(),
            error: slow.error,
        }
    }
}

impl LiveReason {
    fn of(reason: &Reason) -> Self {
        let Reason { indicator, text, .. } = reason;
        Self { indicator: *indicator, status: indicator.status(), text: masked(text) }
    }
}

impl Series {
    fn of(name: String, points: &[Point]) -> Self {
        let counts = |of: fn(&Point) -> u32| points.iter().map(of).collect();
        let numbers = |of: fn(&Point) -> f64| points.iter().map(|p| rounded(of(p))).collect();
        Self {
            name,
            unix_millis: points.iter().map(|point| point.unix_millis).collect(),
            in_use: counts(|point| point.in_use),
            max_size: counts(|point| point.max_size),
            waiting: counts(|point| point.waiting),
            acquired_per_second: numbers(|point| point.acquired_per_second),
            failed_per_second: numbers(|point| point.failed_per_second),
            wait_p99_seconds: numbers(|point| point.wait_p99_seconds),
            use_p99_seconds: numbers(|point| point.use_p99_seconds),
        }
    }
}

/// To four digits, which is more than a page can show.
fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(3 - number.abs().log10().floor() as i32);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_short_and_still_tell_where() {
        assert_eq!(shortened("src/plots.rs", 7), "src/plots.rs:7");
        assert_eq!(
            shortened("/a/registry/src/x-1f/foo-1.2.0/src/lib.rs", 7),
            "foo-1.2.0/src/lib.rs:7"
        );
        assert_eq!(shortened(r"C:\a\foo\src\lib.rs", 7), r"foo\src\lib.rs:7");
    }

    #[test]
    fn numbers_have_four_digits() {
        for (number, expected) in
            [(0.0, "0.0"), (1234.567, "1235.0"), (0.000_012_341, "0.00001234"), (0.5, "0.5")]
        {
            assert_eq!(serde_json::to_string(&rounded(number)).unwrap(), expected);
        }
    }
}
