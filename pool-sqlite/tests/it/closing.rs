//! Closing: files, threads and the write-ahead log.

use std::time::Duration;

use pool_core::AcquireErrorKind;
use pool_sqlite::pool_core;

use super::{Place, run, soon};

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn r21_closing_leaves_no_log_and_no_thread() {
    let place = Place::new();
    let name = "closing-test";
    let pool = place.builder().config(|c| c.name(name)).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    let readers = [pool.read().await.unwrap(), pool.read().await.unwrap()];
    assert_eq!(threads(name), 3);
    assert!(place.file("test.db-wal").exists());
    drop(readers);
    let report = soon(pool.close(LONG)).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.write.closed, report.read.unwrap().closed), (1, 2));
    assert!(!place.file("test.db-wal").exists());
    assert!(!place.file("test.db-shm").exists());
    soon(until(|| threads(name) == 0)).await;
    let refused = pool.read().await.unwrap_err();
    assert_eq!(refused.kind(), AcquireErrorKind::Closed);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_every_thread() {
    let place = Place::new();
    let name = "dropping-test";
    let pool = place.builder().config(|c| c.name(name)).build().await.unwrap();
    drop((pool.read().await.unwrap(), pool.read().await.unwrap()));
    let guard = pool.read().await.unwrap();
    drop(pool);
    soon(until(|| threads(name) == 1)).await;
    drop(guard);
    soon(until(|| threads(name) == 0)).await;
}

#[tokio::test]
async fn a_connection_that_is_still_held_is_named() {
    let place = Place::new();
    let pool = place.pool().await;
    let held = pool.read().await.unwrap();
    let report = soon(pool.close(Duration::from_millis(50))).await;
    assert!(!report.is_complete());
    let read = report.read.unwrap();
    assert_eq!(read.abandoned, 1);
    assert!(read.holders[0].site.file().ends_with("closing.rs"), "{read}");
    drop(held);
}

/// A long-running statement does not keep the pool from closing once its guard is gone.
#[tokio::test]
async fn closing_interrupts_what_was_given_up() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut reader = pool.read().await.unwrap();
    let endless = reader.call(|c| c.query_row(super::ENDLESS, [], |_| Ok(())));
    let _ = tokio::time::timeout(Duration::from_millis(20), endless).await;
    let closing = pool.close(LONG);
    drop(reader);
    assert!(soon(closing).await.is_complete());
}

#[tokio::test]
async fn the_log_is_checkpointed_in_the_background() {
    let place = Place::new();
    let pool = place.builder().options(|o| o.checkpoint_at = 100_000).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    for _ in 0..20 {
        let mut writer = pool.write().await.unwrap();
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
            INSERT INTO t SELECT randomblob(200) FROM n";
        run(&mut writer, fill).await;
    }
    let counts = pool.writer().snapshot().counts;
    assert!(counts.reset >= 10, "upkeep ran: {counts:?}");
    // 20 x 120 KB were written; the log starts over after each checkpoint.
    assert!(pool.snapshot().wal_bytes < 600_000, "{}", pool.snapshot().wal_bytes);
}

fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let short: String = name.chars().take(12).collect();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.starts_with(&short))
        .count()
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn r21_from_the_call_on_both_sides_are_closed() {
    let place = Place::new();
    let pool = place.pool().await;
    let held = pool.read().await.unwrap();
    drop(pool.close(LONG)); // need not be awaited
    assert_eq!(pool.write().await.unwrap_err().kind(), AcquireErrorKind::Closed);
    assert_eq!(pool.read().await.unwrap_err().kind(), AcquireErrorKind::Closed);
    drop(held);
}
