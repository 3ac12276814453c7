//! The manager on its own, in a pool made by hand.

use std::time::Duration;

use pool_sqlite::pool_core::ManagedPool;
use pool_sqlite::{SqliteErrorKind, SqlitePool};

use super::{Place, number, run, soon};

/// Whoever comes first makes the file and switches it to WAL. SQLite refuses those who come at that
/// very moment; they have to wait for it instead.
#[tokio::test]
async fn the_first_connects_do_not_get_in_each_others_way() {
    for _ in 0..100 {
        let place = Place::new();
        let manager = place.builder().max_size(8).manager().unwrap();
        let pool = ManagedPool::builder(manager).max_size(8).min_size(8).max_connecting(8);
        let pool = pool.build().unwrap();
        soon(pool.ready()).await.unwrap();
        let counts = pool.snapshot().counts;
        assert_eq!((counts.created, counts.connect_transient), (8, 0));
        assert!(soon(pool.close(Duration::from_secs(60))).await.is_complete());
    }
}

#[tokio::test]
async fn every_connection_writes_and_sees_what_the_others_wrote() {
    let place = Place::new();
    let manager = place.builder().manager().unwrap();
    let pool = ManagedPool::builder(manager).max_size(2).build().unwrap();
    let (mut one, mut other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    run(&mut one, "CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    run(&mut other, "INSERT INTO t VALUES (2)").await;
    assert_eq!(number(&mut one, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test]
async fn a_read_only_manager_makes_connections_that_cannot_write() {
    let place = Place::new();
    run(&mut place.pool().await.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let manager = place.builder().read_only().manager().unwrap();
    let pool = ManagedPool::builder(manager).max_size(2).build().unwrap();
    let mut reader = pool.acquire().await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 0);
    let error = reader.call(|c| c.execute("INSERT INTO t VALUES (1)", [])).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::ReadOnly);
}

#[tokio::test]
async fn one_in_memory_is_the_same_for_all_its_connections() {
    let manager = SqlitePool::builder(":memory:").max_size(2).manager().unwrap();
    let pool = ManagedPool::builder(manager).max_size(2).build().unwrap();
    let (mut one, mut other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    run(&mut one, "CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    assert_eq!(number(&mut other, "SELECT count(*) FROM t").await, 1);
}

#[test]
fn settings_that_make_no_sense_make_no_manager() {
    let place = Place::new();
    let error = place.builder().max_size(0).manager().unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Config);
    let error = SqlitePool::builder("").max_size(1).manager().unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Config);
    assert!(error.to_string().contains("the path of the database is empty"), "{error}");
}
