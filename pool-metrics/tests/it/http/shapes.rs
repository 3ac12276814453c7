//! The JSON that others read already: the same keys, types and nesting as what they were promised,
//! with the values of a real pool.

use pool_metrics::Monitor;
use serde_json::{Value, json};

use super::client::Running;
use crate::support::{ms, rounds, watched};

/// Every path to a value with its type. Whole numbers and others are told apart.
fn shape(value: &Value) -> Vec<String> {
    fn walk(at: &str, value: &Value, all: &mut Vec<String>) {
        let kind = match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| walk(&format!("{at}.{key}"), value, all));
                return;
            }
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::Null => "null",
        };
        all.push(format!("{at}: {kind}"));
    }
    let mut all = Vec::new();
    walk("", value, &mut all);
    all
}

#[tokio::test]
async fn a_pool_in_the_words_of_go() {
    let monitor = Monitor::new();
    let (_server, pool) = watched(&monitor, 25, |builder| builder.max_connecting(8));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(pool.acquire().await.unwrap());
    }
    monitor.reset(); // these waited for their connects
    held.truncate(3);
    while pool.snapshot().idle < 5 {
        tokio::time::sleep(ms(1)).await;
    }
    let running = Running::of(&monitor).await;
    let is = running.get("/api/connection-pool").await;
    let promised = json!({
      "connection_pool": {
        "open_connections": 8,
        "max_open_connections": 25,
        "in_use": 3,
        "idle": 5,
        "wait_count": 0,
        "wait_duration": "0s"
      },
      "utilization": {
        "open_connection_percent": 32.0,
        "idle_connection_percent": 62.5,
        "busy_connection_percent": 37.5
      },
      "performance_indicators": {
        "connection_waits": false,
        "high_utilization": false,
        "connection_churning": false,
        "idle_timeout_issues": false
      },
      "health_status": "healthy"
    });
    assert_eq!(is.json(), promised);
    assert_eq!(shape(&is.json()), shape(&promised));
    assert!(is.body().contains("\"open_connection_percent\":32.0,"), "{}", is.body());

    // Somebody waits, and is served after a while.
    for _ in 0..22 {
        held.push(pool.acquire().await.unwrap());
    }
    monitor.reset();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire().await.unwrap()) }
    });
    while pool.snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.json("/api/connection-pool").await["connection_pool"]["wait_count"], 1);
    tokio::time::sleep(ms(20)).await;
    drop(held);
    waiting.await.unwrap();
    let after = &running.json("/api/connection-pool").await["connection_pool"];
    assert_eq!(after["wait_count"], 1);
    let waited = after["wait_duration"].as_str().unwrap();
    assert!(pool_core::duration::parse(waited).unwrap() >= ms(20), "{waited}");
    running.stop().await;
}

#[tokio::test]
async fn a_health_check_with_its_latency() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::of(&monitor).await;
    let is = running.json("/api/v1/health").await;
    let promised = json!({
      "status": "healthy",
      "checks": {
        "database": {
          "status": "healthy",
          "latency_ms": 2
        }
      }
    });
    assert_eq!(shape(&is), shape(&promised));
    assert_eq!(is["checks"]["database"]["status"], "healthy");
    running.stop().await;
}

#[tokio::test]
async fn figures_of_a_pool_and_their_summary() {
    let monitor = Monitor::new();
    let (_server, pool) = watched(&monitor, 4, |builder| builder.min_size(1));
    rounds(&pool, 5).await;
    let _held = pool.acquire().await.unwrap();
    let running = Running::of(&monitor).await;

    let pool = running.json("/metrics/database/pool").await;
    assert_eq!(pool["active_connections"], 1);
    assert_eq!(pool["idle_connections"], 0);
    assert_eq!(pool["total_connections"], 1);
    assert_eq!(pool["min_connections"], 1);
    assert_eq!(pool["max_connections"], 4);
    assert_eq!(pool["utilization"], 0.25);
    assert_eq!(pool["pool_hits"].as_u64().unwrap() + pool["pool_misses"].as_u64().unwrap(), 6);
    assert!(pool["hit_rate"].as_f64().unwrap() >= 5.0 / 6.0);
    assert_eq!((&pool["connections_created"], &pool["connections_closed"]), (&json!(1), &json!(0)));
    assert_eq!(pool["failed_health_checks"], 0);
    assert!(pool["average_connection_time_ms"].is_f64());

    let summary = running.json("/metrics/performance/summary").await;
    for same in ["hit_rate", "active_connections", "connections_created", "failed_health_checks"] {
        assert_eq!(summary[same], pool[same], "{same}");
    }
    assert_eq!(
        (&summary["query_count"], &summary["average_query_time_ms"]),
        (&json!(0), &json!(0.0))
    );
    let signs = json!({
        "high_hit_rate": true,
        "low_connection_time": true,
        "zero_health_failures": true,
        "balanced_ratio": true
    });
    assert_eq!(summary["performance_indicators"], signs);

    let health = running.json("/metrics/database/health").await;
    assert_eq!((&health["status"], &health["last_check"]), (&json!("healthy"), &Value::Null));
    running.json("/api/db-health").await;
    let health = running.json("/metrics/database/health").await;
    assert_eq!(health["last_check"]["passed"], true);
    running.stop().await;
}

#[tokio::test]
async fn statements_are_summed_up() {
    use pool_sql::{ErrorCode, Outcome, Statement};

    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 4, |builder| builder);
    let observer = monitor.statements_observer();
    let list = Statement::new("sqlite").with_operation("list_plots").with_sql("SELECT 'canary'");
    observer.finished(&list, &Outcome::new(ms(2)));
    let error = ErrorCode::new("SQLITE_BUSY");
    observer.finished(&Statement::new("sqlite"), &Outcome::new(ms(4)).with_error(error));
    let running = Running::of(&monitor).await;
    let summary = running.json("/metrics/performance/summary").await;
    assert_eq!((&summary["query_count"], &summary["failed_queries"]), (&json!(2), &json!(1)));
    assert_eq!(summary["average_query_time_ms"], 3.0);
    let slowest = json!([
        {"backend": "sqlite", "operation": null, "took_ms": 4.0, "error": "SQLITE_BUSY"},
        {"backend": "sqlite", "operation": "list_plots", "took_ms": 2.0, "error": null},
    ]);
    assert_eq!(summary["slowest_queries"], slowest);
    running.stop().await;
}

#[tokio::test]
async fn settings_are_numbers() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 4, |builder| builder.acquire_timeout(ms(2500)));
    let running = Running::of(&monitor).await;
    let config = running.json("/metrics/database/config").await;
    assert_eq!(config["pool"], "plots");
    let side = config["sides"][0].as_object().unwrap();
    assert_eq!(side["max_connections"], 4);
    assert_eq!(side["acquire_timeout_seconds"], 2.5);
    assert_eq!(side["keepalive_seconds"], Value::Null);
    assert_eq!(side["validate_after_idle_seconds"], 5.0);
    for (key, value) in side.iter().filter(|(key, _)| *key != "name") {
        assert!(value.is_number() || value.is_null(), "{key}");
    }
    // By the name that all that is exported has.
    let (_server, _other) = watched(&monitor, 3, |builder| builder);
    let config = running.json("/metrics/database/config?pool=plots-2").await;
    assert_eq!(config["sides"][0]["name"], "plots-2");
    running.stop().await;
}
