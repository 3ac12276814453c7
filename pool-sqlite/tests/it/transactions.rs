//! Transactions as values: what is committed stays, and nothing else, however they end.

use std::time::Duration;

use pool_sqlite::pool_sql::{Batch, Insert, Queries, Value};
use pool_sqlite::{SqliteErrorKind, SqliteGuard, SqliteTransaction, rusqlite};
use tokio::time::timeout;

use super::{ENDLESS, Place, number, run, soon};

const COUNT: &str = "SELECT count(*) FROM t";

async fn table(place: &Place) -> (pool_sqlite::SqlitePool, SqliteGuard) {
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    (pool, writer)
}

async fn add(tx: &mut SqliteTransaction<'_>) {
    tx.call(|c| c.execute("INSERT INTO t VALUES (1)", [])).await.unwrap();
}

#[tokio::test]
async fn what_is_committed_stays_and_what_is_rolled_back_is_gone() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    let mut tx = writer.begin().await.unwrap();
    add(&mut tx).await;
    tx.commit().await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    add(&mut tx).await;
    let inside = |c: &rusqlite::Connection| c.query_row(COUNT, [], |row| row.get::<_, i64>(0));
    assert_eq!(tx.inline(inside).await.unwrap(), 2);
    tx.rollback().await.unwrap();
    assert_eq!(number(&mut writer, COUNT).await, 1);
}

#[tokio::test]
async fn r18_what_is_dropped_is_undone_before_the_next_statement() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    for way in ["call", "inline", "blocking", "begin", "transaction", "batch"] {
        let mut tx = writer.begin().await.unwrap();
        add(&mut tx).await;
        drop(tx);
        let look = |c: &mut rusqlite::Connection| {
            assert!(c.is_autocommit());
            c.query_row(COUNT, [], |row| row.get::<_, i64>(0))
        };
        let seen = match way {
            "call" => writer.call(look).await.unwrap(),
            "inline" => writer.inline(look).await.unwrap(),
            "blocking" => writer.call_blocking(look).unwrap(),
            "begin" => {
                let mut tx = writer.begin().await.unwrap();
                tx.call(|c| c.query_row(COUNT, [], |row| row.get(0))).await.unwrap()
            }
            "transaction" => {
                let counting = writer.transaction(|tx| tx.query_row(COUNT, [], |row| row.get(0)));
                counting.await.unwrap()
            }
            _ => {
                let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
                writer.insert_many(&plan, [[Value::I64(2)]], |_| ()).await.unwrap();
                number(&mut writer, COUNT).await - 1
            }
        };
        assert_eq!(seen, 0, "{way}");
    }
}

/// The pool does it, not the next user: the lock goes without anybody asking for the connection.
#[tokio::test]
async fn r17_a_dropped_transaction_gives_its_lock_back_at_once() {
    let place = Place::new();
    let (pool, mut writer) = table(&place).await;
    let mut tx = writer.begin().await.unwrap();
    add(&mut tx).await;
    drop(tx);
    drop(writer);
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    let wrote = soon(async {
        while other.execute("INSERT INTO t VALUES (2)", []).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    wrote.await;
    let mut writer = soon(pool.write()).await.unwrap();
    assert_eq!(number(&mut writer, "SELECT sum(x) FROM t").await, 2);
    assert_eq!(pool.writer().snapshot().counts.reset, 1);
}

#[tokio::test]
async fn a_savepoint_is_undone_alone() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    let mut tx = writer.begin().await.unwrap();
    add(&mut tx).await;
    let mut kept = tx.savepoint().await.unwrap();
    add(&mut kept).await;
    let mut undone = kept.savepoint().await.unwrap();
    add(&mut undone).await;
    undone.rollback().await.unwrap();
    let mut dropped = kept.savepoint().await.unwrap();
    add(&mut dropped).await;
    drop(dropped);
    kept.commit().await.unwrap();
    let mut dropped = tx.savepoint().await.unwrap();
    add(&mut dropped).await;
    drop(dropped);
    add(&mut tx).await;
    tx.commit().await.unwrap();
    assert_eq!(number(&mut writer, COUNT).await, 3);
}

#[tokio::test]
async fn savepoints_that_are_dropped_together_are_undone_together() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    let mut tx = writer.begin().await.unwrap();
    add(&mut tx).await;
    {
        let mut outer = tx.savepoint().await.unwrap();
        add(&mut outer).await;
        let mut inner = outer.savepoint().await.unwrap();
        add(&mut inner).await;
    }
    tx.commit().await.unwrap();
    assert_eq!(number(&mut writer, COUNT).await, 1);
}

/// Nothing of it is committed by itself, statement by statement.
#[tokio::test]
async fn r14_after_a_dropped_future_the_transaction_is_over() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    for in_savepoint in [false, true] {
        let mut tx = writer.begin().await.unwrap();
        add(&mut tx).await;
        let endless = |c: &rusqlite::Connection| {
            c.execute("INSERT INTO t VALUES (2)", [])?;
            c.query_row(ENDLESS, [], |_| Ok(()))
        };
        if in_savepoint {
            let mut savepoint = tx.savepoint().await.unwrap();
            timeout(Duration::from_millis(20), savepoint.call(endless)).await.unwrap_err();
        } else {
            timeout(Duration::from_millis(20), tx.call(endless)).await.unwrap_err();
        }
        let refused = soon(tx.execute_values("INSERT INTO t VALUES (3)", &[])).await.unwrap_err();
        assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{refused}");
        let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
        let refused = tx.insert_many(&plan, [[Value::I64(4)]], |_| ()).await.unwrap_err();
        assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{refused}");
        let refused = tx.commit().await.unwrap_err();
        assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{refused}");
        assert_eq!(number(&mut writer, COUNT).await, 0);
    }
}

#[tokio::test]
async fn r14_a_begin_or_commit_that_is_dropped_leaves_all_or_nothing() {
    let place = Place::new();
    let (pool, writer) = table(&place).await;
    drop(writer);
    let mut rows = 0;
    for n in 0..100 {
        let mut writer = soon(pool.write()).await.unwrap();
        let work = async {
            let mut tx = writer.begin().await.unwrap();
            add(&mut tx).await;
            add(&mut tx).await;
            tx.commit().await.unwrap();
        };
        let _ = timeout(Duration::from_micros(n * 5), work).await;
        let now = soon(number(&mut writer, COUNT)).await;
        assert!(now == rows || now == rows + 2, "{now} after {rows}");
        rows = now;
    }
}

#[tokio::test]
async fn a_statement_that_ends_the_transaction_is_its_end() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    for end in ["ROLLBACK", "COMMIT", "END; SELECT 1"] {
        let mut tx = writer.begin().await.unwrap();
        add(&mut tx).await;
        let error = tx.call(move |c| c.execute_batch(end)).await.unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::TransactionOver, "{end}: {error}");
        let refused = tx.execute_values("INSERT INTO t VALUES (1)", &[]).await.unwrap_err();
        assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver);
        drop(tx);
        assert_eq!(number(&mut writer, COUNT).await, 0, "{end}");
    }
}

/// All ways to go on after the end, in the closure in which it ended.
const FOLLOWS: [&str; 6] = [
    "INSERT INTO t VALUES (2)",
    "BEGIN; INSERT INTO t VALUES (2); COMMIT",
    "BEGIN; INSERT INTO t VALUES (2)",
    "SAVEPOINT pool_1; INSERT INTO t VALUES (2)",
    "CREATE TABLE u (x)",
    "SELECT 1",
];

#[tokio::test]
async fn r14_nothing_that_follows_the_end_in_the_same_closure_is_committed() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    run(&mut writer, "CREATE UNIQUE INDEX one ON t (x); INSERT INTO t VALUES (1)").await;
    for follows in FOLLOWS {
        for (end, in_savepoint) in [
            ("INSERT OR ROLLBACK INTO t VALUES (1)", false),
            ("INSERT OR ROLLBACK INTO t VALUES (1)", true),
            ("ROLLBACK", false),
            ("COMMIT", true),
        ] {
            let case = format!("{end}; {follows}");
            let mut tx = writer.begin().await.unwrap();
            tx.execute_values("INSERT INTO t VALUES (5)", &[]).await.unwrap();
            let closure = move |c: &rusqlite::Connection| {
                let _ = c.execute_batch(end);
                c.execute_batch(follows)
            };
            let error = if in_savepoint {
                let mut savepoint = tx.savepoint().await.unwrap();
                let error = savepoint.call(closure).await.unwrap_err();
                let refused = savepoint.commit().await.unwrap_err();
                assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{case}");
                error
            } else {
                tx.inline(closure).await.unwrap_err()
            };
            assert_eq!(error.kind(), SqliteErrorKind::TransactionOver, "{case}: {error}");
            let refused = tx.query_values("SELECT 1", &[]).await.unwrap_err();
            assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{case}");
            let refused = tx.commit().await.unwrap_err();
            assert_eq!(refused.kind(), SqliteErrorKind::TransactionOver, "{case}");
            assert_eq!(number(&mut writer, KEPT).await, 3, "{case}");
        }
    }
    // Outside of it all is as ever: by itself, in a transaction of SQL, in a closure's.
    run(&mut writer, "INSERT INTO t VALUES (2); BEGIN; INSERT INTO t VALUES (3); COMMIT").await;
    writer.transaction(|tx| tx.execute("INSERT INTO t VALUES (4)", [])).await.unwrap();
    assert_eq!(number(&mut writer, COUNT).await, 4);
}

/// What the table's only row and the schema come to, before and after.
const KEPT: &str = "SELECT (SELECT sum(x) FROM t) + (SELECT count(*) FROM sqlite_schema)";

#[tokio::test]
async fn r14_a_closures_transaction_that_ended_keeps_nothing_of_what_follows() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    run(&mut writer, "CREATE UNIQUE INDEX one ON t (x); INSERT INTO t VALUES (1)").await;
    for follows in FOLLOWS {
        for end in ["INSERT OR ROLLBACK INTO t VALUES (1)", "ROLLBACK", "COMMIT", "COMMIT; BEGIN"] {
            let closure = move |tx: &rusqlite::Transaction<'_>| {
                tx.execute("INSERT INTO t VALUES (5)", [])?;
                let _ = tx.execute_batch(end);
                tx.execute_batch(follows)
            };
            let error = soon(writer.transaction(closure)).await.unwrap_err();
            assert_eq!(error.kind(), SqliteErrorKind::TransactionOver, "{end}; {follows}: {error}");
            assert_eq!(number(&mut writer, KEPT).await, 3, "{end}; {follows}");
        }
    }
    run(&mut writer, "INSERT INTO t VALUES (2); BEGIN; INSERT INTO t VALUES (3); COMMIT").await;
    let panicking = |_: &rusqlite::Transaction<'_>| -> rusqlite::Result<()> { panic!("a user's") };
    writer.transaction(panicking).await.unwrap_err();
    run(&mut writer, "INSERT INTO t VALUES (4)").await;
    assert_eq!(number(&mut writer, COUNT).await, 4);
}

/// A leaked handle leaves nothing behind that keeps the next user from committing.
#[tokio::test]
async fn the_next_user_commits_whatever_became_of_the_last_handle() {
    let place = Place::new();
    let (pool, mut writer) = table(&place).await;
    let mut tx = std::mem::ManuallyDrop::new(writer.begin().await.unwrap());
    let ended = tx.call(|c| c.execute_batch("ROLLBACK")).await.unwrap_err();
    assert_eq!(ended.kind(), SqliteErrorKind::TransactionOver);
    drop(writer);
    let mut writer = soon(pool.write()).await.unwrap();
    run(&mut writer, "INSERT INTO t VALUES (1)").await;
    assert_eq!(number(&mut writer, COUNT).await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_rolls_back() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    let schema = "CREATE TABLE a (x PRIMARY KEY); \
                  CREATE TABLE b (x REFERENCES a DEFERRABLE INITIALLY DEFERRED)";
    run(&mut writer, schema).await;
    let mut tx = writer.begin().await.unwrap();
    tx.execute_values("INSERT INTO b VALUES (1)", &[]).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Constraint, "{error}");
    assert_eq!(number(&mut writer, "SELECT count(*) FROM b").await, 0);
    writer.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_batch_in_a_transaction_is_part_of_it() {
    let place = Place::new();
    let (_pool, mut writer) = table(&place).await;
    run(&mut writer, "CREATE UNIQUE INDEX one ON t (x)").await;
    let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
    let mut tx = writer.begin().await.unwrap();
    tx.insert_many(&plan, (1..=3).map(|n| [Value::I64(n)]), |_| ()).await.unwrap();
    let twice = [[Value::I64(4)], [Value::I64(1)]];
    let error = tx.insert_many(&plan, twice, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Constraint);
    assert_eq!(tx.query_values(COUNT, &[]).await.unwrap()[0].at(0), Some(Value::I64(3)));
    tx.rollback().await.unwrap();
    assert_eq!(number(&mut writer, COUNT).await, 0);
}

#[tokio::test]
async fn a_readers_transaction_sees_one_moment() {
    let place = Place::new();
    let (pool, mut writer) = table(&place).await;
    let mut reader = pool.read().await.unwrap();
    let mut tx = reader.begin().await.unwrap();
    let count = |c: &rusqlite::Connection| c.query_row(COUNT, [], |row| row.get::<_, i64>(0));
    assert_eq!(tx.inline(count).await.unwrap(), 0);
    run(&mut writer, "INSERT INTO t VALUES (1)").await;
    assert_eq!(tx.inline(count).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(number(&mut reader, COUNT).await, 1);
}
