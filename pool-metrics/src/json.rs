//! The JSON of the endpoints, for any web framework: plain structs, made of what a
//! [`Monitor`](crate::Monitor) tells, that serialize.
//!
//! ```
//! # use pool_core::{ConnectContext, ManagedPool, Manager};
//! # struct Numbers;
//! # impl Manager for Numbers {
//! #     type Connection = u64;
//! #     type Error = std::io::Error;
//! #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
//! #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
//! # }
//! use pool_metrics::{Monitor, json};
//!
//! let pool = ManagedPool::builder(Numbers).name("plots").build().unwrap();
//! let monitor = Monitor::new();
//! monitor.watch("plots", [pool.view()]);
//!
//! let report = monitor.report("plots").unwrap();
//! let body = serde_json::to_string(&json::ConnectionPool::of(&report)).unwrap();
//! assert!(body.ends_with(r#""health_status":"healthy"}"#));
//! ```
//!
//! Nothing here tells what a driver said: errors of connects may carry what nobody should read, a
//! password in a URL for one. That is for the application's log, which takes it from
//! [`Metrics`](pool_core::Metrics); here stands that it failed, and when.
//!
//! Counts and times are those since the last [`reset`](crate::Monitor::reset).

mod check;
mod config;
mod connection_pool;
mod draft;
mod go_duration;
mod metrics;

use serde::Serialize;

use crate::health::{self, Indicator};

pub use check::{AdminHealth, Answer, Checks, DatabaseHealth, HealthCheck, LastCheck, PoolHealth};
pub use config::{Config, SideConfig};
pub use connection_pool::{ConnectionPool, Connections, PerformanceIndicators, Utilization};
pub use draft::{DraftHealth, DraftStatus, Observed};
pub use go_duration::go_duration;
pub use metrics::{GoodSigns, PerformanceSummary, PoolMetrics, SlowStatement};

/// An indicator that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Reason {
    /// Which.
    pub indicator: Indicator,
    /// What was seen, for people.
    pub text: String,
}

impl From<&health::Reason> for Reason {
    fn from(reason: &health::Reason) -> Self {
        let text = match reason.indicator {
            // Its own text has the driver's error in it.
            Indicator::FailingHealthChecks => {
                "the last check failed, or connections were found dead"
            }
            _ => &reason.text,
        };
        Self { indicator: reason.indicator, text: text.to_owned() }
    }
}

fn reasons(health: &health::Health) -> Vec<Reason> {
    health.reasons.iter().map(Reason::from).collect()
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}
