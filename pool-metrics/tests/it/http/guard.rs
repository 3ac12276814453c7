//! Who is answered, and how who is not.

use pool_metrics::Monitor;
use pool_metrics::http::{Endpoints, ServeError};

use super::client::{GETS, Running, TOKEN, token};
use crate::support::watched;

fn is_public(path: &str) -> bool {
    ["/livez", "/readyz"].contains(&path)
}

#[tokio::test]
async fn without_the_token_there_is_an_empty_401() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::new(Endpoints::new(monitor).token(token())).await;
    let routes = GETS.iter().map(|path| ("GET", *path)).chain([
        ("HEAD", "/metrics"),
        ("POST", "/metrics/database/reset"),
        ("DELETE", "/metrics"),
        ("GET", "/no/such/route"),
        ("GET", "/livez/"),
        ("GET", "//livez"),
        ("GET", "/%6civez"),
        ("GET", "/livez/../metrics"),
    ]);
    for (method, path) in routes {
        for header in [
            "Host: localhost\r\n".to_owned(),
            "Host: localhost\r\nAuthorization: Bearer \r\n".to_owned(),
            format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}x\r\n"),
            format!("Host: localhost\r\nAuthorization: Basic {TOKEN}\r\n"),
            format!("Host: localhost\r\nCookie: token={TOKEN}\r\n"),
        ] {
            let answer = running.ask(method, path, &header).await;
            if is_public(path) {
                assert_eq!(answer.status(), 200, "{path}");
                continue;
            }
            assert_eq!(answer.status(), 401, "{method} {path} with {header}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.body(), "");
        }
        let in_query = format!("{path}?token={TOKEN}&access_token={TOKEN}");
        if !is_public(path) {
            assert_eq!(running.ask(method, &in_query, "Host: localhost\r\n").await.status(), 401);
        }
    }
    for path in GETS {
        assert_eq!(running.with_token("GET", path).await.status(), 200, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn without_a_token_other_hosts_are_refused() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let endpoints = Endpoints::new(monitor).allow_host("ops.internal");
    let running = Running::new(endpoints).await;
    for path in GETS {
        let absent = path.starts_with("/api/admin");
        for host in ["localhost", "127.0.0.1:9187", "[::1]", "ops.internal:80"] {
            let answer = running.ask("GET", path, &format!("Host: {host}\r\n")).await;
            assert_eq!(answer.status(), if absent { 404 } else { 200 }, "{path} at {host}");
        }
        let answer = running.ask("GET", path, "Host: rebound.example\r\n").await;
        assert_eq!(answer.status(), if is_public(path) { 200 } else { 421 }, "{path}");
        assert!(is_public(path) || answer.body().starts_with("without a token"), "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn without_a_token_only_loopback_is_bound() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9187"] {
        let endpoints = Endpoints::new(Monitor::new());
        let refused = endpoints.bind(address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(refused, ServeError::NeedsToken(_)));
        let text = refused.to_string();
        assert!(text.contains("Token::from_env") && text.contains("127.0.0.1:"), "{text}");
    }
    let endpoints = Endpoints::new(Monitor::new()).token(token());
    drop(endpoints.bind("0.0.0.0:0".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn what_changes_or_tells_all_is_not_there_without_a_token() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::of(&monitor).await;
    assert_eq!(running.get("/api/admin/database-health").await.status(), 404);
    assert_eq!(running.get("/api/admin/database-health?pool=none").await.body(), "");
    let reset = running.ask("POST", "/metrics/database/reset", "Host: localhost\r\n").await;
    assert_eq!(reset.status(), 404);
    running.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_where_it_is() {
    let monitor = Monitor::new();
    let (_server, _pool) = watched(&monitor, 3, |builder| builder);
    let running = Running::new(Endpoints::new(monitor).token(token())).await;
    let mut answers = vec![
        running.get("/metrics").await,                               // 401
        running.with_token("GET", "/no/such/route").await,           // 404
        running.with_token("PUT", "/metrics").await,                 // 405
        running.with_token("GET", "/api/db-health?pol=plots").await, // 400
        running.with_token("POST", "/metrics/database/reset").await, // 204
    ];
    for path in GETS {
        answers.push(running.with_token("GET", path).await);
    }
    for answer in answers {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name} in {}", answer.0);
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("set-cookie"), None);
    }
    running.stop().await;
}
