//! A collector that is down, goes away, comes back or says nothing harms nobody.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{FutureExt, TraceContextExt, Tracer, TracerProvider};
use pool_metrics::Monitor;
use pool_metrics::otel::{self, Otlp, Protocol, Spans};
use tokio::time::{Instant, timeout};

use super::receiver::{Received, Receiver};
use super::{flush, to};
use crate::support::{TestPool, rounds, secs, watched};

/// Long enough for a machine that is busy, and less than the SDK waits for a collector: 5 s.
const SOON: Duration = Duration::from_secs(4);

/// A pool that exports there, and how to use it within a trace.
fn exported(monitor: &Monitor, otlp: &Otlp) -> TestPool {
    otel::export_metrics(monitor, &otlp.meter_provider().meter("test"));
    let spans = Spans::new(otlp.tracer_provider().tracer("pool"));
    watched(monitor, 2, |builder| builder.metrics(std::sync::Arc::new(spans))).1
}

async fn requests(otlp: &Otlp, pool: &TestPool, n: usize) {
    let request = otlp.tracer_provider().tracer("application").start("request");
    rounds(pool, n).with_context(Context::current_with_span(request)).await;
}

/// Until something came that was not there before.
async fn until_more_comes(otlp: &Otlp, pool: &TestPool, received: &Received) {
    let before = (received.count(), received.named("acquire").len());
    while received.count() <= before.0 || received.named("acquire").len() <= before.1 {
        requests(otlp, pool, 1).await;
        flush(otlp).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_may_be_down_come_go_and_come_back() {
    let monitor = Monitor::new();
    let down = Receiver::grpc();
    let (address, received) = (down.address, down.received.clone());
    drop(down);
    let otlp = Otlp::to(&format!("http://{address}"), Protocol::Grpc).unwrap();
    let pool = exported(&monitor, &otlp);

    // More spans than the SDK keeps.
    requests(&otlp, &pool, 3_000).await;
    assert!(!flush(&otlp).await);
    for _ in 0..2 {
        let up = Receiver::grpc_at(address, received.clone());
        until_more_comes(&otlp, &pool, &received).await;
        drop(up);
        requests(&otlp, &pool, 100).await;
    }
    let _up = Receiver::grpc_at(address, received.clone());
    until_more_comes(&otlp, &pool, &received).await;
    let last = received.count();
    requests(&otlp, &pool, 1).await;
    otlp.shutdown(secs(60)).await.unwrap();
    assert!(received.count() > last, "the shutdown has sent the rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_in_time_if_the_collector_says_nothing() {
    for (protocol, spans) in [
        (Protocol::Grpc, true),
        (Protocol::Grpc, false),
        (Protocol::HttpProtobuf, true),
        (Protocol::HttpProtobuf, false),
    ] {
        let (silent, monitor) = (Receiver::silent(), Monitor::new());
        let otlp = Otlp::to(&silent.url(), protocol).unwrap();
        let pool = match spans {
            true => exported(&monitor, &otlp),
            false => {
                otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
                watched(&monitor, 2, |builder| builder).1
            }
        };
        rounds(&pool, 3_000).await;
        if spans {
            requests(&otlp, &pool, 3_000).await;
        }
        let begun = Instant::now();
        let error = otlp.shutdown(Duration::from_millis(200)).await.unwrap_err();
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(error.to_string().contains("export"), "{error}");
        rounds(&pool, 10).await;
    }
}

#[tokio::test]
async fn a_shutdown_needs_nothing_of_the_applications_runtime() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    let pool = exported(&monitor, &otlp);
    requests(&otlp, &pool, 5).await;
    timeout(secs(60), otlp.shutdown(secs(30))).await.unwrap().unwrap();
    assert_eq!(receiver.received.named("acquire").len(), 5);
    assert_eq!(receiver.received.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_it_blocks_nobody_and_sends_what_is_left() {
    let (silent, receiver, monitor) = (Receiver::silent(), Receiver::grpc(), Monitor::new());
    let otlp = to(&silent);
    let pool = exported(&monitor, &otlp);
    requests(&otlp, &pool, 600).await;
    let begun = Instant::now();
    drop(otlp);
    assert!(begun.elapsed() < SOON);

    let otlp = to(&receiver);
    let pool = exported(&monitor, &otlp);
    requests(&otlp, &pool, 5).await;
    drop(otlp);
    while receiver.received.named("acquire").len() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
