//! Nothing that is asked shows a secret.

use std::fmt;

use pool_core::{ConnectContext, ErrorClass, ManagedPool, Manager};
use pool_metrics::Monitor;
use pool_metrics::http::Endpoints;

use super::client::{GETS, Running, TOKEN, token};
use crate::support::ms;

const PASSWORD: &str = "canary-password";
const URL: &str = "postgres://plots:canary-password@db.canary-host.example/plots";

/// A database whose driver talks too much.
struct Talkative {
    url: &'static str,
}

#[derive(Debug)]
struct Told(String);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

impl Manager for Talkative {
    type Connection = ();
    type Error = Told;

    async fn connect(&self, _: &ConnectContext) -> Result<(), Told> {
        Err(Told(format!("cannot log in at {} with {PASSWORD}", self.url)))
    }

    async fn ping(&self, (): &mut ()) -> Result<(), Told> {
        Ok(())
    }

    fn classify(&self, _: &Told) -> ErrorClass {
        ErrorClass::Permanent
    }
}

#[tokio::test]
async fn r25_no_answer_shows_a_secret() {
    pool_testkit::hard_deadline();
    let monitor = Monitor::new();
    let pool = ManagedPool::builder(Talkative { url: URL })
        .name("plots")
        .acquire_timeout(ms(50))
        .metrics(monitor.metrics())
        .build()
        .unwrap();
    monitor.watch("plots", [pool.view()]);
    let told = pool.acquire().await.unwrap_err().to_string();
    assert!(told.contains(PASSWORD), "or this proves nothing: {told}");
    let probe = monitor.probe("plots", ms(50)).await.unwrap();
    assert!(probe.error.unwrap().contains(PASSWORD), "or this proves nothing");

    let endpoints = Endpoints::new(monitor.clone()).token(token()).check_timeout(ms(300));
    let debug = format!("{endpoints:?}");
    assert!(!debug.contains(TOKEN) && !debug.contains("canary"), "{debug}");
    let running = Running::new(endpoints).await;
    let mut answers = 0;
    for method in ["GET", "HEAD", "POST", "TRACE"] {
        for path in GETS.iter().copied().chain(["/metrics/database/reset", "/no/such/route"]) {
            for query in ["", "?pool=none", "?canary=canary-password", "?pool=canary-password"] {
                let path = format!("{path}{query}");
                let accepting = format!(
                    "Host: canary-host.example\r\nAccept: application/health+json\r\n\
                     Authorization: Bearer {TOKEN}\r\n"
                );
                for answer in [
                    running.with_token(method, &path).await,
                    running.ask(method, &path, &accepting).await,
                    running.ask(method, &path, "Authorization: Bearer canary-password\r\n").await,
                ] {
                    let text = &answer.0;
                    assert!(!text.contains("canary") && !text.contains(TOKEN), "{path}: {text}");
                    answers += 1;
                }
            }
        }
    }
    assert_eq!(answers, 4 * 14 * 4 * 3);
    running.stop().await;
}
