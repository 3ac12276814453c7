//! R5: how many connects start, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pool_core::{AcquireErrorKind, ErrorClass, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r05_as_many_connects_as_are_needed_and_no_more() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(20)));
    let pool = builder(&server, 50).max_connecting(3).build().unwrap();
    for _ in 0..10 {
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let guard = pool.acquire().await.unwrap();
                    sleep(secs(1)).await;
                    drop(guard);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(server.calls(Op::Connect), 5, "as many as were ever in use at once");
    assert_eq!(server.peak_connecting(), 3);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r05_demand_that_has_vanished_starts_nothing() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    let pool = builder(&server, 10).max_connecting(1).build().unwrap();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.acquire().await) })
        })
        .collect();
    settle().await;
    assert_eq!((pool.snapshot().waiting, pool.snapshot().connecting), (10, 1));
    tasks.iter().for_each(|task| task.abort());
    sleep(secs(60)).await;
    assert_eq!(server.calls(Op::Connect), 1, "the one that was under way");
    assert_eq!(audit(&pool).idle, 1);
}

#[tokio::test(start_paused = true)]
async fn r05_nobody_waiting_means_no_attempts_while_the_server_is_down() {
    let (server, pool) = pool_of(10);
    server.down();
    let error = pool.acquire().within(secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    let attempts = server.calls(Op::Connect);
    sleep(secs(3600)).await;
    assert!(server.calls(Op::Connect) <= attempts + 1);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r05_an_outage_of_30_s_under_32_waiting_tasks() {
    let (server, pool) = pool_of(32);
    server.down();
    let begun = Instant::now();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().within(secs(40)).await.map(drop) })
        })
        .collect();
    sleep(secs(30)).await;
    let attempts = server.connects();
    // Two at once before the first failure, six pauses that double from 20 ms on, then one a second:
    // as many as the outage has of those, and a little more, since they are jittered.
    assert!((35..=39).contains(&attempts.len()), "{} attempts", attempts.len());
    assert_eq!(server.peak_connecting(), 1, "refused at once, so never two at a time");
    let mut pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let first = pauses.iter().position(|pause| !pause.is_zero()).unwrap();
    pauses.drain(..first);
    // Two failed together, so the first pause is the second of the row: 20 ms at most.
    for (n, pause) in pauses.iter().enumerate() {
        let most = (ms(20) * (1 << n.min(6))).min(secs(1));
        let least = if most < secs(1) { most / 2 } else { ms(950) };
        assert!((least..=most + ms(1)).contains(pause), "pause {n} is {pause:?}");
    }
    let distinct: std::collections::BTreeSet<_> = pauses[8..].iter().collect();
    assert!(distinct.len() > pauses[8..].len() / 2, "jittered: {distinct:?}");

    server.up();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(begun.elapsed() <= secs(32), "back within a pause or two: {:?}", begun.elapsed());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r05_after_a_failure_connects_go_one_at_a_time_until_one_succeeds() {
    let server = FakeServer::new();
    let pool = builder(&server, 16).max_connecting(8).build().unwrap();
    let slow_failure = Behaviour::FailAfter(ms(100), ErrorClass::Transient);
    server.next(Op::Connect, [slow_failure; 8]);
    server.always(Op::Connect, slow_failure);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.map(drop) })
        })
        .collect();
    settle().await;
    assert_eq!(pool.snapshot().connecting, 8);
    sleep(ms(101)).await;
    for _ in 0..1000 {
        sleep(ms(5)).await;
        assert!(pool.snapshot().connecting <= 1, "one at a time");
    }
    server.always(Op::Connect, Behaviour::Slow(ms(100)));
    let begun = Instant::now();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // The last failure and its pause, the first success, then eight at a time.
    assert!(begun.elapsed() <= secs(1) + ms(410), "{:?}", begun.elapsed());
    assert_eq!(server.peak_connecting(), 8);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r05_a_hook_that_refuses_every_connection_makes_no_storm() {
    for boxed in [false, true] {
        let server = FakeServer::new();
        server.always(Op::Connect, Behaviour::Slow(ms(1)));
        let builder = builder(&server, 4);
        let pool = match boxed {
            false => builder.before_acquire(|_| Err("never good enough".into())),
            true => builder
                .before_acquire_async(|_| Box::pin(async { Err("never good enough".into()) })),
        };
        let pool = pool.build().unwrap();
        let begun = Instant::now();
        let error = pool.acquire().within(secs(10)).await.unwrap_err();
        took(begun, secs(10));
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        let opened = server.calls(Op::Connect);
        assert!((10..=40).contains(&opened), "boxed {boxed}: {opened} connections in 10 s");
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r05_connections_that_are_born_broken_make_no_storm() {
    let (server, pool) = pool_of(4);
    server.always(Op::Connect, Behaviour::Slow(ms(1)));
    server.always(Op::Condition, Behaviour::Fail(ErrorClass::Transient));
    let error = pool.acquire().within(secs(10)).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    let opened = server.calls(Op::Connect);
    assert!((10..=40).contains(&opened), "{opened} connections in 10 s");
    server.always(Op::Condition, Behaviour::Ok);
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r05_the_minimums_are_no_reason_to_hammer_a_server_that_says_no_for_good() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let pool = builder(&server, 4).min_size(2).build().unwrap();
    sleep(secs(600)).await;
    let attempts = server.calls(Op::Connect);
    assert!((20..=24).contains(&attempts), "one in 30 s, but {attempts} in 600 s");
    server.always(Op::Connect, Behaviour::Ok);
    sleep(secs(31)).await;
    assert_eq!(audit(&pool).idle, 2);
}

#[tokio::test(start_paused = true)]
async fn r05_new_connections_whose_first_ping_fails_are_no_reason_to_hurry() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(2)));
    let pool = builder(&server, 3).acquire_timeout(secs(1)).validation(Validation::Always);
    let pool = pool.before_acquire_async(|_| {
        Box::pin(async {
            sleep(ms(1)).await;
            Ok(())
        })
    });
    let pool = pool.build().unwrap();
    warm(&pool, 3).await;
    let fail_after = |n| Behaviour::FailAfter(ms(n), ErrorClass::Transient);
    server.next(Op::Ping, [fail_after(1), fail_after(2), fail_after(3)]);
    server.always(Op::Ping, fail_after(1));
    // Each failed ping makes those suspect that are being opened, and so on.
    for task in ask(&pool, 6) {
        drop(task.await.unwrap());
    }
    let connects = server.calls(Op::Connect);
    assert!(connects < 30, "{connects} connects in a second");
}

#[tokio::test(start_paused = true)]
async fn r05_once_a_new_connection_was_used_the_next_is_trusted_again() {
    let (server, pool) = pool_of(1);
    let fail = || Behaviour::Fail(ErrorClass::Transient);
    server.next(Op::Condition, [fail(), fail(), fail(), fail(), fail(), fail()]);
    let begun = Instant::now();
    let guard = pool.acquire().await.unwrap();
    assert!(begun.elapsed() >= ms(300), "six pauses, each twice as long: {:?}", begun.elapsed());
    drop(guard);
    pool.acquire().await.unwrap().invalidate();
    server.next(Op::Condition, [fail()]);
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    assert!(begun.elapsed() <= ms(11), "the first pause again: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r05_returns_do_not_shorten_the_pauses_of_failing_connects() {
    let (server, pool) = pool_of(2);
    warm(&pool, 1).await;
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    for _ in 0..100 {
        let guard = pool.acquire().await.unwrap();
        let second = pool.acquire().within(ms(5)).await;
        assert!(second.is_err());
        drop(guard);
    }
    let attempts = server.calls(Op::Connect) - 1;
    assert!((3..=9).contains(&attempts), "{attempts} attempts in half a second");
}

#[tokio::test(start_paused = true)]
async fn r12_after_a_second_a_permanent_error_is_tried_again() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Permanent)]);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), AcquireErrorKind::Connect);
    sleep(ms(999)).await;
    assert_eq!(pool.acquire().await.unwrap_err().kind(), AcquireErrorKind::Connect);
    sleep(ms(1)).await;
    drop(pool.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn r05_one_waiter_has_one_connection_proven() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).validation(Validation::Always).build().unwrap();
    warm(&pool, 2).await;
    server.always(Op::Ping, Behaviour::Slow(ms(10)));
    let pings = server.calls(Op::Ping);
    drop(pool.acquire().await.unwrap());
    assert_eq!(server.calls(Op::Ping), pings + 1);
}

#[tokio::test(start_paused = true)]
async fn r05_who_comes_while_others_connect_adds_one() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    let pool = builder(&server, 8).max_connecting(8).build().unwrap();
    let mut tasks = Vec::new();
    for connecting in 1..=4 {
        tasks.extend(ask(&pool, 1));
        settle().await;
        assert_eq!(pool.snapshot().connecting, connecting);
    }
    for task in tasks {
        task.await.unwrap().1.unwrap();
    }
    assert_eq!(audit(&pool).open(), 4);
}

#[tokio::test(start_paused = true)]
async fn r05_a_used_connection_that_is_refused_holds_up_no_connect() {
    let (server, refuse) = (FakeServer::new(), Arc::new(AtomicBool::new(false)));
    let hook = refuse.clone();
    let pool = builder(&server, 1).before_acquire_async(move |_| {
        let refused = hook.swap(false, Ordering::Relaxed);
        Box::pin(async move { if refused { Err("not this one".into()) } else { Ok(()) } })
    });
    let pool = pool.build().unwrap();
    warm(&pool, 1).await;
    refuse.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id(), 2);
    took(begun, ms(0));
}
