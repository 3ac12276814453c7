//! `/metrics/database/pool` and `/metrics/performance/summary`: hit rate, life, times.

use serde::Serialize;

use super::millis;
use crate::buckets::Buckets;
use crate::health::{Indicator, Status};
use crate::history::refused;
use crate::monitor::Monitor;
use crate::statements;
use crate::watched::Report;

/// A pool's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PoolMetrics {
    /// The name the database is watched under.
    pub pool: String,
    /// How it is.
    pub status: Status,
    /// Connections that somebody holds.
    pub active_connections: u32,
    /// Connections ready to be taken.
    pub idle_connections: u32,
    /// Connections in whatever state.
    pub total_connections: u32,
    /// How many are kept open.
    pub min_connections: u32,
    /// The most there may be.
    pub max_connections: u32,
    /// Callers waiting for a connection.
    pub waiting: u32,
    /// The share of `max_connections` in use now, 0 to 1.
    pub utilization: f64,
    /// Acquires that got a connection used before.
    pub pool_hits: u64,
    /// Acquires that got a connection opened just now.
    pub pool_misses: u64,
    /// The share of hits, 0 to 1; `null` before the first acquire.
    pub hit_rate: Option<f64>,
    /// Connections opened.
    pub connections_created: u64,
    /// Connections that ended.
    pub connections_closed: u64,
    /// Connects that failed.
    pub failed_connects: u64,
    /// Connections found dead by a ping.
    pub failed_health_checks: u64,
    /// Acquires whose time was up, or that were refused for the queue's length.
    pub acquire_timeouts: u64,
    /// How long it took to get a connection, on the mean, in milliseconds.
    pub average_connection_time_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_connection_time_ms: f64,
    /// How long connections were used, on the mean, in milliseconds.
    pub average_usage_time_ms: f64,
}

impl PoolMetrics {
    /// Of a database as it is now.
    pub fn of(report: &Report) -> Self {
        let (now, counts) = (&report.total.snapshot, &report.total.snapshot.counts);
        Self {
            pool: report.name.clone(),
            status: report.health.status,
            active_connections: now.in_use,
            idle_connections: now.idle,
            total_connections: now.open(),
            min_connections: now.min_size,
            max_connections: now.max_size,
            waiting: now.waiting,
            utilization: now.utilization(),
            pool_hits: counts.hits,
            pool_misses: counts.misses,
            hit_rate: counts.hit_rate(),
            connections_created: counts.created,
            connections_closed: counts.ended.total(),
            failed_connects: counts.connects_failed(),
            failed_health_checks: counts.ended.validation,
            acquire_timeouts: refused(counts),
            average_connection_time_ms: millis(report.total.wait.mean()),
            p99_connection_time_ms: millis(report.total.wait.quantile(0.99)),
            average_usage_time_ms: millis(report.total.usage.mean()),
        }
    }
}

/// The figures to look at first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PerformanceSummary {
    /// The name the database is watched under.
    pub pool: String,
    /// How it is.
    pub status: Status,
    /// The share of acquires that got a connection used before, 0 to 1; `null` before the first.
    pub hit_rate: Option<f64>,
    /// Connections that somebody holds.
    pub active_connections: u32,
    /// Connections ready to be taken.
    pub idle_connections: u32,
    /// How long it took to get a connection, on the mean, in milliseconds.
    pub average_connection_time_ms: f64,
    /// Statements run, over all databases that this monitor is told of.
    pub query_count: u64,
    /// How long they took, on the mean, in milliseconds.
    pub average_query_time_ms: f64,
    /// How many of them failed or were given up.
    pub failed_queries: u64,
    /// Connections opened.
    pub connections_created: u64,
    /// Connections that ended.
    pub connections_closed: u64,
    /// Connections found dead by a ping.
    pub failed_health_checks: u64,
    /// What is as it should be.
    pub performance_indicators: GoodSigns,
    /// The slowest statements, slowest first, by name; at most ten.
    pub slowest_queries: Vec<SlowStatement>,
}

/// What is as it should be; over the window of health, as its indicators are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct GoodSigns {
    /// Connections are used again: not [`Indicator::LowHitRate`].
    pub high_hit_rate: bool,
    /// Connections are there soon: not [`Indicator::SlowAcquire`].
    pub low_connection_time: bool,
    /// Connections are stable: not [`Indicator::FailingHealthChecks`].
    pub zero_health_failures: bool,
    /// The size fits: neither [`Indicator::HighUtilization`] nor [`Indicator::IdleTimeoutIssues`].
    pub balanced_ratio: bool,
}

/// One of the slowest statements: its operation's name, no text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct SlowStatement {
    /// Which database.
    pub backend: &'static str,
    /// The operation's name.
    pub operation: Option<&'static str>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// The error's code, if it failed.
    pub error: Option<String>,
}

impl From<statements::SlowStatement> for SlowStatement {
    fn from(slow: statements::SlowStatement) -> Self {
        Self {
            backend: slow.backend,
            operation: slow.operation,
            took_ms: millis(slow.took),
            error: slow.error,
        }
    }
}

impl PerformanceSummary {
    /// Of a database as it is now, and of the statements that its monitor was told of.
    pub fn of(report: &Report, monitor: &Monitor) -> Self {
        let (now, counts) = (&report.total.snapshot, &report.total.snapshot.counts);
        let is_off = |which| !report.health.is_on(which);
        let (mut took, mut failed_queries) = (Buckets::default(), 0);
        for statements in monitor.statements() {
            took.merge(&statements.took);
            failed_queries += statements.errors;
        }
        Self {
            pool: report.name.clone(),
            status: report.health.status,
            hit_rate: counts.hit_rate(),
            active_connections: now.in_use,
            idle_connections: now.idle,
            average_connection_time_ms: millis(report.total.wait.mean()),
            query_count: took.count(),
            average_query_time_ms: millis(took.mean()),
            failed_queries,
            connections_created: counts.created,
            connections_closed: counts.ended.total(),
            failed_health_checks: counts.ended.validation,
            performance_indicators: GoodSigns {
                high_hit_rate: is_off(Indicator::LowHitRate),
                low_connection_time: is_off(Indicator::SlowAcquire),
                zero_health_failures: is_off(Indicator::FailingHealthChecks),
                balanced_ratio: is_off(Indicator::HighUtilization)
                    && is_off(Indicator::IdleTimeoutIssues),
            },
            slowest_queries: monitor.slowest().into_iter().map(SlowStatement::from).collect(),
        }
    }
}
