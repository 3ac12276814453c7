//! What is only prepared says nothing of the transaction, though the driver thinks so.

use crate::place::Place;
use crate::returning::is_in_step;
use crate::soon;

#[tokio::test]
async fn r18_a_transaction_is_seen_behind_a_prepare() {
    let pool = Place::new().await.one().await;
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
        is_in_step(&mut connection).await;
    }
}
