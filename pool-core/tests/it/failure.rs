//! R12: classes of connect errors. R13: every freed slot serves the queue.

use std::error::Error;

use pool_core::{AcquireErrorKind, Cause, ErrorClass, Phase};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r12_a_permanent_error_is_told_to_everyone_who_waits_at_once() {
    let (server, pool) = pool_of(4);
    server.always(Op::Connect, Behaviour::FailAfter(ms(20), ErrorClass::Permanent));
    for task in ask(&pool, 10) {
        let (waited, outcome) = task.await.unwrap();
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Connect);
        assert!(error.source().unwrap().to_string().contains("permanent"));
        assert!(waited <= ms(21), "{waited:?}");
    }
    assert_eq!(server.calls(Op::Connect), 2, "max_connecting, and no more");
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r12_it_is_remembered_for_a_second() {
    let (server, pool) = pool_of(4);
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    assert!(pool.acquire().await.is_err());
    let begun = Instant::now();
    for _ in 0..99 {
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Connect);
        sleep(ms(10)).await;
    }
    assert!(begun.elapsed() < secs(1));
    assert_eq!(server.calls(Op::Connect), 1, "nobody hammers");
    server.always(Op::Connect, Behaviour::Ok);
    sleep(ms(20)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(audit(&pool).counts.failed, 100);
}

#[tokio::test(start_paused = true)]
async fn r12_while_others_can_serve_waiters_wait_on_and_their_time_out_carries_it() {
    let (server, pool) = pool_of(4);
    let guard = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let begun = Instant::now();
    let error = pool.acquire().within(secs(3)).await.unwrap_err();
    took(begun, secs(3));
    assert_eq!((error.kind(), error.phase()), (AcquireErrorKind::TimedOut, Phase::Connect));
    assert!(error.to_string().contains("failed Connect (permanent)"), "{error}");
    assert!(error.source().is_some());

    let waiters = ask(&pool, 1);
    settle().await;
    drop(guard); // serves the waiter
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().1.unwrap().id(), 1);
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r12_when_the_last_that_could_serve_is_gone_they_are_told() {
    let (server, pool) = pool_of(4);
    let guard = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let waiters = ask(&pool, 3);
    sleep(ms(4_500)).await; // between two attempts
    guard.invalidate();
    for waiter in waiters {
        let (waited, outcome) = waiter.await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), AcquireErrorKind::Connect);
        assert!(waited <= ms(4_502), "at once: {waited:?}");
    }
    audit(&pool);
}

/// For a failover: they wait for what comes after.
#[tokio::test(start_paused = true)]
async fn r12_while_it_is_suspended_nobody_is_told_that_there_is_no_connection() {
    let (server, pool) = pool_of(2);
    let guard = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let mut waiters = ask(&pool, 2);
    sleep(ms(4_500)).await; // between two attempts
    pool.suspend();
    pool.invalidate_all();
    drop(guard);
    waiters.extend(ask(&pool, 1));
    sleep(ms(100)).await;
    server.always(Op::Connect, Behaviour::Ok);
    pool.resume();
    for waiter in waiters {
        drop(waiter.await.unwrap().1.unwrap());
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r12_a_saturated_server_is_left_alone_and_what_there_is_serves() {
    let (server, pool) = pool_of(10);
    let guards = hold(&pool, 3).await;
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Saturated));
    let waiters = ask(&pool, 5);
    sleep(secs(10)).await;
    let attempts = server.calls(Op::Connect) - 3;
    assert!((10..=30).contains(&attempts), "{attempts} attempts in 10 s");
    assert_eq!(pool.snapshot().in_use, 3, "nothing is flushed");
    drop(guards);
    for waiter in waiters {
        drop(waiter.await.unwrap().1.unwrap());
    }
    let now = audit(&pool);
    assert_eq!((now.counts.created, now.counts.ended.total()), (3, 0));
    assert_eq!(now.counts.connect_saturated, attempts);
}

#[tokio::test(start_paused = true)]
async fn r12_transient_errors_are_retried_until_the_callers_own_deadlines() {
    let (server, pool) = pool_of(2);
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let begun = Instant::now();
    let patient = ask(&pool, 1);
    let error = pool.acquire().within(secs(2)).await.unwrap_err();
    took(begun, secs(2));
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    assert!(error.to_string().contains("failed Connect (transient)"), "{error}");
    sleep(secs(10)).await;
    server.always(Op::Connect, Behaviour::Ok);
    for task in patient {
        let (waited, outcome) = task.await.unwrap();
        assert!(outcome.is_ok());
        assert!(waited <= secs(13) + ms(1), "within one pause: {waited:?}");
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r13_a_broken_return_serves_the_queue_at_once() {
    let (server, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let waiters = ask(&pool, 1);
    settle().await;
    server.kill(guard.id());
    drop(guard);
    for waiter in waiters {
        let (waited, outcome) = waiter.await.unwrap();
        outcome.unwrap().query().unwrap();
        assert_eq!(waited, ms(0));
    }
    assert_eq!(audit(&pool).counts.ended.broken, 1);
}

#[tokio::test(start_paused = true)]
async fn r13_every_way_to_free_a_slot_serves_the_queue() {
    type Free = fn(&FakeServer, &TestPool, TestGuard);
    let ways: [(&str, Free); 8] = [
        ("clean", |_, _, guard| drop(guard)),
        ("dirty", |_, _, mut guard| guard.begin()),
        ("dirty, and the reset fails", |server, _, mut guard| {
            server.next(Op::Reset, [Behaviour::Fail(ErrorClass::Transient)]);
            guard.soil(Cause::Raw);
        }),
        ("broken", |server, _, guard| server.kill(guard.id())),
        ("invalidated", |_, _, guard| guard.invalidate()),
        ("detached", |_, _, guard| drop(guard.detach())),
        ("all invalidated", |_, pool, guard| {
            pool.invalidate_all();
            drop(guard);
        }),
        ("resized", |_, pool, guard| {
            pool.resize(&pool_core::PoolConfig::new().max_size(2)).unwrap();
            drop(guard);
        }),
    ];
    for (way, free) in ways {
        let (server, pool) = pool_of(1);
        let guard = pool.acquire().await.unwrap();
        let waiters = ask(&pool, 3);
        settle().await;
        assert_eq!(pool.snapshot().waiting, 3);
        free(&server, &pool, guard);
        for waiter in waiters {
            let (waited, outcome) = waiter.await.unwrap();
            outcome.unwrap().query().unwrap();
            assert_eq!(waited, ms(0), "{way}");
        }
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r13_failed_and_hanging_connects_free_their_slots() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Hang, Behaviour::Fail(ErrorClass::Transient)]);
    let (waited, outcome) = ask(&pool, 1).remove(0).await.unwrap();
    drop(outcome.unwrap());
    assert!(waited >= secs(10) && waited <= secs(10) + ms(32), "{waited:?}");
    assert_eq!((server.calls(Op::Connect), server.peak()), (3, 1));
    usable(&server, &pool).await;
}
