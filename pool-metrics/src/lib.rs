//! What a connection pool has to tell: metrics, traces, health, endpoints and a page to look at.
//!
//! When a service slows down, the first question is "is it the pool?". A [`Monitor`] answers it: it
//! is told what happens in pools, reads what they count, and is read by everything else here.
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
//! use pool_metrics::{Monitor, Status};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let monitor = Monitor::new();
//! let pool = ManagedPool::builder(Numbers).name("plots").metrics(monitor.metrics()).build().unwrap();
//! monitor.watch("plots", [pool.view()]);
//! tokio::spawn(monitor.run()); // a sample each second
//!
//! drop(pool.acquire().operation("list_plots").await.unwrap());
//! assert_eq!(monitor.health().status, Status::Healthy);
//! assert_eq!(monitor.operations()[0].operation, Some("list_plots"));
//! # }
//! ```
//!
//! # What costs what
//!
//! Pools count anyway ([`Statistics`](pool_core::Statistics)); what is exported is read from there
//! when somebody asks, so that a scrape takes a few short locks of each pool and an idle exporter
//! nothing. Only what the pool cannot know is recorded as it happens: the waits of each operation,
//! and the events.
//!
//! # Prometheus and Grafana
//!
//! Beside the source are alerts with tests (`alerts/`), a dashboard for Grafana (`grafana/`) and the
//! [`runbook`] to which each alert links.
//!
//! # Rooms
//!
//! | room | what is in it |
//! |---|---|
//! | `monitor` | [`Monitor`]: the pools it watches, and the observers that it lends |
//! | `watched` | one database under watch, of one pool or of several sides |
//! | `history` | samples of the last minutes, and what happened in the window |
//! | `operations` | how long each operation waited for its connections |
//! | `statements` | how each operation's statements did |
//! | `events` | the last events worth a line |
//! | `health` | [`Health`]: the indicators, their definitions and what follows from them |
//! | `families` | all metrics with their names, types and samples |
//! | `otel` | the same on OpenTelemetry's API; spans; an exporter by OTLP |
//! | `json` | what the endpoints say, for any web framework |
//! | `http` | the endpoints, for axum, and a server of their own |
//! | `prometheus` | the families as Prometheus reads them |
//! | `facade` | the families for whichever exporter is behind the `metrics` facade |
//! | `dashboard` | the live page for operators, and what it shows |
//! | `log` | what happens in pools, as events of `tracing` |
//! | `buckets`, `table` | what is recorded as it happens: a histogram for many threads, and a bounded table of operations |
//! | `clock` | the wall clock |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod buckets;
mod clock;
#[cfg(feature = "dashboard")]
#[cfg_attr(docsrs, doc(cfg(feature = "dashboard")))]
pub mod dashboard;
mod events;
#[cfg(feature = "facade")]
#[cfg_attr(docsrs, doc(cfg(feature = "facade")))]
pub mod facade;
mod families;
mod health;
mod history;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub mod json;
#[cfg(feature = "log")]
mod log;
mod monitor;
mod operations;
#[cfg(feature = "opentelemetry")]
#[cfg_attr(docsrs, doc(cfg(feature = "opentelemetry")))]
pub mod otel;
#[cfg(feature = "prometheus")]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub mod prometheus;
#[doc = include_str!("../RUNBOOK.md")]
pub mod runbook {}
mod statements;
mod table;
mod watched;

pub use buckets::Buckets;
pub use events::{Event, EventKind};
pub use families::{Families, Family, Kind, Sample, Value};
pub use health::{Health, Indicator, Probe, Reason, Status, Thresholds};
pub use history::Point;
#[cfg(feature = "log")]
#[cfg_attr(docsrs, doc(cfg(feature = "log")))]
pub use log::Log;
pub use monitor::{Monitor, MonitorBuilder};
pub use operations::Operation;
pub use statements::{SlowStatement, StatementReport};
pub use watched::Report;
