//! R20: other settings for a running pool, held against what the server has room for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::PoolConfig;
use pool_testkit::servers::Postgres;

use crate::place::Place;
use crate::soon;

#[tokio::test]
async fn r20_a_pool_that_is_made_larger_than_the_server_has_room_for_warns_at_once() {
    let server = Postgres::builder().setting("max_connections", "10").start();
    let server = server.expect("PostgreSQL starts");
    let place = Place::on(&server, &server.url()).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let builder = place.builder().max_size(2).on_shortage(move |shortage| {
        tell.lock().unwrap().push((shortage.max_size, shortage.room));
    });
    let pool = builder.build().await.unwrap();
    assert!(pool.shortage().is_none());

    let other = pool.clone();
    let held = [soon(pool.acquire()).await.unwrap(), soon(pool.acquire()).await.unwrap()];
    let third = tokio::spawn(async move { other.acquire().await.map(|guard| guard.id()) });
    while pool.snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let new = PoolConfig::clone(&pool.config()).max_size(20).idle_timeout(Duration::from_secs(9));
    let done = pool.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed max_size, idle_timeout");
    let shortage = pool.shortage().expect("before anything is opened");
    assert_eq!((shortage.max_size, shortage.room), (20, 7));
    assert_eq!(soon(third).await.unwrap().unwrap(), 3);
    assert_eq!(*told.lock().unwrap(), [(20, 7)], "and once");

    pool.resize(&PoolConfig::new().max_size(5)).unwrap();
    assert!(pool.shortage().is_none());
    pool.resize(&PoolConfig::new().max_size(8)).unwrap();
    assert_eq!(*told.lock().unwrap(), [(20, 7), (8, 7)]);
    assert!(pool.reconfigure(&PoolConfig::new().max_size(0)).is_err());
    assert_eq!(pool.shortage().unwrap().max_size, 8);
    drop(held);
}
