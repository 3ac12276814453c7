//! The live page behind the endpoints' guard: the page for everybody, what it shows for who may ask.

use std::net::SocketAddr;
use std::time::Duration;

use pool_metrics::Monitor;
use pool_metrics::http::{Endpoints, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Running, token};
use crate::support::watched;

#[tokio::test]
async fn the_page_is_for_everybody_and_its_data_is_not() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 2, |builder| builder);
    let running = Running::new(Endpoints::new(monitor.clone()).token(token())).await;
    let page = running.get("/dashboard").await;
    assert_eq!(page.status(), 200);
    assert!(page.0.contains("script-src 'self'"), "its own policy: {}", page.0);
    assert!(!page.0.contains("plots"), "no data in it");
    assert_eq!(running.get("/dashboard/main.js").await.status(), 200);
    for guarded in ["/api/live", "/api/live/events", "/dashboard/../api/live", "/no/such/route"] {
        let answer = running.get(guarded).await;
        assert_eq!((answer.status(), answer.body()), (401, ""), "{guarded}");
    }
    let live = running.with_token("GET", "/api/live").await;
    assert_eq!(live.status(), 200);
    assert!(live.body().contains("plots"));
    running.stop().await;

    // Without a token: this machine alone.
    let running = Running::new(Endpoints::new(monitor)).await;
    assert_eq!(running.get("/api/live").await.status(), 200);
    assert_eq!(running.ask("GET", "/api/live", "Host: evil.example\r\n").await.status(), 421);
    let root = running.get("/").await;
    assert!(root.status() == 303 && root.0.contains("location: /dashboard"), "{}", root.0);
    running.stop().await;
}

/// A stream that has begun.
async fn follow(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/live/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0; 64];
    stream.read_exact(&mut begun).await.unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200"));
    stream
}

async fn bound(endpoints: Endpoints) -> Server {
    endpoints.bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// A stream that somebody follows does not hold the server; and another server's goes on.
#[tokio::test]
async fn the_server_ends_while_somebody_looks() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 2, |builder| builder);
    let endpoints = Endpoints::new(monitor);
    let other = bound(endpoints.clone()).await;
    let others = other.address();
    tokio::spawn(other.run(std::future::pending()));
    let server = bound(endpoints).await;
    let address = server.address();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(ended.await) }));
    let _looking = follow(address).await;
    drop(end);
    // Well within the 5 s after which it leaves connections alone.
    timeout(Duration::from_secs(4), running).await.expect("it ends").unwrap();
    follow(others).await;
}

/// A server whose future is dropped leaves no stream behind.
#[tokio::test]
async fn a_dropped_server_ends_its_streams() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 2, |builder| builder);
    let server = bound(Endpoints::new(monitor.clone())).await;
    let address = server.address();
    let running = tokio::spawn(server.run(std::future::pending()));
    let mut looking = follow(address).await;
    running.abort();
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(20), looking.read_to_end(&mut rest)).await;
    ended.expect("the stream ends").unwrap();
}
