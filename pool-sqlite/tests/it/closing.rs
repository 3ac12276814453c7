//! Closing: files, threads and the write-ahead log.

use std::time::Duration;

use pool_core::AcquireErrorKind;
use pool_sqlite::{SqliteOptions, SqlitePool, pool_core};

use super::{Place, run, soon};

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn r21_closing_leaves_no_log_and_no_thread() {
    let place = Place::new();
    let name = "closing-test";
    let pool = place.builder().config(|c| c.name(name)).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    let readers = [pool.read().await.unwrap(), pool.read().await.unwrap()];
    soon(until(|| threads(name) == 3)).await;
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
    for round in 1..=20 {
        let mut writer = pool.write().await.unwrap();
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
            INSERT INTO t SELECT randomblob(200) FROM n";
        run(&mut writer, fill).await;
        drop(writer);
        soon(until(|| pool.writer().snapshot().counts.reset == round)).await; // and no more than that
    }
    // 20 x 120 KB were written; the log starts over after each checkpoint.
    assert!(pool.snapshot().wal_bytes < 600_000, "{}", pool.snapshot().wal_bytes);
}

#[tokio::test]
async fn single_rows_are_checkpointed_as_soon_after_a_large_insert() {
    let place = Place::new();
    let pool = place.builder().options(|o| o.checkpoint_at = 10_000).build().await.unwrap();
    let large = "CREATE TABLE t (x);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO t SELECT randomblob(100) FROM n";
    run(&mut pool.write().await.unwrap(), large).await;
    let resets = || pool.writer().snapshot().counts.reset;
    let before = resets();
    for _ in 0..600 {
        let mut writer = pool.write().await.unwrap();
        let insert = |c: &mut rusqlite::Connection| c.execute("INSERT INTO t VALUES (1)", []);
        writer.inline(insert).await.unwrap();
    }
    // Each commit is a page of 4 KiB at least. There is a look after each 128 rows and commits, so after 64
    // of these, and then it cannot wait; on a slow machine there is one each second too.
    let checkpoints = resets() - before;
    assert!((8..=20).contains(&checkpoints), "{checkpoints}");
}

/// Whoever asks for the writer does not wait for its upkeep, unless the log has become too long.
#[tokio::test]
async fn upkeep_waits_for_a_moment_of_rest() {
    for (checkpoint_at, expected) in [(100_000, 0..=0), (10_000, 2..=3)] {
        let place = Place::new();
        let set = |o: &mut SqliteOptions| o.checkpoint_at = checkpoint_at;
        let pool = place.builder().options(set).build().await.unwrap();
        let mut writer = pool.write().await.unwrap();
        run(&mut writer, "CREATE TABLE t (x)").await;
        let resets = |pool: &SqlitePool| pool.writer().snapshot().counts.reset;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let pool = pool.clone();
            tasks.spawn(async move {
                let insert =
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 160)
                    INSERT INTO t SELECT randomblob(100) FROM n"; // some 20 KB
                let mut writer = pool.write().await.unwrap();
                run(&mut writer, insert).await;
                resets(&pool)
            });
        }
        soon(until(|| pool.writer().snapshot().waiting == 16)).await;
        drop(writer);
        let meanwhile = soon(tasks.join_all()).await.into_iter().max().unwrap();
        assert!(expected.contains(&meanwhile), "{meanwhile} with {checkpoint_at}");
        soon(until(|| resets(&pool) > meanwhile)).await;
    }
}

/// What is due is due though the writer's last user did not use it; and large rows count.
#[tokio::test]
async fn upkeep_is_not_forgotten() {
    let place = Place::new();
    let pool = place.builder().options(|o| o.checkpoint_at = 100_000).build().await.unwrap();
    let resets = || pool.writer().snapshot().counts.reset;
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
        INSERT INTO t SELECT randomblob(200) FROM n";
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    run(&mut pool.write().await.unwrap(), insert).await;
    drop(pool.write().await.unwrap());
    soon(until(|| resets() == 1)).await;

    tokio::time::sleep(Duration::from_secs(1)).await; // since the last look
    run(&mut pool.write().await.unwrap(), "INSERT INTO t VALUES (randomblob(200000))").await;
    soon(until(|| resets() == 2)).await;
}

/// After a reset the next user finds what was reset, not a connection that is closed for upkeep.
#[tokio::test]
async fn a_reset_is_no_use() {
    let place = Place::new();
    let pool = place.builder().options(|o| o.checkpoint_at = 10_000).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let large = "INSERT INTO t VALUES (randomblob(300000)); PRAGMA cache_size = 5";
    run(&mut pool.write().await.unwrap(), large).await;
    soon(until(|| pool.writer().snapshot().counts.reset == 1)).await;
    assert_eq!(pool.write().await.unwrap().id(), 1);
    assert_eq!(pool.writer().snapshot().counts.ended.total(), 0);
}

/// At least so many: a list may lack some while others end.
pub(crate) fn threads(name: &str) -> usize {
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
