//! Transactions on every database: what is committed stays, and nothing else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_any::pool_sql::{StatementObserver, TransactionEnd, TransactionEnded};
use pool_any::{AnyBuilder, AnyError, AnyErrorKind, Loader, ScopedFutureExt, Value};
use tokio::time::timeout;

use crate::{Place, count, endless, id, many, on_each, soon};

on_each! {
    what_is_committed_stays_and_what_is_rolled_back_is_gone
    what_is_dropped_is_undone_before_the_next_statement
    a_connection_given_back_in_a_transaction_holds_no_lock
    savepoints_are_undone_alone_and_together
    a_future_dropped_in_a_statement_ends_the_transaction
    what_failed_in_a_savepoint_leaves_the_rest
    a_transaction_ended_by_a_statement_takes_nothing_more
    a_conflict_is_run_again
    what_fails_is_not_run_again
    an_error_of_the_applications_own_rolls_back
}

async fn what_is_committed_stays_and_what_is_rolled_back_is_gone(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(1)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(2)).await.unwrap();
    assert_eq!(many(&tx.query(&place.count(), &[]).await.unwrap()), 2);
    tx.rollback().await.unwrap();
    assert_eq!(count(&place, &mut connection).await, 1);
}

async fn what_is_dropped_is_undone_before_the_next_statement(place: Place) {
    let (_pool, mut connection) = place.table().await;
    for _ in 0..3 {
        let mut tx = connection.transaction().await.unwrap();
        tx.execute(&place.insert(), &id(1)).await.unwrap();
        drop(tx);
        assert_eq!(count(&place, &mut connection).await, 0);
    }
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(1)).await.unwrap();
    drop(tx);
    let mut tx = connection.transaction().await.unwrap();
    assert_eq!(many(&tx.query(&place.count(), &[]).await.unwrap()), 0);
}

/// The next writer waits for nobody.
async fn a_connection_given_back_in_a_transaction_holds_no_lock(place: Place) {
    let (pool, mut connection) = place.table().await;
    connection.execute(&place.insert(), &id(1)).await.unwrap();
    let update = place.sql("UPDATE t SET x = $2 WHERE id = $1");
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&update, &[Value::I64(1), Value::I64(77)]).await.unwrap();
    drop(tx);
    drop(connection);
    let mut next = soon(pool.acquire()).await.unwrap();
    let written = soon(next.execute(&update, &[Value::I64(1), Value::I64(5)])).await.unwrap();
    assert_eq!(written, 1);
}

async fn savepoints_are_undone_alone_and_together(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(1)).await.unwrap();
    let mut kept = tx.transaction().await.unwrap();
    kept.execute(&place.insert(), &id(2)).await.unwrap();
    let mut undone = kept.transaction().await.unwrap();
    undone.execute(&place.insert(), &id(3)).await.unwrap();
    undone.rollback().await.unwrap();
    kept.commit().await.unwrap();
    {
        let mut outer = tx.transaction().await.unwrap();
        outer.execute(&place.insert(), &id(4)).await.unwrap();
        let mut inner = outer.transaction().await.unwrap();
        inner.execute(&place.insert(), &id(5)).await.unwrap();
    }
    tx.execute(&place.insert(), &id(6)).await.unwrap();
    tx.commit().await.unwrap();
    let rows = connection.query(&place.sql("SELECT id FROM t ORDER BY id"), &[]).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.get("id").unwrap()).collect();
    assert_eq!(ids, [1, 2, 6]);
}

/// Nothing of it is kept, and nothing of what follows.
async fn a_future_dropped_in_a_statement_ends_the_transaction(place: Place) {
    let (pool, mut connection) = place.table().await;
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(1)).await.unwrap();
    let never = tx.query(endless(pool.backend()), &[]);
    timeout(Duration::from_millis(50), never).await.unwrap_err();
    let refused = soon(tx.execute(&place.insert(), &id(2))).await.unwrap_err();
    let over = [AnyErrorKind::TransactionOver, AnyErrorKind::Disconnected];
    assert!(over.contains(&refused.kind()), "{refused:?}");
    let refused = soon(tx.commit()).await.unwrap_err();
    assert!(over.contains(&refused.kind()), "{refused:?}");
    drop(connection);
    let mut next = soon(pool.acquire()).await.unwrap();
    assert_eq!(count(&place, &mut next).await, 0);
    next.execute(&place.insert(), &id(1)).await.unwrap();
}

async fn what_failed_in_a_savepoint_leaves_the_rest(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let mut tx = connection.transaction().await.unwrap();
    tx.execute(&place.insert(), &id(1)).await.unwrap();
    let mut savepoint = tx.transaction().await.unwrap();
    let twice = savepoint.execute(&place.insert(), &id(1)).await.unwrap_err();
    assert_eq!(twice.kind(), AnyErrorKind::Unique);
    savepoint.rollback().await.unwrap();
    tx.execute(&place.insert(), &id(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&place, &mut connection).await, 2);
}

/// What follows would be committed by itself.
async fn a_transaction_ended_by_a_statement_takes_nothing_more(place: Place) {
    let (pool, mut connection) = place.table().await;
    // SQLite refuses the COMMIT itself, and rolls back.
    let is_sqlite = pool.backend() == pool_any::Backend::Sqlite;
    let assert_over = |refused: AnyError| {
        assert_eq!(refused.kind(), AnyErrorKind::TransactionOver, "{refused}");
    };
    let assert_ended = |done: Result<(), AnyError>| match done {
        Ok(()) => assert!(!is_sqlite),
        Err(refused) => assert_over(refused),
    };
    let mut kept = 0;
    for (sql, is_kept) in [("COMMIT", !is_sqlite), ("ROLLBACK", false)] {
        for (as_batch, in_savepoint) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let mut tx = connection.transaction().await.unwrap();
            tx.execute(&place.insert(), &id(kept + 1)).await.unwrap();
            if in_savepoint {
                let mut savepoint = tx.transaction().await.unwrap();
                assert_ended(match as_batch {
                    true => savepoint.execute_batch(sql).await,
                    false => savepoint.execute(sql, &[]).await.map(drop),
                });
                assert_over(savepoint.execute(&place.insert(), &id(100)).await.unwrap_err());
                assert_over(savepoint.commit().await.unwrap_err());
            } else {
                assert_ended(match as_batch {
                    true => tx.execute_batch(sql).await,
                    false => tx.execute(sql, &[]).await.map(drop),
                });
                assert_over(tx.query(&place.count(), &[]).await.unwrap_err());
            }
            assert_over(tx.execute(&place.insert(), &id(101)).await.unwrap_err());
            assert_over(tx.commit().await.unwrap_err());
            kept += i64::from(is_kept);
            assert_eq!(count(&place, &mut connection).await, kept, "{sql}");
        }
    }
}

/// Several at once, who all read and then write the same row: none of the writes is lost.
async fn a_conflict_is_run_again(place: Place) {
    let (pool, mut connection) = place.table().await;
    connection.execute(&place.insert(), &id(1)).await.unwrap();
    drop(connection);
    let locks = match pool.backend() {
        pool_any::Backend::MySql => " FOR UPDATE",
        _ => "", // both conflict there, or there is one writer
    };
    let read = place.sql(&format!("SELECT x FROM t WHERE id = $1{locks}"));
    let write = place.sql("UPDATE t SET x = $2 WHERE id = $1");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (pool, read, write) = (pool.clone(), read.clone(), write.clone());
        tasks.spawn(async move {
            for _ in 0..5 {
                let mut connection = pool.acquire().await.unwrap();
                let (read, write) = (read.clone(), write.clone());
                let raise = connection.transaction_with_retry(move |tx| {
                    let (read, write) = (read.clone(), write.clone());
                    async move {
                        let x: i64 = tx.query_one(&read, &id(1)).await?.get("x").unwrap();
                        tokio::task::yield_now().await;
                        tx.execute(&write, &[Value::I64(1), Value::I64(x + 1)]).await
                    }
                    .scope_boxed()
                });
                raise.await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut connection = pool.acquire().await.unwrap();
    let row = connection.query_one(&place.sql("SELECT x FROM t "), &[]).await.unwrap();
    assert_eq!(row.get::<i64>("x"), Ok(21));
}

async fn what_fails_is_not_run_again(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let (mut tries, insert) = (0, place.insert());
    let counted = &mut tries;
    let twice = connection.transaction_with_retry(|tx| {
        *counted += 1;
        let sql = insert.clone();
        async move {
            tx.execute(&sql, &id(1)).await?;
            tx.execute(&sql, &id(1)).await
        }
        .scope_boxed()
    });
    assert_eq!(twice.await.unwrap_err().kind(), AnyErrorKind::Unique);
    assert_eq!(tries, 1);
    assert_eq!(count(&place, &mut connection).await, 0);
}

async fn an_error_of_the_applications_own_rolls_back(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let (insert, read) = (place.insert(), place.sql("SELECT x FROM t WHERE id = $1"));
    let poor = connection.transaction_with_retry(|tx| {
        let (insert, read) = (insert.clone(), read.clone());
        async move {
            tx.execute(&insert, &id(1)).await?;
            let x: i64 = tx.query_one(&read, &id(1)).await?.get("x")?;
            if x < 10 { Err(AnyError::application("not enough")) } else { Ok(x) }
        }
        .scope_boxed()
    });
    let error = poor.await.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (AnyErrorKind::Application, "not enough"));
    assert_eq!(count(&place, &mut connection).await, 0);
    connection.execute(&insert, &id(1)).await.unwrap();
    let row = connection.query_one(&read, &id(1)).await.unwrap();
    let error = AnyError::from(row.get::<bool>("y").unwrap_err());
    assert_eq!(error.kind(), AnyErrorKind::Type);
}

#[tokio::test]
async fn an_observer_is_told_of_transactions() {
    #[derive(Default)]
    struct Ends(Mutex<Vec<TransactionEnd>>);
    impl StatementObserver for Ends {
        fn transaction_ended(&self, transaction: &TransactionEnded) {
            assert_eq!((transaction.backend, transaction.operation), ("sqlite", Some("import")));
            self.0.lock().unwrap().push(transaction.end);
        }
    }
    let place = Place::sqlite_file();
    let ends = Arc::new(Ends::default());
    let builder = AnyBuilder::new(Loader::new().url(&place.url)).unwrap().observer(ends.clone());
    let pool = builder.build().await.unwrap();
    let mut connection = pool.acquire().operation("import").await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    drop(tx.transaction().await.unwrap());
    tx.commit().await.unwrap();
    drop(connection.transaction().await.unwrap());
    assert_eq!(*ends.0.lock().unwrap(), [TransactionEnd::Committed, TransactionEnd::RolledBack]);
}
