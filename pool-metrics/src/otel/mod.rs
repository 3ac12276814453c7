//! Metrics and traces on OpenTelemetry's API, for whichever providers the application has; and with the
//! feature `otlp` providers that export to a collector.
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
//! use std::sync::Arc;
//!
//! use opentelemetry::global;
//! use pool_metrics::{Monitor, otel};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let monitor = Monitor::new();
//! otel::export_metrics(&monitor, &global::meter("shop"));
//! let spans = Arc::new(otel::Spans::new(global::tracer("shop")));
//!
//! // For a database also .observer(monitor.statements_observer()).observer(spans).
//! let pool = ManagedPool::builder(Numbers).name("plots").metrics(spans).build().unwrap();
//! monitor.watch("plots", [pool.view()]);
//! # drop(pool.acquire().operation("list_plots").await.unwrap());
//! # }
//! ```
//!
//! # Metrics
//!
//! Those of the semantic conventions (v1.44), under their names:
//!
//! | metric | type | unit | attributes |
//! |---|---|---|---|
//! | `db.client.connection.count` | up-down counter | `{connection}` | pool, `db.client.connection.state`: `idle`, `used` |
//! | `db.client.connection.idle.max` | up-down counter | `{connection}` | pool |
//! | `db.client.connection.idle.min` | up-down counter | `{connection}` | pool |
//! | `db.client.connection.max` | up-down counter | `{connection}` | pool |
//! | `db.client.connection.pending_requests` | up-down counter | `{request}` | pool |
//! | `db.client.connection.timeouts` | counter | `{timeout}` | pool |
//! | `db.client.connection.create_time` | histogram | `s` | pool |
//! | `db.client.connection.wait_time` | histogram | `s` | pool |
//! | `db.client.connection.use_time` | histogram | `s` | pool |
//! | `db.client.operation.duration` | histogram | `s` | `db.system.name`, `db.operation.name`, `error.type` |
//!
//! The attribute of a pool is `db.client.connection.pool.name`. An operation is what the application
//! calls it by `acquire().operation("..")`. The bounds of the pools' histograms go from 250 ns to
//! 100 s, as a wait should be short; those of operations are the conventions'.
//!
//! # What it costs
//!
//! A checkout and its return: nothing. Were each recorded as it happens, it would need two records, of
//! its wait and of its use: 85 ns each by the SDK (0.33), 24 ns if bound to their attributes; and five
//! times that with two threads, which meet at the SDK's lock. So nothing is recorded as it happens:
//! pools count anyway, and so does the [`Monitor`](crate::Monitor) with the statements that it is told
//! of. When the meter is collected, each pool is read once, and what is new in its histograms is told to
//! the SDK's, on the thread that collects: 60 ns of that thread for each checkout since the last time
//! with the feature `otlp`, which binds, and 300 ns without. Counts and buckets are exact, sums to a
//! millionth; the least and the longest duration are known as closely as their bucket.
//!
//! A span costs what the SDK makes it cost, from a quarter of a microsecond. Where none is wanted, as no
//! sampled span is current, it takes 5 ns to find that out.

mod export;
#[cfg(feature = "otlp")]
mod otlp;
mod replay;
#[cfg(feature = "otlp")]
mod runtime;
mod spans;

pub use export::export_metrics;
#[cfg(feature = "otlp")]
pub use otlp::{Otlp, OtlpError, Protocol};
pub use spans::Spans;

const ERROR_TYPE: &str = "error.type";
const OPERATION: &str = "db.operation.name";
const POOL_NAME: &str = "db.client.connection.pool.name";
const SYSTEM: &str = "db.system.name";
