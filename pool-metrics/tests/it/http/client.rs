//! Endpoints that run, and a client that sends what it is told to.

use std::net::SocketAddr;

use pool_metrics::Monitor;
use pool_metrics::http::{Endpoints, Token};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::secs;

pub(crate) const TOKEN: &str = "open-sesame-4711";

pub(crate) const GETS: [&str; 12] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/api/connection-pool",
    "/api/db-health",
    "/api/v1/health",
    "/metrics/database/pool",
    "/metrics/database/health",
    "/metrics/database/config",
    "/metrics/performance/summary",
    "/api/admin/database-health",
    "/openapi.json",
];

pub(crate) fn token() -> Token {
    Token::new(TOKEN).unwrap()
}

/// Endpoints that run.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn new(endpoints: Endpoints) -> Self {
        let server = endpoints.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, (stop, stopped)) = (server.address(), oneshot::channel());
        let shutdown = async { drop(stopped.await) };
        Self { address, stop, task: tokio::spawn(server.run(shutdown)) }
    }

    /// Without a token.
    pub(crate) async fn of(monitor: &Monitor) -> Self {
        Self::new(Endpoints::new(monitor.clone())).await
    }

    /// An application.
    pub(crate) async fn serve(app: axum::Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
        let shutdown = async { drop(stopped.await) };
        let serving = axum::serve(listener, app).with_graceful_shutdown(shutdown);
        Self { address, stop, task: tokio::spawn(async { serving.await.unwrap() }) }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }

    /// With these lines for headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            Answer(answer)
        };
        tokio::time::timeout(secs(60), exchange).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "Host: localhost\r\n").await
    }

    /// With the right token.
    pub(crate) async fn with_token(&self, method: &str, path: &str) -> Answer {
        let headers = format!("Host: ops.example\r\nAuthorization: Bearer {TOKEN}\r\n");
        self.ask(method, path, &headers).await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }
}

/// All of it, as it came.
pub(crate) struct Answer(pub(crate) String);

impl Answer {
    fn parts(&self) -> (&str, &str) {
        self.0.split_once("\r\n\r\n").unwrap()
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.parts().0.lines().filter_map(|line| line.split_once(": "));
        Some(lines.find(|(one, _)| one.eq_ignore_ascii_case(name))?.1)
    }

    pub(crate) fn body(&self) -> &str {
        self.parts().1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|error| panic!("{error} in {}", self.0))
    }
}
