//! A server of its own among clients that mean no good, or are gone.

use std::io::ErrorKind;
use std::time::Duration;

use pool_metrics::Monitor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::Running;

/// As many as it says.
const CONNECTIONS: usize = 128;
/// The server's own tasks: itself, and what takes the monitor's samples.
const OWN: usize = 2;

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn soon(done: impl Fn() -> bool) {
    let all = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("it comes to that");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_sent_away() {
    let running = Running::of(&Monitor::new()).await;
    soon(|| tasks() == OWN).await;
    // Nothing at all, half a request, and nothing after the first one.
    let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for said in ["", &asked[..20], asked] {
        let begun = tokio::time::Instant::now();
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(120), stream.read_to_end(&mut answer)).await;
        ended.expect("it is closed").unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(30), "{said:?} had {:?}", begun.elapsed());
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), said == asked);
    }
    soon(|| tasks() == OWN).await;
    running.stop().await;
}

#[tokio::test]
async fn a_crowd_takes_so_many_connections_and_the_rest_has_its_turn() {
    let running = Running::of(&Monitor::new()).await;
    soon(|| tasks() == OWN).await;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        crowd.push(TcpStream::connect(running.address).await.unwrap());
    }
    soon(|| tasks() == OWN + CONNECTIONS).await;
    let mut late = TcpStream::connect(running.address).await.unwrap();
    late.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await; // long enough, were there room
    let early = late.try_read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock));
    drop(crowd.pop());
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(60), late.read_to_end(&mut answer)).await;
    ended.expect("it is served").unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
    drop(crowd);
    soon(|| tasks() == OWN).await;
    running.stop().await;
}
