//! R20: what an operator can do to a running pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::{AcquireErrorKind, ConnectContext, ManagedPool, Manager, PoolConfig};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r20_resize_up_serves_those_who_wait() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().id() }
    });
    settle().await;
    let begun = Instant::now();
    pool.resize(&PoolConfig::new().max_size(2)).unwrap();
    assert_eq!(waiter.await.unwrap(), 2);
    took(begun, ms(0));
    drop(guard);
    assert_eq!(audit(&pool).max_size, 2);
}

#[tokio::test(start_paused = true)]
async fn r20_resize_down_closes_spare_connections_now() {
    let (server, pool) = pool_of(8);
    warm(&pool, 8).await;
    pool.resize(&PoolConfig::new().max_size(3)).unwrap();
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, server.held(), now.counts.ended.shrink), (3, 3, 5));
    pool.resize(&PoolConfig::new().max_size(3).max_idle(1)).unwrap();
    settle().await;
    assert_eq!(audit(&pool).idle, 1);
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r20_resize_refuses_sizes_that_make_no_sense_and_changes_nothing() {
    let (_, pool) = pool_of(8);
    let error = pool.resize(&PoolConfig::new().max_size(2).min_size(3)).unwrap_err();
    assert_eq!(error.faults().len(), 1);
    assert_eq!((pool.snapshot().max_size, pool.snapshot().min_size), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn r20_new_minimums_are_reached_without_anybody_asking() {
    let (_, pool) = pool_of(8);
    pool.resize(&PoolConfig::new().max_size(8).min_size(4)).unwrap();
    pool.ready().await.unwrap();
    assert_eq!(audit(&pool).idle, 4);
}

#[tokio::test(start_paused = true)]
async fn r20_suspended_it_hands_nothing_out_and_connects_nowhere() {
    let (server, pool) = pool_of(2);
    warm(&pool, 1).await;
    let held = pool.acquire().await.unwrap();
    pool.suspend();
    drop(held);
    let begun = Instant::now();
    let error = pool.acquire().within(secs(1)).await.unwrap_err();
    took(begun, secs(1));
    assert_eq!(error.kind(), AcquireErrorKind::Suspended);
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.unwrap() })
        })
        .collect();
    sleep(secs(5)).await;
    let now = pool.snapshot();
    assert_eq!((now.idle, now.waiting, now.suspended), (1, 2, true));
    assert_eq!(server.calls(Op::Connect), 1);
    let begun = Instant::now();
    pool.resume();
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
    took(begun, ms(0));
    assert_eq!(audit(&pool).counts.suspended, 1);
}

#[tokio::test(start_paused = true)]
async fn r20_a_failover_suspend_invalidate_resume() {
    let (server, pool) = pool_of(4);
    warm(&pool, 4).await;
    let held = hold(&pool, 2).await;
    pool.suspend();
    pool.invalidate_all();
    settle().await;
    assert_eq!(server.held(), 2, "spare ones at once");
    drop(held);
    settle().await;
    assert_eq!(server.held(), 0, "others as they come back");
    pool.resume();
    assert!(pool.acquire().await.unwrap().id() > 4);
    assert_eq!(audit(&pool).counts.ended.invalidated, 4);
}

#[tokio::test(start_paused = true)]
async fn r20_invalidate_all_reaches_a_connect_that_is_under_way() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Slow(ms(100))]);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().id() }
    });
    sleep(ms(50)).await;
    pool.invalidate_all();
    assert_eq!(waiter.await.unwrap(), 2, "the first was opened before");
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_invalidate_ends_one_connection() {
    let (server, pool) = pool_of(2);
    let guards = hold(&pool, 2).await;
    for guard in guards {
        if guard.id() == 1 {
            guard.invalidate();
        }
    }
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, server.held(), now.counts.ended.invalidated), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn r20_retain_looks_at_every_spare_connection() {
    let (server, pool) = pool_of(5);
    warm(&pool, 5).await;
    let held = pool.acquire().await.unwrap();
    let mut seen = Vec::new();
    let ended = pool.retain(|connection| {
        seen.push(connection.id());
        connection.id() == 2
    });
    settle().await;
    assert_eq!((seen.len(), held.id()), (4, 5));
    assert_eq!((ended, server.held()), (3, 2));
    assert_eq!(audit(&pool).counts.ended.retain, 3);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn r20_max_waiting_sheds_the_rest_at_once() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).max_waiting(3).build().unwrap();
    let guards = hold(&pool, 2).await;
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.acquire().await.unwrap()) })
        })
        .collect();
    settle().await;
    let begun = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    took(begun, ms(0));
    assert_eq!(error.kind(), AcquireErrorKind::QueueFull);
    drop(guards);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    drop(pool.acquire().await.unwrap());
    assert_eq!(audit(&pool).counts.shed, 1);
}

#[tokio::test(start_paused = true)]
async fn r20_max_waiting_zero_still_lets_a_cold_pool_open_what_it_may() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(10)));
    let pool = builder(&server, 3).max_waiting(0).build().unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.map(|guard| guard.id()) })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += u32::from(task.await.unwrap().is_ok());
    }
    assert_eq!((served, audit(&pool).counts.shed), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn r20_pressure_is_a_half_when_all_are_in_use_and_nobody_waits() {
    let (_, pool) = pool_of(4);
    assert_eq!(pool.pressure(), 0.0);
    let guards = hold(&pool, 2).await;
    assert!((pool.pressure() - 1.0 / 3.0).abs() < 1e-9);
    let more = hold(&pool, 2).await;
    assert_eq!(pool.pressure(), 0.5);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.acquire().await) })
        })
        .collect();
    settle().await;
    assert_eq!(pool.pressure(), 0.75);
    drop((guards, more));
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(pool.pressure(), 0.0);
    audit(&pool);
}

/// A manager whose password changes with time.
struct Rotating(Arc<AtomicU64>);

impl Manager for Rotating {
    type Connection = u64;
    type Error = std::io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<u64, Self::Error> {
        Ok(self.0.load(Ordering::Relaxed))
    }
    async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r20_credentials_are_asked_for_at_every_connect() {
    let password = Arc::new(AtomicU64::new(1));
    let pool = ManagedPool::builder(Rotating(password.clone())).max_size(2).build().unwrap();
    let first = pool.acquire().await.unwrap();
    password.store(2, Ordering::Relaxed);
    let second = pool.acquire().await.unwrap();
    assert_eq!((*first, *second), (1, 2));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_suspended_what_comes_back_is_not_handed_on() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let mut waiter = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut waiter).await.is_pending());
    pool.suspend();
    drop(held);
    assert!(poll_once(&mut waiter).await.is_pending());
    assert_eq!(audit(&pool).idle, 1);
    pool.resume();
    assert!(poll_once(&mut waiter).await.is_ready());
}
