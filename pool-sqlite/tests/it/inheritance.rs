//! What the next user of a connection finds: nothing of the one before.

use std::time::Duration;

use pool_core::{BoxError, BoxFuture, Builder, ManagedPool};
use pool_sqlite::{SqliteConnection, SqliteGuard, SqliteManager, SqlitePool, rusqlite};

use super::{Place, number, run, soon};

async fn leave(pool: &SqlitePool, sql: &'static str) -> SqliteGuard {
    run(&mut pool.write().await.unwrap(), sql).await;
    soon(pool.write()).await.unwrap()
}

#[tokio::test]
async fn r17_an_open_transaction_is_rolled_back_at_once() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let mut next = leave(&pool, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").await;
    assert!(next.inline(|c| Ok(c.is_autocommit())).await.unwrap());
    assert_eq!(number(&mut next, "SELECT count(*) FROM t").await, 0);
    drop(next);

    // Not at the next checkout, but now: another process gets the lock.
    run(&mut pool.write().await.unwrap(), "BEGIN IMMEDIATE").await;
    assert_eq!(soon(reset(&pool, 2)).await.reset, 2);
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}

/// Waits until so many connections were reset.
async fn reset(pool: &SqlitePool, times: u64) -> pool_core::Counts {
    loop {
        let counts = pool.writer().snapshot().counts;
        if counts.reset >= times {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn r18_session_state_made_by_sql_is_gone() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut next = leave(&pool, "CREATE TEMP TABLE mine (x)").await;
    assert_eq!(number(&mut next, "SELECT count(*) FROM temp.sqlite_schema").await, 0);
    drop(next);
    let mut next = leave(&pool, "ATTACH ':memory:' AS beside").await;
    assert_eq!(number(&mut next, "SELECT count(*) FROM pragma_database_list").await, 1);
    drop(next);
    let mut next = leave(&pool, "PRAGMA foreign_keys = OFF; PRAGMA cache_size = 7").await;
    assert_eq!(number(&mut next, "PRAGMA foreign_keys").await, 1);
    assert_ne!(number(&mut next, "PRAGMA cache_size").await, 7);
    drop(next);
    assert_eq!(pool.writer().snapshot().counts.created, 1, "opened anew in its slot");
}

/// Asking is not changing: it costs no reset.
#[tokio::test]
async fn pragmas_that_ask_leave_the_connection_clean() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let ask = "PRAGMA foreign_keys; PRAGMA table_info(t); PRAGMA optimize; PRAGMA user_version = 3";
    drop(leave(&pool, ask).await);
    assert_eq!(pool.writer().snapshot().counts.reset, 0);
}

#[tokio::test]
async fn what_set_up_makes_survives_a_reset() {
    let place = Place::new();
    let builder = place.builder().set_up(|c| c.execute_batch("CREATE TEMP TABLE ours (x)"));
    let pool = builder.build().await.unwrap();
    let mut next = leave(&pool, "CREATE TEMP TABLE theirs (x)").await;
    let there: String = next
        .call(|c| {
            c.query_row("SELECT group_concat(name) FROM temp.sqlite_schema", [], |r| r.get(0))
        })
        .await
        .unwrap();
    assert_eq!(there, "ours");
}

/// A statement that was stepped but not finished would hold its snapshot, and the log with it.
#[tokio::test]
async fn a_reader_holds_no_snapshot_when_it_is_back() {
    let place = Place::new();
    let pool = place.builder().max_size(2).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2)")
        .await;
    let mut reader = pool.read().await.unwrap();
    run(&mut reader, "BEGIN; SELECT * FROM t").await;
    drop(reader);
    run(&mut pool.write().await.unwrap(), "INSERT INTO t VALUES (3)").await;
    let mut reader = soon(pool.read()).await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 3);
}

#[tokio::test]
async fn r18_what_was_written_to_temporary_tables_is_gone() {
    let place = Place::new();
    let builder = place.builder().set_up(|c| c.execute_batch("CREATE TEMP TABLE ours (x)"));
    let pool = builder.build().await.unwrap();
    let mut next = leave(&pool, "INSERT INTO ours VALUES ('a secret')").await;
    assert_eq!(number(&mut next, "SELECT count(*) FROM ours").await, 0);
    drop(next);
    let mut next = leave(&pool, "DROP TABLE ours").await;
    assert_eq!(number(&mut next, "SELECT count(*) FROM ours").await, 0);
    drop(next);
    drop(leave(&pool, "PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE t (x)").await);
    let counts = pool.writer().snapshot().counts;
    assert_eq!((counts.created, counts.reset), (1, 3), "{counts:?}");
}

fn set_cache_size(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<(), BoxError>> {
    Box::pin(async {
        connection.call(|c| c.execute_batch("PRAGMA cache_size = 77")).await?;
        Ok(())
    })
}

/// In a pool of one's own, where there are hooks.
#[tokio::test]
async fn what_a_hook_sets_up_is_no_users_leavings_and_there_after_a_reset() {
    let place = Place::new();
    let hooks: [fn(Builder<SqliteManager>) -> Builder<SqliteManager>; 2] = [
        |builder| builder.after_connect_async(set_cache_size),
        |builder| builder.before_acquire_async(set_cache_size),
    ];
    for hooked in hooks {
        let manager = SqlitePool::builder(place.file("test.db")).manager().unwrap();
        let pool = hooked(ManagedPool::builder(manager).max_size(1)).build().unwrap();
        for changes in [false, true, false, false] {
            let mut connection = soon(pool.acquire()).await.unwrap();
            assert_eq!(number(&mut connection, "PRAGMA cache_size").await, 77);
            if changes {
                run(&mut connection, "PRAGMA cache_size = 78").await;
            }
        }
        let counts = pool.snapshot().counts;
        assert_eq!((counts.created, counts.reset), (1, 1));
        pool.close(Duration::from_secs(5)).await;
    }
}
