//! What an exporter behind the `metrics` facade gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use pool_core::ManagedPool;
use pool_metrics::facade::Facade;
use pool_metrics::{Kind, Monitor};
use pool_sql::{Outcome, Statement};
use pool_testkit::FakeServer;
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn every_family_gets_there_under_its_name() {
    pool_testkit::hard_deadline();
    let recorder = DebuggingRecorder::new();
    let told = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);

    let monitor = Monitor::builder().prefix("shop").build();
    let recorded = Arc::new(Facade::new(&monitor));
    let builder = ManagedPool::builder(FakeServer::new().manager()).max_size(2).name("plots");
    let builder = builder.metrics(monitor.metrics()).metrics(recorded.clone());
    let pool = builder.build().unwrap();
    monitor.watch("plots", [pool.view()]);
    rounds(&pool, 3).await;
    let _held = pool.acquire().await.unwrap();
    let statement = Statement::new("sqlite").with_operation("list_plots");
    for observer in [monitor.statements_observer(), recorded.clone()] {
        observer.finished(&statement, &Outcome::new(ms(3)));
    }
    recorded.publish();
    recorded.publish(); // and nothing is counted twice

    let mut by_name = BTreeMap::new();
    for (key, _, _, value) in told.snapshot().into_vec() {
        let labels: Vec<_> =
            key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        by_name.insert((key.key().name().to_owned(), labels.join(",")), value);
    }
    let value = |name: &str, labels: &str| &by_name[&(name.to_owned(), labels.to_owned())];
    assert_eq!(
        *value("shop_db_pool_connections_active", "pool=plots"),
        DebugValue::Gauge(1.0.into())
    );
    assert_eq!(
        *value("shop_db_pool_acquires_total", "pool=plots,outcome=ok"),
        DebugValue::Counter(4)
    );
    let durations = |name, labels| match value(name, labels) {
        DebugValue::Histogram(values) => values.len(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(durations("db_client_connection_wait_time_seconds", "pool=plots"), 4);
    assert_eq!(durations("db_client_connection_use_time_seconds", "pool=plots"), 3);
    assert_eq!(durations("db_client_connection_create_time_seconds", "pool=plots"), 1);
    let named = "pool=plots,operation=list_plots";
    assert_eq!(durations("shop_db_pool_acquire_duration_seconds", named), 3);
    assert_eq!(
        durations("db_client_operation_duration_seconds", "system=sqlite,operation=list_plots"),
        1
    );

    // All but the histograms of pings and resets, which nobody is told one by one.
    for family in monitor.families().iter() {
        let is_there = by_name.keys().any(|(name, _)| *name == family.name);
        let may_miss = family.kind == Kind::Histogram && family.name.starts_with("shop_db_pool_");
        assert!(is_there || may_miss, "{}", family.name);
    }

    // What is watched no longer is not said to be as it was.
    monitor.forget("plots");
    recorded.publish();
    let now = told.snapshot().into_vec();
    let gauge = |name: &str| {
        let of_it = now.iter().find(|(key, ..)| key.key().name() == name).unwrap();
        let DebugValue::Gauge(value) = of_it.3 else { panic!("{name}") };
        value.into_inner()
    };
    assert!(gauge("shop_db_pool_connections_active").is_nan());
    assert!(gauge("shop_db_pool_health_status").is_nan());
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_monitor() {
    let monitor = Monitor::new();
    let task = tokio::spawn(Arc::new(Facade::new(&monitor)).run());
    sleep(secs(5)).await;
    assert!(!task.is_finished());
    drop(monitor);
    sleep(secs(2)).await;
    assert!(task.is_finished());
}
