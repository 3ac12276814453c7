//! `application/health+json`: the expired draft draft-inadarei-api-health-check, which is still
//! what tools for health checks know.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answer, reasons};
use crate::health::{Indicator, Probe, Status};
use crate::watched::Report;

/// The status words of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub enum DraftStatus {
    /// Healthy.
    Pass,
    /// Degraded: it works.
    Warn,
    /// Unhealthy.
    Fail,
}

impl From<Status> for DraftStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Pass,
            Status::Degraded => Self::Warn,
            Status::Unhealthy => Self::Fail,
        }
    }
}

/// A database's health as the draft has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct DraftHealth {
    /// How it is.
    pub status: DraftStatus,
    /// What was seen, as `component:measurement`.
    pub checks: BTreeMap<String, Vec<Observed>>,
    /// What may be wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// One thing seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Observed {
    /// `datastore`.
    pub component_type: &'static str,
    /// How much.
    pub observed_value: u64,
    /// Of what.
    pub observed_unit: &'static str,
    /// How that is.
    pub status: DraftStatus,
}

impl DraftHealth {
    /// Of a database as it is now, and of a check if one was made just now.
    pub fn of(report: &Report, probe: Option<&Probe>) -> Self {
        let (now, is_on) = (&report.total.snapshot, |which| report.health.is_on(which));
        let status = |warns| match () {
            () if is_on(Indicator::Exhausted) => DraftStatus::Fail,
            () if is_on(warns) => DraftStatus::Warn,
            () => DraftStatus::Pass,
        };
        let mut checks = BTreeMap::new();
        let mut saw = |what: &str, observed_value, observed_unit, status| {
            let seen =
                Observed { component_type: "datastore", observed_value, observed_unit, status };
            checks.insert(format!("{}:{what}", report.name), vec![seen]);
        };
        let in_use = status(Indicator::HighUtilization);
        saw("connectionsInUse", now.in_use.into(), "connections", in_use);
        let waiting = status(Indicator::ConnectionWaits);
        saw("waiting", now.waiting.into(), "callers", waiting);
        let mut worst = report.health.status;
        if let Some(answer) = probe.map(|probe| Answer::of(report, probe)) {
            let status = if answer.error.is_some() { DraftStatus::Fail } else { DraftStatus::Pass };
            saw("responseTime", answer.latency_ms, "ms", status);
            worst = worst.max(answer.status);
        }
        let texts: Vec<String> =
            reasons(&report.health).into_iter().map(|reason| reason.text).collect();
        let output = (!texts.is_empty()).then(|| texts.join("; "));
        Self { status: worst.into(), checks, output }
    }
}
