//! R2: first come, first served; and which idle connection is taken. R3, R4: what waiters wait for.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use pool_core::{Reuse, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r02_waiters_are_served_in_the_order_in_which_they_came() {
    let (server, pool) = pool_of(3);
    server.always(Op::Connect, Behaviour::Slow(ms(4)));
    let served = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..200_u64)
        .map(|ticket| {
            let (pool, served) = (pool.clone(), served.clone());
            tokio::spawn(async move {
                let guard = pool.acquire().await.unwrap();
                served.lock().unwrap().push(ticket);
                sleep(ms(ticket * 13 % 7)).await;
                match ticket % 9 {
                    0 => guard.invalidate(),
                    _ => drop(guard),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..200).collect::<Vec<_>>());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r02_a_newcomer_never_overtakes_a_waiter() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let mut elder = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut elder).await.is_pending());
    drop(guard); // into the elder's hands, who has not been polled yet
    let mut newcomer = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut newcomer).await.is_pending());
    let Poll::Ready(Ok(first)) = poll_once(&mut elder).await else { panic!("it is the elder's") };
    assert!(poll_once(&mut newcomer).await.is_pending());
    drop(first);
    assert!(poll_once(&mut newcomer).await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn r02_a_newcomer_does_not_overtake_those_who_wait_for_a_ping() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).validation(Validation::IfIdleFor(secs(5))).build().unwrap();
    warm(&pool, 1).await;
    sleep(secs(6)).await;
    let recent = pool.acquire().await.unwrap(); // proven just now
    sleep(secs(6)).await;
    server.always(Op::Ping, Behaviour::Slow(ms(50)));
    server.always(Op::Connect, Behaviour::Slow(secs(9)));
    warm_second(&pool, recent).await;
    let mut elder = Box::pin(pool.acquire().into_future());
    let mut newcomer = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut elder).await.is_pending());
    assert!(poll_once(&mut newcomer).await.is_pending());
    sleep(ms(60)).await;
    assert!(poll_once(&mut newcomer).await.is_pending());
    assert!(poll_once(&mut elder).await.is_ready());
}

/// Gives a connection back and lets it lie until it has to be proven again.
async fn warm_second(pool: &TestPool, guard: TestGuard) {
    drop(guard);
    sleep(secs(6)).await;
    assert_eq!(pool.snapshot().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn r02_an_unfit_connection_does_not_cost_the_place() {
    let (server, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let mut elder = Box::pin(pool.acquire().into_future());
    let mut younger = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut elder).await.is_pending());
    assert!(poll_once(&mut younger).await.is_pending());
    drop(guard);
    server.kill_all(); // dies in the elder's hands
    assert!(poll_once(&mut elder).await.is_pending());
    sleep(ms(1)).await;
    assert!(poll_once(&mut younger).await.is_pending(), "the replacement is not for the younger");
    let Poll::Ready(Ok(mut guard)) = poll_once(&mut elder).await else { panic!("a fresh one") };
    guard.query().unwrap();
    drop((guard, elder, younger));
    let now = audit(&pool);
    assert_eq!((now.counts.acquired, now.counts.waited), (2, 2), "served once each");
}

#[tokio::test(start_paused = true)]
async fn r02_idle_connections_are_reused_last_in_first_out_unless_told_otherwise() {
    let order = |reuse| async move {
        let server = FakeServer::new();
        let pool = builder(&server, 3).reuse(reuse).build().unwrap();
        warm(&pool, 3).await; // given back in the order 1, 2, 3
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(pool.acquire().await.unwrap().id());
        }
        audit(&pool);
        ids
    };
    assert_eq!(order(Reuse::Lifo).await, [3, 3, 3, 3]);
    assert_eq!(order(Reuse::Fifo).await, [1, 2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn r02_in_fifo_use_a_connection_that_needs_a_ping_keeps_its_turn() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).reuse(Reuse::Fifo).build().unwrap();
    warm(&pool, 2).await;
    sleep(secs(4)).await;
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
    sleep(secs(3)).await; // 2 is stale now, 1 is not
    let used: Vec<_> = {
        let mut used = Vec::new();
        for _ in 0..4 {
            used.push(pool.acquire().await.unwrap().id());
            settle().await;
        }
        used
    };
    assert!(used.contains(&2), "all are used in turn, but it was {used:?}");
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r03_cancelling_an_acquire_keeps_its_connect() {
    let (server, pool) = pool_of(1);
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    assert!(tokio::time::timeout(ms(10), pool.acquire().into_future()).await.is_err());
    assert_eq!(pool.snapshot().connecting, 1);
    sleep(secs(1)).await;
    assert_eq!((pool.snapshot().idle, server.calls(Op::Connect)), (1, 1));
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, ms(0));
    assert_eq!(audit(&pool).counts.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn r03_the_result_of_an_orphaned_connect_goes_to_the_head_of_the_queue() {
    let (server, pool) = pool_of(1);
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    let mut asker = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut asker).await.is_pending());
    let mut second = Box::pin(pool.acquire().into_future());
    let mut third = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut second).await.is_pending());
    assert!(poll_once(&mut third).await.is_pending());
    drop(asker);
    sleep(ms(1001)).await;
    assert!(poll_once(&mut third).await.is_pending());
    assert!(poll_once(&mut second).await.is_ready());
    assert_eq!(server.calls(Op::Connect), 1);
}

#[tokio::test(start_paused = true)]
async fn r04_a_waiter_takes_a_returned_connection_while_its_connect_is_slow() {
    let (server, pool) = pool_of(2);
    let guard = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Slow(secs(5)));
    let begun = Instant::now();
    tokio::spawn(async move {
        sleep(ms(10)).await;
        drop(guard);
    });
    let first = pool.acquire().await.unwrap();
    took(begun, ms(10));
    assert_eq!((first.id(), pool.snapshot().connecting), (1, 1), "the connect goes on");
    sleep(secs(5)).await;
    assert_eq!((pool.snapshot().idle, server.calls(Op::Connect)), (1, 2));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r04_a_waiter_takes_a_new_connection_while_others_are_held() {
    let (server, pool) = pool_of(2);
    let guard = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Slow(ms(10)));
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id(), 2);
    took(begun, ms(10));
    drop(guard);
    audit(&pool);
}
