//! What the foreign pools do without the adapters: the reasons for some of what they do.
//!
//! If one of these fails with a newer version, theirs got better, and a line of the README is out
//! of date.

use pool_adapters::Invalidable;
use pool_core::{Pool, PoolExt};
use tokio::time::timeout;

use crate::support::{ms, secs, soon};
use crate::theirs::{Act, Server};

#[tokio::test(start_paused = true)]
async fn bb8_loses_a_place_to_a_panic_and_the_wrapper_does_not() {
    let server = Server::default();
    server.next_connects([Act::Panic]);
    let alone = bb8::Pool::builder().max_size(1).build_unchecked(server.manager());
    assert!(alone.get().await.is_err());
    assert!(alone.get().await.is_err());

    server.next_connects([Act::Panic]);
    let wrapped = Invalidable::new(server.manager());
    let wrapped = bb8::Pool::builder().max_size(1).build_unchecked(wrapped);
    assert!(wrapped.get().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn bb8_is_starved_by_one_connect_that_hangs() {
    let server = Server::default();
    server.next_connects([Act::Hang]);
    let alone = bb8::Pool::builder().max_size(4).build_unchecked(server.manager());
    for _ in 0..3 {
        assert!(alone.get().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn bb8_hands_out_what_is_half_tested_and_the_wrapper_does_not() {
    let server = Server::default();
    let alone = bb8::Pool::builder().max_size(1).build_unchecked(server.manager());
    drop(alone.get().await.unwrap());
    server.next_tests([Act::Hang]);
    assert!(timeout(ms(10), alone.get()).await.is_err());
    assert_eq!(alone.get().await.unwrap().id, 1);

    let wrapped = Invalidable::new(server.manager());
    let wrapped = bb8::Pool::builder().max_size(1).build_unchecked(wrapped);
    assert_eq!(wrapped.get().await.unwrap().id, 2);
    server.next_tests([Act::Hang]);
    assert!(timeout(ms(10), wrapped.get()).await.is_err());
    assert_eq!(wrapped.get().await.unwrap().id, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2d2_wakes_nobody_when_a_broken_connection_comes_back_and_the_queue_does() {
    let server = Server::default();
    let alone = r2d2::Pool::builder().max_size(1).min_idle(Some(0));
    let alone = alone.build_unchecked(server.manager());
    let mut held = alone.get().unwrap();
    let waiter = std::thread::spawn(move || alone.get_timeout(ms(500)).is_ok());
    tokio::time::sleep(ms(100)).await;
    held.broken = true;
    drop(held);
    assert!(!waiter.join().unwrap());

    let builder = r2d2::Pool::builder().max_size(1).min_idle(Some(0));
    let pool = pool_adapters::R2d2Pool::new("theirs", builder, server.manager());
    let mut held = pool.acquire().await.unwrap();
    held.broken = true;
    let waiting = async {
        let (got, ()) = tokio::join!(pool.acquire(), async { drop(held) });
        got
    };
    assert!(soon(waiting).await.is_ok());
    assert!(pool.close(secs(9)).await.is_complete());
}
