//! With which status questions are answered, and in which form.

use std::time::Duration;

use pool_core::ErrorClass;
use pool_metrics::Monitor;
use pool_metrics::http::Endpoints;
use pool_testkit::{Behaviour, Op};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::{GETS, Running, token};
use crate::support::{ms, rounds, secs, watched};

#[tokio::test]
async fn each_path_has_its_methods_and_no_other() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::new(Endpoints::new(monitor).token(token())).await;
    let document = running.with_token("GET", "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let of_the_page = if cfg!(feature = "dashboard") { 2 } else { 0 };
    assert_eq!(paths.len(), GETS.len() + 1 + of_the_page);
    // A stream does not end.
    for (path, item) in paths.iter().filter(|(path, _)| !path.ends_with("/events")) {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let answer = running.with_token(method, path).await;
            let told = item.get(method.to_lowercase());
            let Some(told) = told else {
                assert_eq!(answer.status(), 405, "{method} {path}");
                assert!(answer.header("allow").is_some(), "{method} {path}");
                continue;
            };
            let response = &told["responses"][answer.status().to_string()];
            assert!(response.is_object(), "{method} {path} is {}", answer.status());
            if let Some(is) = answer.header("content-type") {
                let media_type = is.split(';').next().unwrap();
                assert!(response["content"][media_type].is_object(), "{method} {path} is {is}");
            }
        }
        if item.get("get").is_some() {
            let (get, head) =
                (running.with_token("GET", path).await, running.with_token("HEAD", path).await);
            assert_eq!((head.status(), head.body()), (get.status(), ""), "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn the_query_picks_a_database_or_says_what_would_be_right() {
    let monitor = Monitor::new();
    let (_server, plots) = watched(&monitor, 3, |builder| builder);
    monitor.watch("maps and more", [plots.view()]);
    let running = Running::of(&monitor).await;
    let of = async |query: &str| running.json(&format!("/metrics/database/pool{query}")).await;
    assert_eq!(of("").await["pool"], "plots");
    assert_eq!(of("?pool=plots").await["pool"], "plots");
    assert_eq!(of("?pool=maps%20and+more").await["pool"], "maps and more");

    for path in GETS.iter().filter(|path| path.contains("/database/") || path.contains("health")) {
        if path.contains("admin") {
            continue;
        }
        let unknown = running.get(&format!("{path}?pool=nobody")).await;
        assert_eq!(unknown.status(), 404);
        assert_eq!(unknown.json()["pools"], serde_json::json!(["plots", "maps and more"]));
        for query in ["pol=plots", "pool=plots&pool=plots", "pool=plots&x", "x"] {
            let bad = running.get(&format!("{path}?{query}")).await;
            assert_eq!(bad.status(), 400, "{path}?{query}");
            assert!(bad.json()["error"].as_str().unwrap().contains("want ?pool="), "{}", bad.0);
        }
    }
    monitor.forget("plots");
    monitor.forget("maps and more");
    assert_eq!(running.get("/api/db-health").await.status(), 404);
    running.stop().await;
}

#[tokio::test]
async fn health_json_is_sent_where_it_is_accepted() {
    let monitor = Monitor::new();
    let (server, pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::new(Endpoints::new(monitor).check_timeout(ms(300))).await;
    let held = pool.acquire().await.unwrap();
    let accepting = "Host: localhost\r\nAccept: application/health+json\r\n";
    for (path, deep) in
        [("/api/db-health", true), ("/api/v1/health", true), ("/metrics/database/health", false)]
    {
        let answer = running.ask("GET", path, accepting).await;
        assert_eq!(answer.header("content-type"), Some("application/health+json"));
        let json = answer.json();
        assert_eq!(json["status"], "pass", "{json}");
        let in_use = &json["checks"]["plots:connectionsInUse"][0];
        assert_eq!(in_use["observedValue"], 1);
        assert_eq!(in_use["observedUnit"], "connections");
        assert_eq!(in_use["componentType"], "datastore");
        assert_eq!(json["checks"]["plots:responseTime"].is_array(), deep, "{path}");

        let plain = running.ask("GET", path, "Host: localhost\r\nAccept: */*\r\n").await;
        assert_eq!(plain.header("content-type"), Some("application/json"));
        assert_eq!(plain.json()["status"], "healthy");
    }

    server.down();
    drop(held);
    tokio::time::sleep(secs(1)).await; // an answer is good for as long
    let down = running.ask("GET", "/api/v1/health", accepting).await;
    assert_eq!((down.status(), &down.json()["status"]), (503, &"fail".into()));
    assert_eq!(down.json()["checks"]["plots:responseTime"][0]["status"], "fail");
    assert!(down.json()["output"].is_string());
    running.stop().await;
}

#[tokio::test]
async fn prometheus_gets_the_format_that_it_asks_for() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::of(&monitor).await;
    let text = running.get("/metrics").await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.body().contains("db_pool_connections_max{pool=\"plots\"} 3\n"), "{}", text.body());
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n";
    let open = running.ask("GET", "/metrics", accept).await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.body().ends_with("# EOF\n"));
    running.stop().await;
}

const CHECKS: [&str; 4] =
    ["/readyz", "/api/db-health", "/api/v1/health", "/metrics/database/health"];

#[tokio::test]
async fn an_exhausted_pool_is_503_until_it_is_not() {
    let monitor = Monitor::new();
    let (_server, pool) = watched(&monitor, 1, |builder| builder);
    let running = Running::new(Endpoints::new(monitor.clone()).check_timeout(ms(300))).await;
    let held = pool.acquire().await.unwrap();
    drop(pool.acquire().within(ms(20)).await.unwrap_err());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire().await.unwrap()) }
    });
    while pool.snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    for path in CHECKS {
        assert_eq!(running.get(path).await.status(), 503, "{path}");
    }
    assert_eq!(running.get("/readyz").await.body(), "unhealthy");
    assert_eq!(running.get("/livez").await.status(), 200);
    // Figures are figures, however bad.
    let figures = running.get("/api/connection-pool").await;
    assert_eq!((figures.status(), &figures.json()["health_status"]), (200, &"unhealthy".into()));

    drop(held);
    waiting.await.unwrap();
    tokio::time::sleep(secs(1)).await;
    for path in CHECKS {
        assert_eq!(running.get(path).await.status(), 200, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_database_that_is_down_is_503_until_it_is_up() {
    let monitor = Monitor::new();
    let (server, pool) =
        watched(&monitor, 2, |builder| builder.backoff_base(ms(10)).backoff_cap(ms(20)));
    let running = Running::new(Endpoints::new(monitor).check_timeout(ms(300))).await;
    rounds(&pool, 3).await;
    assert_eq!(running.get("/readyz").await.status(), 200);
    server.down();
    drop(pool.acquire().within(ms(50)).await.unwrap_err());
    for path in CHECKS {
        assert_eq!(running.get(path).await.status(), 503, "{path}");
    }
    assert_eq!(running.get("/livez").await.status(), 200);
    server.up();
    rounds(&pool, 1).await;
    tokio::time::sleep(secs(1)).await;
    // `/readyz` counts the last check too.
    for path in ["/api/db-health", "/api/v1/health", "/readyz", "/metrics/database/health"] {
        assert_eq!(running.get(path).await.status(), 200, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_database_that_hangs_is_waited_for_no_longer_than_set() {
    let monitor = Monitor::new();
    let (server, pool) = watched(&monitor, 2, |builder| builder.ping_timeout(secs(100)));
    let running = Running::new(Endpoints::new(monitor.clone()).check_timeout(ms(200))).await;
    rounds(&pool, 1).await;
    server.always(Op::Ping, Behaviour::Hang);
    // Somebody's own check, with more patience, is in the way.
    let theirs = tokio::spawn(async move { monitor.probe("plots", secs(30)).await });
    while server.calls(Op::Ping) == 0 {
        tokio::task::yield_now().await;
    }
    let answer = running.get("/api/v1/health").await; // in less than these 30 s
    assert!(!theirs.is_finished());
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.json()["checks"]["database"]["latency_ms"], 200);
    theirs.abort();
    running.stop().await;
}

#[tokio::test]
async fn who_hangs_up_costs_no_connection() {
    let monitor = Monitor::new();
    let (server, pool) = watched(&monitor, 2, |builder| builder);
    let running = Running::of(&monitor).await;
    rounds(&pool, 1).await;
    server.always(Op::Ping, Behaviour::Slow(ms(300)));
    let mut asking = TcpStream::connect(running.address).await.unwrap();
    asking.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    while server.calls(Op::Ping) == 0 {
        tokio::task::yield_now().await;
    }
    drop(asking);
    while monitor.report("plots").unwrap().last_probe.is_none() {
        tokio::time::sleep(ms(10)).await;
    }
    let counts = pool.snapshot().counts;
    assert_eq!((counts.created, counts.ended.total()), (1, 0));
    running.stop().await;
}

#[tokio::test]
async fn the_application_adds_its_counts_and_their_failure_breaks_nothing() {
    pool_testkit::hush_injected_panics();
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let path = "/api/admin/database-health";
    let ask = async |endpoints: Endpoints| {
        let running = Running::new(endpoints.token(token()).check_timeout(ms(200))).await;
        let answer = running.with_token("GET", path).await;
        running.stop().await;
        assert_eq!(answer.status(), 200);
        let json = answer.json();
        assert_eq!(json["connection"]["status"], "healthy", "{json}");
        assert_eq!(json["pool"]["max_connections"], 3);
        assert_eq!(json["configuration"][0]["max_connections"], 3);
        json
    };
    let endpoints = || Endpoints::new(monitor.clone());
    assert_eq!(ask(endpoints()).await["counts"], serde_json::json!({}));

    let counting = endpoints().with_counts(async || Ok::<_, ()>([("sessions", 7), ("users", 2)]));
    let json = ask(counting).await;
    assert_eq!(json["counts"], serde_json::json!({"sessions": 7, "users": 2}));
    assert_eq!(json.get("counts_error"), None);

    type Never = Result<Vec<(String, u64)>, String>;
    let failing = endpoints().with_counts(async || Never::Err("postgres://u:canary@h".to_owned()));
    let json = ask(failing).await;
    assert_eq!(json["counts_error"], "counting failed");
    assert!(!json.to_string().contains("canary"));
    let hanging = endpoints().with_counts(std::future::pending::<Never>);
    assert_eq!(ask(hanging).await["counts_error"], "counting did not end in time");
    let panicking = endpoints().with_counts(async || -> Never { panic!("injected: counts") });
    assert_eq!(ask(panicking).await["counts_error"], "counting panicked");
}

#[tokio::test]
async fn a_reset_begins_anew() {
    let monitor = Monitor::new();
    let (server, pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::new(Endpoints::new(monitor).token(token())).await;
    rounds(&pool, 5).await;
    let hits = async || {
        running.with_token("GET", "/metrics/database/pool").await.json()["pool_hits"].clone()
    };
    assert_eq!(hits().await, 4);
    assert_eq!(running.with_token("GET", "/metrics/database/reset").await.status(), 405);
    assert_eq!(hits().await, 4);
    assert_eq!(running.with_token("POST", "/metrics/database/reset").await.status(), 204);
    assert_eq!(hits().await, 0);
    drop(server);
    running.stop().await;
}

#[tokio::test]
async fn what_is_nested_answers_there() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let endpoints = Endpoints::new(monitor).token(token());
    let app: axum::Router = axum::Router::new().nest("/ops", endpoints.router());
    let running = Running::serve(app).await;
    assert_eq!(running.get("/ops/livez").await.body(), "alive");
    assert_eq!(running.get("/ops/metrics").await.status(), 401);
    assert_eq!(running.get("/metrics").await.status(), 404);
    assert_eq!(running.with_token("GET", "/ops/metrics").await.status(), 200);
    let document = running.with_token("GET", "/ops/openapi.json").await.json();
    assert_eq!(document["servers"][0]["url"], "/ops");
    running.stop().await;
}

#[tokio::test]
async fn no_connection_is_503_with_retry_after() {
    use axum::extract::State;
    use axum::routing::get;
    use pool_metrics::http::Unavailable;

    let (server, pool) = watched(&Monitor::new(), 1, |builder| builder.acquire_timeout(ms(20)));
    let handler = async |State(pool): State<crate::support::TestPool>| {
        pool.acquire().await?;
        Ok::<_, Unavailable>("served")
    };
    let app = axum::Router::new().route("/", get(handler)).with_state(pool.clone());
    let running = Running::serve(app).await;
    assert_eq!(running.get("/").await.body(), "served");
    let held = pool.acquire().await.unwrap();
    let busy = running.get("/").await;
    assert_eq!((busy.status(), busy.header("retry-after")), (503, Some("1")));
    assert_eq!(busy.json()["kind"], "timed_out");
    held.invalidate();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let down = running.get("/").await;
    assert_eq!((down.status(), &down.json()["kind"]), (503, &"connect".into()));
    pool.close(Duration::ZERO).await;
    assert_eq!(running.get("/").await.json()["kind"], "closed");
    running.stop().await;
}
