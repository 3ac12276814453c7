//! Metrics and traces on OpenTelemetry's API: for whichever providers the application has.

mod export;
#[cfg(feature = "otlp")]
mod otlp;
mod replay;
mod spans;

pub use export::export_metrics;
#[cfg(feature = "otlp")]
pub use otlp::{Otlp, OtlpError, Protocol};
pub use spans::Spans;

const ERROR_TYPE: &str = "error.type";
const OPERATION: &str = "db.operation.name";
const POOL_NAME: &str = "db.client.connection.pool.name";
const SYSTEM: &str = "db.system.name";
