//! `media_scan --serve`: who looks sees the pool, and Prometheus takes what it says.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::support::{Place, end, json, program, run, sentence, signal, start, within_deadline};

const FILES: usize = 120;

/// The scan of a small tree, and where it serves.
async fn serving(place: &Place, environment: &[(&str, &str)]) -> (Child, SocketAddr) {
    let mut command = place.command();
    let mut child =
        start(command.args(["--json", "--serve", "127.0.0.1:0"]).envs(environment.iter().copied()));
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = within_deadline(async {
        loop {
            let line = said.next_line().await.unwrap().expect("it says where");
            if let Some(rest) = line.strip_prefix("Serving: http://") {
                return rest.trim_end_matches('/').parse().unwrap();
            }
        }
    });
    let address = address.await;
    within_deadline(async {
        while !said.next_line().await.unwrap().expect("it says when").contains("The scan is done") {
        }
    })
    .await;
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    (child, address)
}

/// Status and body.
async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    within_deadline(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{token}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    })
    .await
}

async fn get_json(address: SocketAddr, path: &str) -> Value {
    let (status, body) = get(address, path, None).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn it_shows_the_pool_until_it_is_interrupted() {
    let place = Place::with_files(FILES);
    let (child, address) = serving(&place, &[]).await;
    let told = get_json(address, "/api/connection-pool").await;
    assert_eq!(told["connection_pool"]["max_open_connections"], 25, "one writer and 24 readers");
    assert_eq!(told["connection_pool"]["in_use"], 0);
    assert!(get(address, "/dashboard", None).await.1.contains("<title>"));
    let live = get_json(address, "/api/live").await.to_string();
    assert!(live.contains("sqlite-write") && live.contains("look up"), "{live}");
    let summary = get(address, "/metrics/performance/summary", None).await.1;
    assert!(summary.contains("look up"), "{summary}");
    for path in ["/livez", "/readyz", "/api/v1/health", "/api/db-health", "/metrics"] {
        assert_eq!(get(address, path, None).await.0, 200, "{path}");
    }

    signal(&child, "INT").await;
    let output = end(child).await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&output)["files"], FILES);
    place.assert_sound();
}

#[tokio::test]
async fn with_a_token_nobody_else_sees_anything() {
    let place = Place::with_files(1);
    let token = "a-token-that-nobody-guesses";
    let (child, address) = serving(&place, &[("MEDIA_SCAN_TOKEN", token)]).await;
    for wrong in [None, Some("another-token-of-this-length")] {
        assert_eq!(get(address, "/metrics", wrong).await, (401, String::new()));
    }
    assert_eq!(get(address, "/metrics", Some(token)).await.0, 200);
    signal(&child, "INT").await;
    end(child).await;
}

#[tokio::test]
async fn everybody_is_not_let_in_without_one() {
    let place = Place::with_files(1);
    let output = run(place.command().args(["--serve", "0.0.0.0:0"])).await;
    let said = sentence(&output);
    assert!(said.contains("token") && said.contains("MEDIA_SCAN_TOKEN"), "{said}");
    let output = run(program().args(["--serve", "everywhere"])).await;
    assert_eq!(output.status.code(), Some(2));
}

/// Debian's Prometheus: scrapes it, and evaluates the alerts that come with the crate.
#[tokio::test]
async fn prometheus_scrapes_it_and_evaluates_the_alerts() {
    let place = Place::with_files(FILES);
    let (child, address) = serving(&place, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pool-metrics/alerts/db_pool.yml");
    let config = format!(
        "global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}\n\
         rule_files: [{rules:?}]\n\
         scrape_configs: [{{job_name: scan, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let own = free_address().await;
    let mut prometheus = Command::new("prometheus");
    prometheus.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.path());
    prometheus.args(["--web.listen-address", &own.to_string()]);
    prometheus.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut prometheus =
        prometheus.kill_on_drop(true).spawn().expect("prometheus (Debian: prometheus)");
    within_deadline(async {
        while TcpStream::connect(own).await.is_err() || get(own, "/-/ready", None).await.0 != 200 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;

    // Every rule has been evaluated, and none failed.
    within_deadline(async {
        loop {
            let told = get_json(own, "/api/v1/rules").await;
            let rules = told["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
            if rules.len() == 12 && rules.iter().all(|rule| rule["health"] == "ok") {
                return;
            }
            assert!(rules.iter().all(|rule| rule["health"] != "err"), "{told}");
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // And this is what it has.
    for (query, expected) in [
        ("up", "1"),
        ("sum(db_pool_connections_max)", "25"),
        ("sum(db_client_connection_max)", "25"),
        ("db_pool_health_status", "0"),
        ("sum(db_client_connection_pending_requests)", "0"),
    ] {
        within_deadline(async {
            loop {
                let told = get_json(own, &format!("/api/v1/query?query={query}")).await;
                if told["data"]["result"][0]["value"][1] == expected {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    let told = get_json(own, "/api/v1/targets").await;
    assert_eq!(told["data"]["activeTargets"][0]["lastError"], "", "{told}");

    prometheus.kill().await.unwrap();
    signal(&child, "INT").await;
    end(child).await;
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
