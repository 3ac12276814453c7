//! Health, of a pool's state and of whether its database answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::config::sides;
use super::{PoolMetrics, Reason, SideConfig, reasons};
use crate::health::{Probe, Status};
use crate::watched::Report;

/// Whether a database answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Answer {
    /// How it is; unhealthy if it did not answer.
    pub status: Status,
    /// How long it took to get a connection and an answer, or to fail, in milliseconds.
    pub latency_ms: u64,
    /// Only if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

impl Answer {
    /// Of a database, and of a check made just now.
    pub fn of(report: &Report, probe: &Probe) -> Self {
        let error =
            probe.error.is_some().then_some("the database did not answer in time or at all");
        Self {
            status: if error.is_some() { Status::Unhealthy } else { report.health.status },
            latency_ms: u64::try_from(probe.latency.as_millis()).unwrap_or(u64::MAX),
            error,
        }
    }
}

/// `/api/v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct HealthCheck {
    /// The worst of the checks.
    pub status: Status,
    /// Each thing that was checked.
    pub checks: Checks,
}

/// What was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Checks {
    /// The database.
    pub database: Answer,
}

impl HealthCheck {
    /// Of a database, and of a check made just now.
    pub fn of(report: &Report, probe: &Probe) -> Self {
        let database = Answer::of(report, probe);
        Self { status: database.status, checks: Checks { database } }
    }
}

/// `/api/db-health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct DatabaseHealth {
    /// How the database is.
    pub status: Status,
    /// The name it is watched under.
    pub pool: String,
    /// Whether it answered.
    pub database: Answer,
    /// What may be wrong.
    pub reasons: Vec<Reason>,
}

impl DatabaseHealth {
    /// Of a database, and of a check made just now.
    pub fn of(report: &Report, probe: &Probe) -> Self {
        let database = Answer::of(report, probe);
        let (status, pool) = (database.status, report.name.clone());
        Self { status, pool, database, reasons: reasons(&report.health) }
    }
}

/// `/metrics/database/health`: from what the pool knows, asking nobody.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PoolHealth {
    /// How the database is.
    pub status: Status,
    /// The name it is watched under.
    pub pool: String,
    /// Connections that somebody holds.
    pub active_connections: u32,
    /// Connections ready to be taken.
    pub idle_connections: u32,
    /// Callers waiting for a connection.
    pub waiting: u32,
    /// How long the first of them has waited, in seconds.
    pub oldest_waiter_seconds: f64,
    /// Connections found dead by a ping.
    pub failed_health_checks: u64,
    /// Connects that failed.
    pub failed_connects: u64,
    /// How long ago the last of them was; `null` if there was none.
    pub last_connect_error_seconds_ago: Option<f64>,
    /// The last check, if there was one.
    pub last_check: Option<LastCheck>,
    /// What may be wrong.
    pub reasons: Vec<Reason>,
}

/// A check made earlier.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct LastCheck {
    /// How long ago.
    pub seconds_ago: f64,
    /// Whether the database answered.
    pub passed: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

impl PoolHealth {
    /// Of a database as it is now.
    pub fn of(report: &Report) -> Self {
        let now = &report.total.snapshot;
        let last_check = report.last_probe.as_ref().map(|(ago, probe)| LastCheck {
            seconds_ago: ago.as_secs_f64(),
            passed: probe.error.is_none(),
            latency_ms: u64::try_from(probe.latency.as_millis()).unwrap_or(u64::MAX),
        });
        let last_error = report.last_connect_error.as_ref();
        Self {
            status: report.health.status,
            pool: report.name.clone(),
            active_connections: now.in_use,
            idle_connections: now.idle,
            waiting: now.waiting,
            oldest_waiter_seconds: now.oldest_waiter.unwrap_or_default().as_secs_f64(),
            failed_health_checks: now.counts.ended.validation,
            failed_connects: now.counts.connects_failed(),
            last_connect_error_seconds_ago: last_error.map(|(ago, _)| ago.as_secs_f64()),
            last_check,
            reasons: reasons(&report.health),
        }
    }
}

/// `/api/admin/database-health`: everything, and the application's own counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AdminHealth {
    /// How the database is.
    pub status: Status,
    /// Whether it answered.
    pub connection: Answer,
    /// The pool's figures.
    pub pool: PoolMetrics,
    /// What the application counts.
    pub counts: BTreeMap<String, u64>,
    /// Why that is empty, if it should not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts_error: Option<&'static str>,
    /// The settings of each of the database's pools.
    pub configuration: Vec<SideConfig>,
    /// What may be wrong.
    pub reasons: Vec<Reason>,
}

impl AdminHealth {
    /// Of a database, of a check made just now, and with the application's counts or why there are
    /// none.
    pub fn of(
        report: &Report,
        probe: &Probe,
        counts: Result<BTreeMap<String, u64>, &'static str>,
    ) -> Self {
        let connection = Answer::of(report, probe);
        let counts_error = counts.as_ref().err().copied();
        Self {
            status: connection.status,
            connection,
            pool: PoolMetrics::of(report),
            counts: counts.unwrap_or_default(),
            counts_error,
            configuration: sides(report),
            reasons: reasons(&report.health),
        }
    }
}
