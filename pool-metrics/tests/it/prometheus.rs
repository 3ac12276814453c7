//! What Prometheus reads.

use std::io::Write;
use std::process::{Command, Stdio};

use pool_core::PoolView;
use pool_metrics::{Monitor, prometheus};
use pool_sql::{Outcome, Statement};

use crate::support::*;

/// Names and types in the order in which they are told.
fn list(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

/// A monitor with something of everything.
async fn busy() -> (Monitor, TestPool) {
    let monitor = Monitor::builder().prefix("shop").build();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 3).await;
    drop(pool.acquire().await.unwrap());
    let (_a, _b) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    pool.acquire().within(ms(10)).await.unwrap_err();
    let statement = Statement::new("sqlite").with_operation("list_plots");
    monitor.statements_observer().finished(&statement, &Outcome::new(ms(3)));
    (monitor, pool)
}

#[tokio::test(start_paused = true)]
async fn names_and_types_stay_what_they_are() {
    let (monitor, _pool) = busy().await;
    let golden = include_str!("metrics.golden");
    let text = prometheus::text(&monitor);
    let told = list(&text);
    if told != golden.lines().collect::<Vec<_>>() {
        panic!(
            "dashboards and alerts go by these names; if they have to change:\n{}",
            told.join("\n")
        );
    }
    // The other format has the names of counters without their suffix.
    let other =
        |line: &&str| line.replace("_total counter", " counter").replace("untyped", "unknown");
    let of_text = told.iter().map(other);
    assert_eq!(list(&prometheus::openmetrics(&monitor)), of_text.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_names_that_dashboards_have_already() {
    let (monitor, _pool) = busy().await;
    let (text, openmetrics) = (prometheus::text(&monitor), prometheus::openmetrics(&monitor));
    for line in [
        "shop_db_pool_connections_active{pool=\"plots\"} ",
        "shop_db_pool_connections_idle{pool=\"plots\"} ",
        "shop_db_pool_connections_max{pool=\"plots\"} ",
        "shop_db_pool_acquire_duration_seconds_bucket{pool=\"plots\",operation=\"list_plots\",le=\"0.001\"} ",
        "shop_db_pool_acquire_duration_seconds_bucket{pool=\"plots\",operation=\"list_plots\",le=\"0.005\"} ",
        "shop_db_pool_acquire_timeout_total{pool=\"plots\"} ",
        "db_client_connection_count{pool=\"plots\",state=\"used\"} ",
        "db_client_connection_wait_time_seconds_bucket{pool=\"plots\",le=\"0.001\"} ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
        // This one writes the bucket's bound first.
        let bound_last = line.split_once("{").unwrap().0;
        assert!(openmetrics.contains(bound_last), "{line}\n{openmetrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn figures_are_the_pools_own() {
    let (monitor, pool) = busy().await;
    let (now, text) = (pool.statistics(), prometheus::text(&monitor));
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} in\n{text}")).trim().parse().unwrap()
    };
    assert_eq!(value("shop_db_pool_connections_active{pool=\"plots\"}"), 0.0);
    assert_eq!(value("shop_db_pool_connections_max{pool=\"plots\"}"), 2.0);
    assert_eq!(value("shop_db_pool_acquire_timeout_total{pool=\"plots\"}"), 1.0);
    let acquired = now.snapshot.counts.acquired as f64;
    assert_eq!(acquired, 6.0);
    assert_eq!(value("shop_db_pool_acquires_total{pool=\"plots\",outcome=\"ok\"}"), acquired);
    assert_eq!(value("db_client_connection_wait_time_seconds_count{pool=\"plots\"}"), acquired);
    let sum = value("db_client_connection_wait_time_seconds_sum{pool=\"plots\"}");
    assert!((sum - now.wait.sum().as_secs_f64()).abs() < 1e-9);
    let by_operation = "shop_db_pool_acquire_duration_seconds_count{pool=\"plots\",operation=";
    assert_eq!(value(&format!("{by_operation}\"list_plots\"}}")), 3.0);
    assert_eq!(value(&format!("{by_operation}\"\"}}")), 3.0);
    let took =
        "db_client_operation_duration_seconds_bucket{system=\"sqlite\",operation=\"list_plots\"";
    assert_eq!(
        (value(&format!("{took},le=\"0.0025\"}}")), value(&format!("{took},le=\"0.005\"}}"))),
        (0.0, 1.0)
    );
    // Every bucket is there from the first scrape on, also the last.
    assert_eq!(
        value("db_client_connection_use_time_seconds_bucket{pool=\"plots\",le=\"+Inf\"}"),
        6.0
    );
}

/// Debian's promtool knows what Prometheus accepts, and what its authors advise.
#[tokio::test(start_paused = true)]
async fn promtool_finds_nothing_to_say() {
    let (monitor, _pool) = busy().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian: prometheus)");
    promtool.stdin.take().unwrap().write_all(prometheus::text(&monitor).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(start_paused = true)]
async fn pools_of_one_name_are_told_apart() {
    let monitor = Monitor::new();
    let (_, one) = watched(&monitor, 2, |builder| builder);
    let (_, other) = watched(&monitor, 3, |builder| builder);
    assert_eq!(monitor.names(), ["plots", "plots-2"]);
    let text = prometheus::text(&monitor);
    assert!(text.contains("db_pool_connections_max{pool=\"plots\"} 2"), "{text}");
    assert!(text.contains("db_pool_connections_max{pool=\"plots-2\"} 3"), "{text}");
    // The name stays the pool's own when another one goes.
    drop(one);
    let text = prometheus::text(&monitor);
    assert!(text.contains("db_pool_connections_max{pool=\"plots-2\"} 3"), "{text}");
    assert!(!text.contains("db_pool_connections_max{pool=\"plots\"}"), "{text}");
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn one_registry_has_the_applications_own_and_all_pools() {
    let (monitor, pool) = busy().await;
    let registry = ::prometheus::Registry::new();
    registry.register(Box::new(prometheus::Collector::new(&monitor))).unwrap();
    registry.register(Box::new(::prometheus::IntCounter::new("own", "own").unwrap())).unwrap();
    let views: [PoolView; 1] = [pool.view()];
    monitor.watch("again", views); // and later ones
    let gathered = registry.gather();
    assert!(gathered.iter().any(|family| family.name() == "own"));
    let max = gathered.iter().find(|family| family.name() == "shop_db_pool_connections_max");
    assert_eq!(max.unwrap().get_metric().len(), 2);
    let twice = registry.register(Box::new(prometheus::Collector::new(&monitor)));
    twice.expect_err("it is there already");
}

/// R25 and the format itself: what names may contain does not break out of its quotes.
#[tokio::test(start_paused = true)]
async fn a_name_cannot_make_series_of_its_own() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 2, |builder| builder.name("a\"} 1\nb{c=\"\\"));
    for text in [prometheus::text(&monitor), prometheus::openmetrics(&monitor)] {
        assert!(text.contains(r#"pool="a\"} 1\nb{c=\"\\""#), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("b{")));
    }
}
