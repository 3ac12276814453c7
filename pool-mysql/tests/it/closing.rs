//! R21: a connection says goodbye, whatever was done on it: the server counts none as aborted, which
//! is what it warns of and what some watch.

use std::time::Duration;

use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::pool_core::PoolConfig;
use pool_mysql::{MySqlPool, ResetLevel};
use pool_testkit::servers::MariaDb;
use tokio::time::{sleep, timeout};

use crate::place::{Place, is_whole, root};
use crate::soon;

async fn own() -> (MariaDb, Place) {
    let server = MariaDb::start().expect("MariaDB starts");
    let place = Place::on(&root(&server)).await;
    place.tell(&format!("CREATE TABLE {}.t (x bigint)", place.name)).await;
    (server, place)
}

/// How many the server has counted as aborted, once all are gone.
async fn aborted(place: &Place) -> u64 {
    place.until("NOT EXISTS (SELECT 1 FROM information_schema.processlist WHERE mine)").await;
    place.status("Aborted_clients").await
}

/// One use of each kind, on two connections at once.
async fn work(pool: &MySqlPool) {
    const ROWS: &str = "SELECT table_name, column_name FROM information_schema.columns";
    for _ in 0..3 {
        let mut one = soon(pool.acquire()).await.unwrap();
        let mut two = soon(pool.acquire()).await.unwrap();
        one.exec_drop("INSERT INTO t VALUES (?)", (1,)).await.unwrap();
        two.query_drop("SELECT nothing").await.unwrap_err();
        drop((one, two));
        let mut one = soon(pool.acquire()).await.unwrap();
        let mut two = soon(pool.acquire()).await.unwrap();
        // Half-read; within a transaction that nobody ends.
        one.query_iter(ROWS).await.unwrap().next().await.unwrap();
        let mut tx = two.transaction().await.unwrap();
        tx.exec_iter(ROWS, ()).await.unwrap().next().await.unwrap();
        drop(tx);
        drop((one, two));
        let mut one = soon(pool.acquire()).await.unwrap();
        let mut two = soon(pool.acquire()).await.unwrap();
        one.query_drop("SET @left = 1").await.unwrap();
        two.raw().unwrap().query_drop("BEGIN").await.unwrap();
    }
}

/// Given up by the pool while rows are unread, and by its user.
async fn give_up(pool: &MySqlPool) {
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_iter("SELECT 1 UNION SELECT 2").await.unwrap().next().await.unwrap();
    connection.invalidate();
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_drop("BEGIN").await.unwrap();
    pool.invalidate_all();
    drop(connection);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r21_whatever_was_done_every_goodbye_is_heard() {
    let (_server, place) = own().await;
    for reset in [ResetLevel::Verified, ResetLevel::Clean, ResetLevel::ChangeUser] {
        let pool = place.builder().reset_level(reset).build().await.unwrap();
        is_whole(&pool).await;
        work(&pool).await;
        pool.retain(|_| false);
        work(&pool).await;
        give_up(&pool).await;
        is_whole(&pool).await;
        assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
        assert_eq!(pool.snapshot().counts.abandoned, 0);
        assert_eq!(aborted(&place).await, 0, "{reset:?}");
    }
    // Without a close; and of connections that nobody needs any more.
    let builder = place
        .builder()
        .config(|config| config.idle_timeout(Duration::from_millis(50)).max_idle(2).min_size(1));
    let pool = builder.build().await.unwrap();
    is_whole(&pool).await;
    work(&pool).await;
    while pool.snapshot().open() > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(pool.snapshot().counts.ended.idle > 0, "{:?}", pool.snapshot().counts);
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_iter("SELECT 1 UNION SELECT 2").await.unwrap().next().await.unwrap();
    drop(pool);
    drop(connection);
    assert_eq!(aborted(&place).await, 0);
}

/// A guard that is dropped where there is no runtime goes back as well.
#[test]
fn r21_a_guard_dropped_outside_a_runtime_says_goodbye_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_server, place, pool, guard) = runtime.block_on(async {
        let (server, place) = own().await;
        let pool = place.one().await;
        let mut guard = soon(pool.acquire()).await.unwrap();
        guard.query_drop("BEGIN").await.unwrap();
        (server, place, pool, guard)
    });
    drop(guard);
    runtime.block_on(async {
        is_whole(&pool).await;
        assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
        assert_eq!(aborted(&place).await, 0);
    });
}

/// A statement that was given up is interrupted first, so that nearly all of these are heard too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_statements_are_hardly_counted_as_aborted() {
    const GIVEN_UP: u64 = 100;
    let (_server, place) = own().await;
    let patient = |config: PoolConfig| config.close_timeout(Duration::from_secs(20));
    let pool = place.builder().config(patient).build().await.unwrap();
    for round in 0..GIVEN_UP {
        let mut connection = soon(pool.acquire()).await.unwrap();
        // After the first of several the next one begins, which is killed.
        let several = round % 10 == 0;
        let sql = if several { "DO SLEEP(30); DO SLEEP(30)" } else { "SELECT SLEEP(30)" };
        let slow = connection.query_drop(sql);
        timeout(Duration::from_millis(round % 10), slow).await.unwrap_err();
    }
    assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
    let aborted = aborted(&place).await;
    println!("{aborted} of {GIVEN_UP} given-up statements were counted as aborted");
    assert!(aborted <= GIVEN_UP / 2, "{aborted} of {GIVEN_UP}");
}
