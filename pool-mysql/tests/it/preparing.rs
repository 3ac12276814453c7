//! What is only prepared says nothing of the transaction, though the driver thinks so.

use pool_mysql::MySqlPool;

use crate::batches::shared;
use crate::soon;

#[tokio::test]
async fn r18_a_transaction_is_seen_behind_a_prepare() {
    let pool = MySqlPool::builder(&shared().url()).unwrap().max_size(1).build();
    let pool = soon(pool).await.unwrap();
    for sql in ["SELECT 1", "SELECT ?, ?, ?", "DO 1", "SELECT 1, 2, 3, 4"] {
        let mut connection = soon(pool.acquire()).await.unwrap();
        let mut tx = soon(connection.transaction()).await.unwrap();
        soon(tx.prep(sql)).await.unwrap();
        soon(tx.query_drop("SELECT 1")).await.unwrap(); // it is there still
        soon(tx.prep(sql)).await.unwrap();
        soon(tx.commit()).await.unwrap();

        soon(connection.query_drop("BEGIN")).await.unwrap();
        soon(connection.close_statement(sql)).await.unwrap();
        soon(connection.prep(sql)).await.unwrap();
        drop(connection);
        let mut connection = soon(pool.acquire()).await.unwrap();
        let inside: Option<i64> =
            soon(connection.query_first("SELECT @@in_transaction")).await.unwrap();
        assert_eq!(inside, Some(0), "{sql}");
    }
}
