//! `/api/connection-pool`: the words and units of Go's `database/sql`.

use std::time::Duration;

use serde::Serialize;

use super::go_duration;
use crate::health::{Indicator, Status};
use crate::watched::Report;

/// A pool in the words of Go's `database/sql`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ConnectionPool {
    /// How many connections there are.
    pub connection_pool: Connections,
    /// The same as percentages.
    pub utilization: Utilization,
    /// What may be wrong.
    pub performance_indicators: PerformanceIndicators,
    /// How the pool is.
    pub health_status: Status,
}

/// How many connections there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Connections {
    /// Open ones, in whatever state: those being opened, proven, cleaned or closed too.
    pub open_connections: u32,
    /// The most there may be.
    pub max_open_connections: u32,
    /// Those that somebody holds.
    pub in_use: u32,
    /// Those ready to be taken.
    pub idle: u32,
    /// How many acquires had to wait, whether they got a connection or not, or wait now.
    pub wait_count: u64,
    /// How long those that got one waited together, as Go prints it: `"1m30s"`.
    pub wait_duration: String,
}

/// Shares in percent, with one decimal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Utilization {
    /// Open of the most there may be.
    pub open_connection_percent: f64,
    /// Idle of the open.
    pub idle_connection_percent: f64,
    /// In use of the open.
    pub busy_connection_percent: f64,
}

/// What may be wrong, each by the definition of its [`Indicator`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PerformanceIndicators {
    /// [`Indicator::ConnectionWaits`].
    pub connection_waits: bool,
    /// [`Indicator::HighUtilization`].
    pub high_utilization: bool,
    /// [`Indicator::ConnectionChurning`].
    pub connection_churning: bool,
    /// [`Indicator::IdleTimeoutIssues`].
    pub idle_timeout_issues: bool,
}

impl ConnectionPool {
    /// Of a database as it is now.
    pub fn of(report: &Report) -> Self {
        let (now, is_on) = (&report.total.snapshot, |which| report.health.is_on(which));
        Self {
            connection_pool: Connections {
                open_connections: now.open(),
                max_open_connections: now.max_size,
                in_use: now.in_use,
                idle: now.idle,
                wait_count: wait_count(report),
                wait_duration: go_duration(whole_micros(report.total.wait.sum())),
            },
            utilization: Utilization {
                open_connection_percent: percent(now.open(), now.max_size),
                idle_connection_percent: percent(now.idle, now.open()),
                busy_connection_percent: percent(now.in_use, now.open()),
            },
            performance_indicators: PerformanceIndicators {
                connection_waits: is_on(Indicator::ConnectionWaits),
                high_utilization: is_on(Indicator::HighUtilization),
                connection_churning: is_on(Indicator::ConnectionChurning),
                idle_timeout_issues: is_on(Indicator::IdleTimeoutIssues),
            },
            health_status: report.health.status,
        }
    }
}

fn wait_count(report: &Report) -> u64 {
    let (now, counts) = (&report.total.snapshot, &report.total.snapshot.counts);
    counts.waited + counts.timed_out + counts.cancelled + counts.suspended + u64::from(now.waiting)
}

/// Nanoseconds of a sum of waits are noise.
fn whole_micros(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// With one decimal; zero of nothing.
fn percent(part: u32, whole: u32) -> f64 {
    (f64::from(part) / f64::from(whole.max(1)) * 1000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_one_decimal_and_nothing_is_divided_by_zero() {
        let print = |part, whole| serde_json::to_string(&percent(part, whole)).unwrap();
        assert_eq!([print(8, 25), print(5, 8), print(1, 3)], ["32.0", "62.5", "33.3"]);
        assert_eq!(print(0, 0), "0.0");
    }
}
