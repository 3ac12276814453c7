//! What is exported of a pool is what the pool says.

use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use pool_core::Histogram;
use pool_metrics::{Monitor, otel};
use pool_sql::{ErrorCode, Outcome, Statement};

use super::receiver::{Receiver, attribute};
use super::{flush, to};
use crate::support::{ms, rounds, secs, watched};

const POOL: &str = "db.client.connection.pool.name";

/// Name, unit, type and the keys of attributes.
fn described(metric: &Metric) -> String {
    let keys = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        let mut keys: Vec<_> = attributes.iter().map(|a| a.key.clone()).collect();
        keys.sort();
        keys.join(",")
    };
    let (kind, keys) = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            let kind = if sum.is_monotonic { "counter" } else { "up-down counter" };
            (kind, keys(&sum.data_points[0].attributes))
        }
        Data::Histogram(histogram) => ("histogram", keys(&histogram.data_points[0].attributes)),
        other => panic!("{other:?}"),
    };
    format!("{} | {} | {kind} | {keys}", metric.name, metric.unit)
}

fn numbers<'a>(metrics: &'a [Metric], name: &str) -> &'a [NumberDataPoint] {
    let metric = metrics.iter().find(|metric| metric.name == name).expect(name);
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is no sum") };
    &sum.data_points
}

fn number(metrics: &[Metric], name: &str, pool: &str, state: &str) -> i64 {
    let of = numbers(metrics, name).iter().find(|point| {
        attribute(&point.attributes, POOL) == pool
            && attribute(&point.attributes, "db.client.connection.state") == state
    });
    match of.and_then(|point| point.value) {
        Some(Value::AsInt(number)) => number,
        other => panic!("{name} of {pool}: {other:?}"),
    }
}

fn durations<'a>(metrics: &'a [Metric], name: &str) -> &'a [HistogramDataPoint] {
    let metric = metrics.iter().find(|metric| metric.name == name).expect(name);
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{name} is no histogram") };
    &histogram.data_points
}

/// What was exported says what the pool does: count, sum, and each bucket.
fn agree(exported: &HistogramDataPoint, pool: &Histogram) {
    assert_eq!(exported.count, pool.count());
    let (sum, real) = (exported.sum.unwrap(), pool.sum().as_secs_f64());
    assert!((sum - real).abs() <= real * 3e-6, "{sum} for {real}");
    assert_eq!(exported.explicit_bounds[0], 250e-9);
    assert_eq!(exported.explicit_bounds.len(), 26);
    let mut below = 0;
    for (bound, n) in exported.explicit_bounds.iter().zip(&exported.bucket_counts) {
        below += n;
        let within = pool.buckets().filter(|(upper, _)| upper.as_secs_f64() <= *bound);
        assert_eq!(below, within.map(|(_, n)| n).sum::<u64>(), "up to {bound} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_units_and_types_are_those_of_the_conventions() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let (_server, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 1).await;
    let statement = Statement::new("sqlite").with_operation("list_plots");
    let failed = Outcome::new(ms(1)).with_error(ErrorCode::new("SQLITE_BUSY"));
    monitor.statements_observer().finished(&statement, &failed);

    assert!(flush(&otlp).await);
    let metrics = receiver.received.metrics();
    let mut exported: Vec<String> = metrics.iter().map(described).collect();
    exported.sort();
    assert_eq!(
        exported,
        [
            "db.client.connection.count | {connection} | up-down counter | db.client.connection.pool.name,db.client.connection.state",
            "db.client.connection.create_time | s | histogram | db.client.connection.pool.name",
            "db.client.connection.idle.max | {connection} | up-down counter | db.client.connection.pool.name",
            "db.client.connection.idle.min | {connection} | up-down counter | db.client.connection.pool.name",
            "db.client.connection.max | {connection} | up-down counter | db.client.connection.pool.name",
            "db.client.connection.pending_requests | {request} | up-down counter | db.client.connection.pool.name",
            "db.client.connection.timeouts | {timeout} | counter | db.client.connection.pool.name",
            "db.client.connection.use_time | s | histogram | db.client.connection.pool.name",
            "db.client.connection.wait_time | s | histogram | db.client.connection.pool.name",
            "db.client.operation.duration | s | histogram | db.operation.name,db.system.name,error.type",
        ]
    );
    let operations = &durations(&metrics, "db.client.operation.duration")[0];
    let bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    assert_eq!(operations.explicit_bounds, bounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_of_the_pools_at_each_collection() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    let (_server, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 50).await; // before anybody exports
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let of_same_name = Monitor::new();
    let (_server, other) = watched(&of_same_name, 7, |builder| builder);
    monitor.watch("others", [other.view()]);

    let held = pool.acquire().await.unwrap();
    for round in 1_i64..=3 {
        rounds(&pool, 100).await;
        let second = pool.acquire().await.unwrap();
        pool.acquire().within(ms(20)).await.unwrap_err();
        drop(second);
        assert!(flush(&otlp).await);

        let (exported, now) = (receiver.received.metrics(), pool.statistics());
        let of =
            |name: &str| number(&exported, &format!("db.client.connection.{name}"), "plots", "");
        let by_state = |state| number(&exported, "db.client.connection.count", "plots", state);
        assert_eq!((by_state("used"), by_state("idle")), (1, i64::from(now.snapshot.idle)));
        assert_eq!((of("max"), of("idle.max"), of("idle.min")), (2, 2, 0));
        assert_eq!((of("pending_requests"), of("timeouts")), (0, round));
        let histograms =
            [("wait_time", &now.wait), ("use_time", &now.usage), ("create_time", &now.connect)];
        for (name, histogram) in histograms {
            assert!(histogram.count() > 0);
            let [exported] = durations(&exported, &format!("db.client.connection.{name}")) else {
                panic!("one pool has {name}");
            };
            assert_eq!(attribute(&exported.attributes, POOL), "plots");
            agree(exported, histogram);
        }
        // The other pool calls itself by the same name, and nothing has happened there.
        assert_eq!(number(&exported, "db.client.connection.max", "plots-2", ""), 7);
    }
    drop(held);

    // What a pool did until it was forgotten is not.
    monitor.forget("plots");
    assert!(flush(&otlp).await);
    let exported = receiver.received.metrics();
    assert_eq!(number(&exported, "db.client.connection.max", "plots-2", ""), 7);
    assert_eq!(numbers(&exported, "db.client.connection.max").len(), 1);
    agree(&durations(&exported, "db.client.connection.use_time")[0], &pool.statistics().usage);

    // Watched again, it goes on from there.
    monitor.watch("plots", [pool.view()]);
    rounds(&pool, 10).await;
    assert!(flush(&otlp).await);
    let exported = receiver.received.metrics();
    agree(&durations(&exported, "db.client.connection.use_time")[0], &pool.statistics().usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_are_seen() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let (_server, pool) = watched(&monitor, 1, |builder| builder);
    let held = pool.acquire().await.unwrap();
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire().within(secs(60)).await.unwrap()) }
    });
    while pool.snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert!(flush(&otlp).await);
    let exported = receiver.received.metrics();
    assert_eq!(number(&exported, "db.client.connection.pending_requests", "plots", ""), 1);
    drop(held);
    waits.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_told_apart_by_how_they_ended() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let (_server, _pool) = watched(&monitor, 1, |builder| builder);
    let observer = monitor.statements_observer();
    let statement = Statement::new("postgresql").with_operation("list_plots");
    for _ in 0..2 {
        (0..5).for_each(|_| observer.finished(&statement, &Outcome::new(ms(7))));
        let failed = Outcome::new(ms(600)).with_error(ErrorCode::new("40001"));
        observer.finished(&statement, &failed);
        assert!(flush(&otlp).await);
    }

    let exported = receiver.received.metrics();
    let ends = durations(&exported, "db.client.operation.duration");
    let of = |error: &str| {
        let end = ends.iter().find(|end| attribute(&end.attributes, "error.type") == error);
        let end = end.unwrap();
        assert_eq!(attribute(&end.attributes, "db.system.name"), "postgresql");
        assert_eq!(attribute(&end.attributes, "db.operation.name"), "list_plots");
        (end.count, (end.sum.unwrap() * 1e3).round(), end.bucket_counts.clone())
    };
    assert_eq!(ends.len(), 2);
    assert_eq!(of(""), (10, 70.0, vec![0, 0, 10, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(of("40001"), (2, 1200.0, vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_keeps_no_monitor() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let (_server, pool) = watched(&monitor, 1, |builder| builder);
    rounds(&pool, 1).await;
    assert!(flush(&otlp).await);
    let requests = receiver.received.count();
    rounds(&pool, 7).await;
    drop(monitor);
    assert!(flush(&otlp).await);
    assert!(receiver.received.count() > requests);
    let exported = receiver.received.metrics();
    assert!(exported.iter().all(|metric| metric.name != "db.client.connection.max"));
    // What was done until then is not lost.
    agree(&durations(&exported, "db.client.connection.use_time")[0], &pool.statistics().usage);
}
