//! R17, R18: what a connection leaves behind, and that nobody finds it.

use pool_mysql::mysql_async::IsolationLevel;
use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::pool_core::Cause;
use pool_mysql::{MySqlConnection, MySqlErrorKind, MySqlPool, ResetLevel};

use crate::place::Place;
use crate::soon;

/// Asks something with one right answer, outside any transaction.
async fn is_in_step(connection: &mut MySqlConnection) {
    for nonce in [11_i64, 12, 13] {
        let answer: Option<(i64, i64)> =
            connection.exec_first("SELECT ?, @@in_transaction", (nonce,)).await.unwrap();
        assert_eq!(answer, Some((nonce, 0)));
    }
}

async fn text(connection: &mut MySqlConnection, sql: &str) -> String {
    connection.query_first(sql).await.unwrap().expect("a row")
}

#[tokio::test]
async fn r17_an_abandoned_transaction_lets_go_of_its_locks_at_once() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_drop("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    connection.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    drop(connection);
    // Dropped; left open by hand; left open after an error, which tells nothing of the status.
    for way in 0..3 {
        let mut connection = soon(pool.acquire()).await.unwrap();
        if way == 0 {
            let mut tx = connection.transaction().await.unwrap();
            tx.query_drop("SELECT * FROM t FOR UPDATE").await.unwrap();
            drop(tx);
        } else {
            connection.query_drop("BEGIN; SELECT * FROM t FOR UPDATE").await.unwrap();
        }
        if way == 2 {
            connection.query_drop("SELECT nothing").await.unwrap_err();
        }
        place.until("EXISTS (SELECT 1 FROM information_schema.innodb_trx)").await;
        drop(connection);
        // Nobody checks out.
        place.until_quiet().await;
    }
    is_in_step(&mut soon(pool.acquire()).await.unwrap()).await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}
