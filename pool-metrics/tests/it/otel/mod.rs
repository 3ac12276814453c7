//! OpenTelemetry, all the way: from the pool over the SDK and OTLP into a collector.

mod environment;
mod metrics;
mod outage;
mod receiver;
mod spans;

use pool_metrics::otel::{Otlp, Protocol};
use receiver::Receiver;

/// Exports to this collector by gRPC.
fn to(receiver: &Receiver) -> Otlp {
    pool_testkit::hard_deadline();
    Otlp::to(&receiver.url(), Protocol::Grpc).unwrap()
}

/// Collects and sends now, apart from the test's runtime: the SDK blocks.
async fn flush(otlp: &Otlp) -> bool {
    let (tracers, meters) = (otlp.tracer_provider(), otlp.meter_provider());
    let flush = move || [tracers.force_flush(), meters.force_flush()];
    tokio::task::spawn_blocking(flush).await.unwrap().iter().all(Result::is_ok)
}
