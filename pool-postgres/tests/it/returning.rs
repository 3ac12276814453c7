//! R17, R18: what a connection leaves behind, and that nobody finds it.

use crate::place::Place;
use crate::soon;

#[tokio::test]
async fn r17_an_abandoned_transaction_lets_go_of_its_locks_at_once() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    tx.execute("SELECT pg_advisory_xact_lock(17)", &[]).await.unwrap();
    drop(tx);
    drop(connection);
    place
        .until("NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 17)")
        .await;
}
