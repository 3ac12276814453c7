//! A manager written for bb8 in our pool.

use pool_adapters::Bb8Manager;
use pool_core::{AcquireErrorKind, Builder, ErrorClass, ManagedPool, Validation};
use tokio::time::Instant;

use crate::support::{dropped_after, ms, secs};
use crate::theirs::{Act, Server, TheirManager};

fn builder(server: &Server, max_size: u32) -> Builder<Bb8Manager<TheirManager>> {
    ManagedPool::builder(Bb8Manager::new(server.manager())).max_size(max_size)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reused() {
    let server = Server::default();
    let pool = builder(&server, 2).build().unwrap();
    for _ in 0..3 {
        assert_eq!(pool.acquire().await.unwrap().id, 1);
    }
    assert_eq!(server.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn r17_a_broken_connection_is_discarded() {
    let server = Server::default();
    let pool = builder(&server, 1).build().unwrap();
    pool.acquire().await.unwrap().broken = true;
    assert_eq!(pool.acquire().await.unwrap().id, 2);
    assert_eq!((server.open(), pool.snapshot().counts.ended.broken), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r07_a_connect_that_hangs_is_given_up() {
    let server = Server::default();
    server.next_connects([Act::Hang]);
    let pool = builder(&server, 1).connect_timeout(secs(1)).build().unwrap();
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert!(begun.elapsed() >= secs(1) && begun.elapsed() < secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r19_a_ping_that_hangs_costs_its_connection() {
    let server = Server::default();
    let pool = builder(&server, 1).validation(Validation::Always).ping_timeout(ms(100));
    let pool = pool.build().unwrap();
    drop(pool.acquire().await.unwrap());
    server.next_tests([Act::Hang]);
    let connection = pool.acquire().await.unwrap();
    assert_eq!((connection.id, connection.asked, server.open()), (2, false, 1));
}

#[tokio::test(start_paused = true)]
async fn r15_a_panic_costs_one_connection() {
    let server = Server::default();
    let pool = builder(&server, 1).validation(Validation::Always).build().unwrap();
    server.next_connects([Act::Panic]);
    let _ = pool.acquire().await;
    drop(pool.acquire().await.unwrap());
    server.next_tests([Act::Panic]);
    let _ = pool.acquire().await;
    pool.acquire().await.unwrap().panics = true;
    assert_eq!(pool.acquire().await.unwrap().id, 3);
    assert_eq!(server.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn r12_their_errors_have_the_class_they_are_given() {
    let server = Server::default();
    server.down();
    let pool = builder(&server, 1).acquire_timeout(secs(1)).build().unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    assert!(error.to_string().contains("password refused"), "{error}");

    let manager = Bb8Manager::new(server.manager()).classify_with(|_| ErrorClass::Permanent);
    let pool = ManagedPool::new(manager);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), AcquireErrorKind::Connect);
}

#[tokio::test(start_paused = true)]
async fn r14_a_cancelled_acquire_leaks_nothing() {
    let server = Server::default();
    let pool = builder(&server, 2).validation(Validation::Always).build().unwrap();
    for looks in 0..12 {
        dropped_after(looks % 4, async { pool.acquire().await }).await;
    }
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert!(!held.0.asked && !held.1.asked);
    assert_eq!((server.open(), pool.snapshot().waiting), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn r21_nothing_is_left_after_a_close() {
    let server = Server::default();
    let pool = builder(&server, 2).build().unwrap();
    drop((pool.acquire().await.unwrap(), pool.acquire().await.unwrap()));
    assert!(pool.close(secs(1)).await.is_complete());
    assert_eq!(server.open(), 0);
    drop(pool);
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    assert!(server.is_alone());
}
