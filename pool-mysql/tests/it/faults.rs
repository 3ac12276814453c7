//! R7, R13, R16: servers that die, freeze and vanish.

use std::sync::Arc;
use std::time::Duration;

use pool_mysql::pool_core::AcquireErrorKind;
use pool_testkit::servers::MariaDb;
use pool_testkit::{Fault, FaultProxy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::load::{Load, ask};
use crate::place::{Place, is_whole, root};
use crate::soon;

/// Blocks a thread that nothing else needs.
async fn off_thread<T: Send + 'static>(
    server: &Arc<MariaDb>,
    work: impl FnOnce(&MariaDb) -> T + Send + 'static,
) -> T {
    let server = server.clone();
    tokio::task::spawn_blocking(move || work(&server)).await.unwrap()
}

fn start() -> Arc<MariaDb> {
    Arc::new(MariaDb::start().expect("MariaDB starts"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_killed_server_costs_nothing_once_it_is_back() {
    let server = start();
    let place = Place::on(&root(&server)).await;
    let pool = place.builder().max_size(8).build().await.unwrap();
    for _ in 0..3 {
        let load = Load::start(&pool, 16);
        sleep(Duration::from_millis(200)).await;
        off_thread(&server, |server| {
            server.kill().unwrap();
            server.restart().unwrap();
        })
        .await;
        load.count();
        soon(load.served(1_000)).await;
        let (_, failed) = load.end().await;
        assert!(failed <= 1, "{failed} callers were told of a restart that was over");
        is_whole(&pool).await;
    }
}

/// Nobody uses the pool meanwhile. No connection was idle for so long that it would be pinged, and
/// this protocol's client hears nothing unasked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_after_a_restart_at_most_one_caller_finds_a_dead_connection() {
    let server = start();
    let place = Place::on(&root(&server)).await;
    let pool = place.builder().max_size(4).build().await.unwrap();
    for _ in 0..2 {
        is_whole(&pool).await;
        off_thread(&server, |server| server.restart().unwrap()).await;
        let mut failed = 0;
        for nonce in 0..8 {
            failed += u32::from(soon(ask(&pool, nonce)).await.is_err());
        }
        assert!(failed <= 1, "{failed} callers found a dead connection");
        is_whole(&pool).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_a_frozen_server_makes_nobody_late() {
    let server = start();
    let place = Place::on(&root(&server)).await;
    let wait = Duration::from_millis(500);
    let pool = place.builder().max_size(2).acquire_timeout(wait).build().await.unwrap();
    is_whole(&pool).await;
    off_thread(&server, |server| server.freeze().unwrap()).await;
    let frozen = Instant::now();
    let mut held = Vec::new();
    let mut late = 0;
    while frozen.elapsed() < Duration::from_secs(5) {
        let begun = Instant::now();
        match pool.acquire().await {
            Ok(mut connection) => {
                let asked = timeout(Duration::from_millis(100), connection.query_drop("SELECT 1"));
                asked.await.unwrap_err();
                held.push(connection);
            }
            Err(error) => {
                assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
                assert!(begun.elapsed() < wait * 4, "{:?}", begun.elapsed());
                late += 1;
            }
        }
        if late == 4 {
            held.clear(); // their statements cannot be ended now
        }
    }
    drop(held);
    off_thread(&server, |server| server.thaw().unwrap()).await;
    while let Err(error) = pool.acquire().await {
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        assert!(frozen.elapsed() < Duration::from_secs(30), "does not come back");
    }
    println!("back {:?} after the freeze", frozen.elapsed() - Duration::from_secs(5));
    is_whole(&pool).await;
    assert_eq!(pool.snapshot().open(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_connections_killed_cost_their_statements_only() {
    let place = Place::new().await;
    let pool = place.builder().max_size(8).build().await.unwrap();
    is_whole(&pool).await;
    let load = Load::start(&pool, 16);
    load.count();
    for _ in 0..10 {
        place.kill_some(4).await;
        sleep(Duration::from_millis(50)).await;
    }
    let (served, failed) = load.end().await;
    assert!(failed <= 40, "{failed} failed, of 40 connections");
    assert!(served > failed, "{served}");
    is_whole(&pool).await;
    assert_eq!(place.connections().await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_blackhole_costs_no_slot() {
    let server = start();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let place = Place::on(&root(&server)).await.through(proxy.address());
    let short = Duration::from_millis(500);
    let builder = place.builder().max_size(4).acquire_timeout(Duration::from_secs(2));
    let builder = builder.config(|config| {
        let config = config.connect_timeout(short).reset_timeout(short).ping_timeout(short);
        config.close_timeout(short)
    });
    let pool = builder.build().await.unwrap();
    for _ in 0..2 {
        is_whole(&pool).await;
        proxy.set(Fault::Blackhole);
        let mut tasks = JoinSet::new();
        for user in 0..12 {
            let pool = pool.clone();
            tasks.spawn(async move {
                if let Ok(mut connection) = pool.acquire().await {
                    // Some give up a statement, the others a whole transaction.
                    let work = async {
                        if user % 2 == 0 {
                            return connection.query_drop("SELECT 1").await;
                        }
                        let mut tx = connection.transaction().await?;
                        tx.query_drop("SELECT 1").await?;
                        tx.commit().await
                    };
                    let _ = timeout(Duration::from_millis(200), work).await;
                }
            });
        }
        while let Some(ended) = soon(tasks.join_next()).await {
            ended.unwrap();
        }
        proxy.set(Fault::Pass);
    }
    is_whole(&pool).await;
    assert_eq!(pool.snapshot().open(), 4);
    place.until_quiet().await;
}
