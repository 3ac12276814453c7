//! A web service with the endpoints in it.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{end, open, run, signal, stderr, within_deadline};

const TOKEN: &str = "open-sesame-4711";

struct Service {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

fn command(token: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
    command.env_remove("SERVICE_TOKEN").kill_on_drop(true);
    token.map(|token| command.env("SERVICE_TOKEN", token));
    command
}

impl Service {
    async fn start(command: &mut Command) -> Self {
        command.args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = within_deadline(lines.next_line()).await.unwrap().expect("it says where");
        let address = said.strip_prefix("listening on http://").expect(&said).to_owned();
        Self { child, lines, address }
    }

    /// Sends a request; gives status and body.
    async fn ask(&self, request: &str, headers: &str) -> (u16, String) {
        let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        within_deadline(async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(format!("{head}{headers}\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        })
        .await
    }

    async fn json(&self, path: &str) -> Value {
        let authorization = format!("Authorization: Bearer {TOKEN}\r\n");
        let (status, body) = self.ask(&format!("GET {path}"), &authorization).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Ends it by a signal, as which it ends in order.
    async fn stop(mut self, by: &str) {
        signal(&self.child, by).await;
        let said = within_deadline(self.lines.next_line()).await.unwrap();
        assert_eq!(said.as_deref(), Some("closed, all of it"));
        assert!(end(self.child).await.status.success());
    }
}

/// Who looks at the live page does not hold it.
#[tokio::test]
async fn it_ends_while_somebody_looks() {
    let service = Service::start(&mut command(None)).await;
    let mut stream = TcpStream::connect(&service.address).await.unwrap();
    let request = "GET /ops/api/live/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0; 64];
    within_deadline(stream.read_exact(&mut begun)).await.unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
    service.stop("TERM").await;
}

#[tokio::test]
async fn it_serves_and_tells_how_its_pool_does() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("visits.db");
    let service = Service::start(command(Some(TOKEN)).arg("--db").arg(&db)).await;
    for _ in 0..3 {
        assert_eq!(service.ask("POST /visits", "").await.0, 201);
    }
    assert_eq!(service.ask("GET /visits", "").await, (200, r#"{"visits":3}"#.to_owned()));

    assert_eq!(service.ask("GET /ops/livez", "").await, (200, "alive".to_owned()));
    assert_eq!(service.ask("GET /ops/readyz", "").await, (200, "healthy".to_owned()));
    assert_eq!(service.ask("GET /ops/metrics", "").await, (401, String::new()));
    assert_eq!(service.ask("GET /ops/metrics", "Authorization: Bearer no\r\n").await.0, 401);

    let health = service.json("/ops/api/admin/database-health").await;
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(health["counts"], json!({"visits": 3}));
    let sides = health["configuration"].as_array().unwrap();
    assert_eq!(sides.len(), 2, "a writer and readers");
    let summary = service.json("/ops/metrics/performance/summary").await;
    let named = |name: &str| {
        summary["slowest_queries"].as_array().unwrap().iter().any(|slow| slow["operation"] == name)
    };
    assert!(named("add_visit") && named("prepare"), "{summary}");
    let shown = db.to_str().unwrap();
    for path in ["/ops/metrics/database/config", "/ops/api/admin/database-health"] {
        let told = service.json(path).await.to_string();
        assert!(!told.contains(shown) && !told.contains(TOKEN), "{told}");
    }
    service.stop("TERM").await;
    assert!(!dir.path().join("visits.db-wal").exists());

    // In memory, without a token.
    let service = Service::start(&mut command(None)).await;
    assert_eq!(service.ask("GET /visits", "").await.1, r#"{"visits":0}"#);
    assert_eq!(service.json("/ops/api/v1/health").await["status"], "healthy");
    service.stop("INT").await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("visits.db");
    let mut service = Service::start(command(None).arg("--db").arg(&db)).await;
    let another = open(&db);
    another.execute_batch("BEGIN IMMEDIATE").unwrap();

    let pool = async || service.json("/ops/metrics/database/pool").await["active_connections"] == 1;
    let under_way = async {
        while !pool().await {}
        signal(&service.child, "TERM").await;
        // Nobody new is let in, once it knows.
        while TcpStream::connect(&service.address).await.is_ok() {}
        another.execute_batch("COMMIT").unwrap();
    };
    let (answer, ()) = tokio::join!(service.ask("POST /visits", ""), within_deadline(under_way));
    assert_eq!(answer.0, 201);
    let said = within_deadline(service.lines.next_line()).await.unwrap();
    assert_eq!(said.as_deref(), Some("closed, all of it"));
    assert!(end(service.child).await.status.success());
    let count = "SELECT count(*) FROM visit";
    assert_eq!(open(&db).query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn nobody_else_is_let_in_without_a_token() {
    let refused = run(command(None).args(["--listen", "0.0.0.0:0"]).stderr(Stdio::piped())).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("give the endpoints a token"), "{said}");

    let empty = run(command(Some("")).stderr(Stdio::piped())).await;
    assert_eq!(empty.status.code(), Some(1));
    assert!(stderr(&empty).contains("a token is one word"), "{}", stderr(&empty));

    let dir = TempDir::new().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let mut from_file = command(None);
    from_file.arg("--token-file").arg(&file);
    let service = Service::start(&mut from_file).await;
    assert_eq!(service.ask("GET /ops/metrics/database/pool", "").await.0, 401);
    assert_eq!(service.json("/ops/metrics/database/pool").await["pool"], "visits");
    service.stop("TERM").await;
}
