//! What `tracing` is told.

use std::io::Write;
use std::sync::{Arc, Mutex};

use pool_core::{ErrorClass, ManagedPool};
use pool_metrics::Log;
use pool_sql::{ErrorCode, Outcome, Statement, StatementObserver};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::sleep;
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::support::*;

/// What was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Takes all events of this thread up to this level from now on.
    fn take(level: Level) -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    /// Each line has this, in this order; and there is no other.
    #[track_caller]
    fn are(&self, expected: &[&str]) {
        let text = self.text();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), expected.len(), "{text}");
        for (line, expected) in lines.iter().zip(expected) {
            for word in expected.split(", ") {
                assert!(line.contains(word), "`{word}` in `{line}` of\n{text}");
            }
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(log: Log) -> (FakeServer, TestPool) {
    pool_testkit::hard_deadline();
    let server = FakeServer::new();
    let pool = ManagedPool::builder(server.manager()).max_size(1).name("plots").seed(7);
    let pool = pool.leak_after(secs(5)).metrics(Arc::new(log)).build().unwrap();
    (server, pool)
}

#[tokio::test(start_paused = true)]
async fn a_connections_life_is_told() {
    let (lines, _guard) = Lines::take(Level::DEBUG);
    let (server, pool) = logged(Log::default());
    let guard = pool.acquire().operation("list_plots").await.unwrap();
    sleep(ms(3)).await;
    drop(guard);
    let mut guard = pool.acquire().await.unwrap();
    guard.begin();
    drop(guard);
    sleep(ms(1)).await;
    server.next(Op::Reset, [Behaviour::Fail(ErrorClass::Transient)]);
    let mut guard = pool.acquire().await.unwrap();
    guard.begin();
    drop(guard);
    sleep(ms(1)).await;
    lines.are(&[
        "INFO pool: connect, pool=\"plots\", id=1, took_ms=0.0",
        "DEBUG pool: checkout, operation=\"list_plots\", waited_ms=0.0, hit=false",
        "DEBUG pool: checkin, operation=\"list_plots\", held_ms=3.0",
        "DEBUG pool: checkout, hit=true",
        "DEBUG pool: checkin",
        "DEBUG pool: reset",
        "DEBUG pool: checkout",
        "DEBUG pool: checkin",
        "WARN pool: not reset",
        "INFO pool: close, reason=\"reset\"",
    ]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_with_who_and_where() {
    let (lines, _guard) = Lines::take(Level::DEBUG);
    let (server, pool) = logged(Log::up_to(Level::WARN));
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient)]);
    let guard = pool.acquire().operation("report").await.unwrap();
    pool.acquire().within(ms(50)).operation("list_plots").await.unwrap_err();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire().await.unwrap()) }
    });
    sleep(secs(6)).await;
    drop(guard);
    waiter.await.unwrap();
    lines.are(&[
        "WARN pool: connect failed, class=\"transient\", error=",
        "ERROR pool: acquire failed, operation=\"list_plots\", log.rs, waited_ms=50.0, kind=\"timed_out\"",
        "WARN pool: held for long: a leak?, operation=\"report\", log.rs, held_ms=",
        "WARN pool: slow acquire, log.rs, waited_ms=6000.0",
    ]);
}

/// What the log is not to tell, and what the subscriber does not want.
#[tokio::test(start_paused = true)]
async fn levels_are_kept() {
    for (of_log, of_subscriber) in [(Level::ERROR, Level::DEBUG), (Level::DEBUG, Level::ERROR)] {
        let (lines, _guard) = Lines::take(of_subscriber);
        let (server, pool) = logged(Log::up_to(of_log));
        server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient)]);
        rounds(&pool, 2).await;
        lines.are(&[]);
        pool.close(secs(1)).await;
        let (server, pool) = logged(Log::up_to(of_log));
        server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
        pool.acquire().await.unwrap_err();
        lines.are(&[
            "ERROR pool: connect failed for good, pool=\"plots\", error=",
            "ERROR pool: acquire failed, kind=\"connect\"",
        ]);
    }
}

#[test]
fn statements_are_told_without_their_text() {
    let (lines, _guard) = Lines::take(Level::INFO);
    let log = Log::default().slow_statement(ms(10));
    let statement = Statement::new("sqlite").with_operation("find").with_sql("SELECT 'canary'");
    log.finished(&statement, &Outcome::new(ms(9)).with_rows(3));
    log.finished(&statement, &Outcome::new(ms(10)));
    log.finished(&statement, &Outcome::new(ms(1)).with_error(ErrorCode::new("SQLITE_BUSY")));
    let text = lines.text();
    assert!(!text.contains("canary") && !text.contains("SELECT"), "{text}");
    lines.0.lock().unwrap().extend_from_slice(text.as_bytes());
    lines.are(&[
        "INFO pool: statement, system=\"sqlite\", operation=\"find\", took_ms=9.0, rows=3",
        "WARN pool: slow statement",
        "ERROR pool: statement failed, error=SQLITE_BUSY",
    ]);
}
