//! R12: classes of connect errors. R13: every freed slot serves the queue. R16: restarts.

use std::error::Error;

use pool_core::{AcquireErrorKind, Cause, ErrorClass, Phase, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

/// Tasks that acquire, and tell when and how it ended.
fn ask(
    pool: &TestPool,
    tasks: usize,
) -> Vec<tokio::task::JoinHandle<(std::time::Duration, Result<TestGuard, pool_core::AcquireError>)>>
{
    let begun = Instant::now();
    (0..tasks)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let outcome = pool.acquire().await;
                (begun.elapsed(), outcome)
            })
        })
        .collect()
}

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
    sleep(secs(5)).await;
    guard.invalidate();
    for waiter in waiters {
        let (waited, outcome) = waiter.await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), AcquireErrorKind::Connect);
        assert!(waited <= secs(6) + ms(2), "{waited:?}");
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

#[tokio::test(start_paused = true)]
async fn r16_after_a_restart_no_dead_connection_is_handed_out() {
    let (server, pool) = pool_of(8);
    warm(&pool, 8).await;
    server.kill_all();
    for task in ask(&pool, 8) {
        let (waited, outcome) = task.await.unwrap();
        outcome.unwrap().query().unwrap();
        assert_eq!(waited, ms(0));
    }
    assert_eq!(server.hits_on_dead(), 0);
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r16_after_a_silent_cut_one_failed_probe_makes_all_others_suspect() {
    let server = FakeServer::new();
    let pool = builder(&server, 8).validation(Validation::Never).build().unwrap();
    warm(&pool, 8).await;
    server.silence_all();
    let mut first = pool.acquire().await.unwrap();
    assert!(first.query().is_err(), "one has to find out");
    drop(first);
    for round in 0..8 {
        let begun = Instant::now();
        pool.acquire().await.unwrap().query().unwrap();
        assert!(begun.elapsed() <= secs(2), "round {round} took {:?}", begun.elapsed());
    }
    assert_eq!(server.hits_on_dead(), 1);
    sleep(secs(60)).await;
    usable(&server, &pool).await;
    assert_eq!(server.hits_on_dead(), 1);
}

#[tokio::test(start_paused = true)]
async fn r16_doubt_costs_one_ping_each_and_no_connection_that_is_well() {
    let server = FakeServer::new();
    let pool = builder(&server, 8).validation(Validation::Never).build().unwrap();
    warm(&pool, 8).await;
    server.kill(8);
    for guard in hold(&pool, 7).await {
        drop(guard);
    }
    assert_eq!(server.calls(Op::Ping), 7);
    drop(hold(&pool, 7).await);
    assert_eq!(server.calls(Op::Ping), 7, "proven once is proven");
    assert_eq!(audit(&pool).counts.created, 8);
}

#[tokio::test(start_paused = true)]
async fn r16_a_server_that_restarts_under_load_is_found_again() {
    let server = FakeServer::new();
    let pool = builder(&server, 8).validation(Validation::IfIdleFor(secs(5))).build().unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut errors = 0;
                for _ in 0..100 {
                    let mut guard = pool.acquire().await.unwrap();
                    sleep(ms(10 + n)).await;
                    errors += u32::from(guard.query().is_err());
                }
                errors
            })
        })
        .collect();
    sleep(ms(500)).await;
    server.down();
    sleep(secs(3)).await;
    server.up();
    let mut errors = 0;
    for task in tasks {
        errors += task.await.unwrap();
    }
    assert!(errors <= 8, "only those in use then: {errors}");
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r16_connections_that_died_unused_are_reason_for_one_short_pause_at_most() {
    for silent in [false, true] {
        let server = FakeServer::new();
        let pool = builder(&server, 8).min_size(8).build().unwrap();
        pool.ready().await.unwrap();
        sleep(secs(3)).await;
        if silent {
            server.silence_all()
        } else {
            server.kill_all()
        }
        let begun = Instant::now();
        let first = pool.acquire().await.unwrap().query();
        assert!(silent || first.is_ok(), "only what nobody can see is handed out");
        pool.acquire().await.unwrap().query().unwrap();
        let most = if silent { secs(2) + ms(1) } else { ms(11) };
        assert!(begun.elapsed() <= most, "silent {silent}: {:?}", begun.elapsed());
        sleep(secs(30)).await;
        usable(&server, &pool).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r16_when_half_of_them_die_the_other_half_is_kept() {
    let (server, pool) = pool_of(8);
    warm(&pool, 8).await;
    server.kill_half();
    for guard in &mut hold(&pool, 8).await {
        guard.query().expect("no dead connection is handed out");
    }
    let kept = server.ids().into_iter().filter(|id| *id <= 8);
    assert_eq!(kept.collect::<Vec<_>>(), [1, 3, 5, 7]);
    assert_eq!((server.open(), audit(&pool).counts.created), (8, 12));
}
