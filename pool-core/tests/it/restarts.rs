//! R16: after a restart nothing suspect is handed out unproven.

use pool_core::Validation;
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

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

#[tokio::test(start_paused = true)]
async fn r16_a_ping_that_fails_makes_all_others_suspect() {
    let (server, pool) = pool_of(3);
    warm(&pool, 2).await;
    sleep(secs(4)).await;
    let recent = pool.acquire().await.unwrap();
    sleep(secs(2)).await;
    server.silence_all();
    let begun = Instant::now();
    let fresh = pool.acquire().await.unwrap(); // the ping of the other one comes to nothing
    took(begun, secs(2));
    assert_eq!((recent.id(), fresh.id()), (2, 3));
    drop(fresh);
    drop(recent); // just given back, and yet
    let mut guard = pool.acquire().await.unwrap();
    guard.query().expect("nothing suspect is handed out unproven");
    settle().await;
    assert_eq!((guard.id(), server.calls(Op::Ping)), (3, 2));
    drop(guard);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r16_a_ping_that_began_before_the_alarm_proves_nothing() {
    let server = FakeServer::new();
    server.always(Op::Ping, Behaviour::Slow(ms(50)));
    let pool = builder(&server, 2).validation(Validation::Always).build().unwrap();
    let mut guards = hold(&pool, 2).await;
    let held = guards.pop().unwrap();
    drop(guards);
    let waiters = ask(&pool, 1);
    sleep(ms(20)).await;
    server.kill(held.id());
    drop(held);
    for waiter in waiters {
        let (waited, outcome) = waiter.await.unwrap();
        assert_eq!((outcome.unwrap().id(), server.calls(Op::Ping)), (1, 2));
        assert!(waited >= ms(100), "{waited:?}");
    }
    audit(&pool);
}

/// It had logged in, and what came after took a while.
#[tokio::test(start_paused = true)]
async fn r16_a_connect_that_began_before_the_alarm_proves_nothing() {
    let server = FakeServer::new();
    let slowly = builder(&server, 2).after_connect_async(|_| {
        Box::pin(async {
            sleep(ms(50)).await;
            Ok(())
        })
    });
    let pool = slowly.build().unwrap();
    let held = pool.acquire().await.unwrap();
    let waiters = ask(&pool, 1);
    sleep(ms(20)).await;
    server.silence_all(); // a restart of which no FIN came through, but for one
    server.kill(held.id());
    drop(held);
    for waiter in waiters {
        let mut guard = waiter.await.unwrap().1.unwrap();
        guard.query().expect("nothing suspect is handed out unproven");
    }
    assert_eq!(server.calls(Op::Ping), 1);
    audit(&pool);
}
