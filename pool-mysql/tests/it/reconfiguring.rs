//! R20: other settings for a running pool, held against what the server allows.

use std::time::Duration;

use pool_core::{ManagedPool, PoolConfig};
use pool_mysql::{MySqlManager, MySqlPool};
use pool_testkit::servers::MariaDb;

use crate::place::{Place, root};
use crate::soon;

fn warnings(pool: &MySqlPool) -> Vec<String> {
    pool.warnings().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn r20_other_settings_are_held_against_the_server_at_once() {
    let server = MariaDb::builder().setting("max_connections", "15");
    let server = server.setting("wait_timeout", "600").start().expect("MariaDB starts");
    let place = Place::on(&root(&server)).await;
    let builder = place.builder().max_size(2);
    let pool = builder.config(|c| c.idle_timeout(Duration::from_secs(60))).build().await.unwrap();
    assert_eq!(warnings(&pool), [""; 0]);

    let other = pool.clone();
    let held = [soon(pool.acquire()).await.unwrap(), soon(pool.acquire()).await.unwrap()];
    let third = tokio::spawn(async move { other.acquire().await.map(|guard| guard.id()) });
    while pool.snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let new = PoolConfig::clone(&pool.config()).max_size(20).idle_timeout(None).max_lifetime(None);
    let done = pool.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed max_size, idle_timeout, max_lifetime");
    let told = warnings(&pool);
    assert_eq!(told.len(), 2, "before anything is opened: {told:?}");
    assert!(told[0].starts_with("max_size is 20, but there is room for 15"), "{told:?}");
    assert!(told[1].contains("for ever"), "{told:?}");
    assert_eq!(soon(third).await.unwrap().unwrap(), 3);
    assert_eq!(warnings(&pool), told);

    let engine: &ManagedPool<MySqlManager> = &pool; // whoever has only that
    engine.resize(&PoolConfig::new().max_size(15)).unwrap();
    assert_eq!(warnings(&pool), told[1..]);
    let new = PoolConfig::clone(&pool.config()).idle_timeout(Duration::from_secs(60));
    pool.reconfigure(&new).unwrap();
    assert_eq!(warnings(&pool), [""; 0]);
    assert!(pool.reconfigure(&new.max_size(0)).is_err());
    assert_eq!(pool.config().max_size, 15);
    drop(held);
}
