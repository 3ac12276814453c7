//! R1: the bound on all connections together. R6: the sizes below it.

use std::sync::Arc;

use pool_core::{CloseReason, PoolConfig};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r01_all_states_together_never_exceed_max_size() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(7)));
    server.always(Op::Reset, Behaviour::Slow(ms(3)));
    server.always(Op::Close, Behaviour::Slow(ms(5)));
    let pool = builder(&server, 5).max_connecting(5).build().unwrap();
    let tasks: Vec<_> = (0..40_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut guard = pool.acquire().await.unwrap();
                    sleep(ms((n * 7 + round * 3) % 11)).await;
                    match (n + round) % 5 {
                        0 => guard.invalidate(),
                        1 => guard.begin(),
                        _ => {}
                    }
                }
            })
        })
        .collect();
    let mut states = std::collections::BTreeSet::new();
    while !tasks.iter().all(|task| task.is_finished()) {
        let now = pool.snapshot();
        adds_up(&now);
        assert!(now.open() <= 5, "{now:?}");
        states.insert((now.connecting > 0, now.resetting > 0, now.closing > 0));
        sleep(ms(1)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(states.contains(&(true, true, true)), "the test is to see all of them at once");
    assert_eq!(server.peak(), 5, "as the server saw it");
    assert_eq!(audit(&pool).counts.acquired, 800);
}

#[tokio::test(start_paused = true)]
async fn r01_a_slot_is_free_when_the_connections_end_is_confirmed() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).close_timeout(secs(5)).build().unwrap();
    server.always(Op::Close, Behaviour::Slow(secs(3)));
    pool.acquire().await.unwrap().invalidate();
    assert_eq!(pool.snapshot().closing, 1);
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, secs(3));
    assert_eq!((server.peak(), audit(&pool).counts.abandoned), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn r01_a_goodbye_that_never_ends_is_abandoned_at_its_deadline() {
    let server = FakeServer::new();
    let log = Log::default();
    let pool =
        builder(&server, 1).close_timeout(secs(2)).metrics(Arc::new(log.clone())).build().unwrap();
    server.next(Op::Close, [Behaviour::Hang]);
    pool.acquire().await.unwrap().invalidate();
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, secs(2));
    assert_eq!(audit(&pool).counts.abandoned, 1);
    let closed = Told::Closed { id: 1, reason: CloseReason::Invalidated, abandoned: true };
    assert!(log.told().contains(&closed));
}

#[tokio::test(start_paused = true)]
async fn r01_after_a_shrink_the_sum_only_falls() {
    let (server, pool) = pool_of(8);
    let mut guards = hold(&pool, 6).await;
    drop(guards.drain(..2));
    assert_eq!((pool.snapshot().idle, pool.snapshot().in_use), (2, 4));
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().id() }
    });
    pool.resize(&PoolConfig::new().max_size(3)).unwrap();
    settle().await;
    let mut open = pool.snapshot().open();
    assert_eq!(open, 4, "what nobody used went at once");
    while let Some(guard) = guards.pop() {
        drop(guard);
        settle().await;
        let now = pool.snapshot().open();
        assert!(now <= open, "it grew from {open} to {now}");
        open = now;
    }
    assert_eq!(pool.snapshot().open(), 3);
    waiting.await.unwrap();
    assert_eq!(server.open(), 3);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r01_a_detached_connection_is_outside() {
    let (server, pool) = pool_of(1);
    let mut outside = pool.acquire().await.unwrap().detach();
    let inside = pool.acquire().await.unwrap();
    assert_ne!(outside.id(), inside.id());
    outside.query().unwrap();
    assert_eq!((server.open(), pool.snapshot().open()), (2, 1));
    assert_eq!(audit(&pool).counts.ended.detached, 1);
    drop(outside);
    assert_eq!((server.open(), pool.snapshot().open()), (1, 1), "not the pool's affair");
}

#[tokio::test(start_paused = true)]
async fn r06_above_max_idle_a_returned_connection_is_closed() {
    let server = FakeServer::new();
    let pool = builder(&server, 5).max_idle(2).build().unwrap();
    let guards = hold(&pool, 5).await;
    assert_eq!(pool.snapshot().overflow(), 3);
    drop(guards);
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, now.open(), server.held()), (2, 2, 2));
    assert_eq!(now.counts.ended.surplus, 3);
}

#[tokio::test(start_paused = true)]
async fn r06_min_size_is_a_total_and_min_idle_is_spare() {
    let server = FakeServer::new();
    let total = builder(&server, 10).min_size(3).build().unwrap();
    total.ready().await.unwrap();
    let guards = hold(&total, 3).await;
    settle().await;
    assert_eq!(total.snapshot().open(), 3, "min_size counts what is in use");
    drop(guards);

    let spare = builder(&server, 10).min_idle(3).build().unwrap();
    spare.ready().await.unwrap();
    let guards = hold(&spare, 3).await;
    settle().await;
    let now = spare.snapshot();
    assert_eq!((now.idle, now.in_use), (3, 3), "min_idle does not");
    drop(guards);
    assert_eq!(audit(&spare).idle, 6);
    audit(&total);
}

#[tokio::test(start_paused = true)]
async fn r06_pruning_stops_at_the_minimums() {
    for (min_size, min_idle) in [(3, 0), (0, 3), (0, 0)] {
        let server = FakeServer::new();
        let pool = builder(&server, 10)
            .min_size(min_size)
            .min_idle(min_idle)
            .idle_timeout(secs(60))
            .max_lifetime(None)
            .build()
            .unwrap();
        warm(&pool, 8).await;
        sleep(secs(59)).await;
        let opened = (8 + min_idle).min(10); // while eight were in use, there were spare ones
        assert_eq!(pool.snapshot().idle, opened, "not before their time");
        sleep(secs(2)).await;
        let kept = min_size.max(min_idle);
        assert_eq!(pool.snapshot().idle, kept, "they shrink without anybody asking");
        sleep(secs(3600)).await;
        let now = audit(&pool);
        assert_eq!(
            (now.idle, now.counts.created),
            (kept, opened.into()),
            "and nothing is opened for it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r06_minimums_come_back_after_a_loss() {
    let server = FakeServer::new();
    let pool = builder(&server, 4).min_size(2).build().unwrap();
    pool.ready().await.unwrap();
    pool.invalidate_all();
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, now.counts.created, now.counts.ended.invalidated), (2, 4, 2));
}
