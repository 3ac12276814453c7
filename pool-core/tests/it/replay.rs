//! The flight recorder: a whole busy life replayed.

use pool_core::{Cause, ErrorClass, PoolConfig, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

/// Everything that can happen to a pool, at once.
async fn busy(pool: &TestPool, server: &FakeServer) {
    let tasks: Vec<_> = (0..200_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                sleep(ms(n * 5 % 601)).await;
                let Ok(mut guard) = pool.acquire().within(ms(1 + n * 37 % 400)).await else {
                    return;
                };
                sleep(ms(n * 3 % 31)).await;
                match n % 8 {
                    0 => guard.begin(),
                    1 => guard.soil(Cause::SessionState),
                    2 => guard.invalidate(),
                    3 => drop(guard.detach()),
                    4 => panic!("a bug in the application"),
                    _ => {}
                }
            })
        })
        .collect();
    for step in 0..60 {
        sleep(ms(10)).await;
        match step {
            5 => tasks.iter().step_by(9).for_each(|task| task.abort()),
            10 => server.kill_all(),
            15 => pool.suspend(),
            20 => pool.resume(),
            25 => pool.resize(&PoolConfig::new().max_size(2)).unwrap(),
            30 => server.silence_half(),
            35 => pool.resize(&PoolConfig::new().max_size(6).min_idle(2)).unwrap(),
            40 => pool.invalidate_all(),
            45 => drop(pool.retain(|connection| connection.id() % 2 == 0)),
            50 => server.down(),
            55 => server.up(),
            _ => {}
        }
    }
    for task in tasks {
        let _ = task.await;
    }
}

fn faulty() -> FakeServer {
    let server = FakeServer::new();
    let fail = Behaviour::Fail(ErrorClass::Transient);
    server.next(Op::Connect, [Behaviour::Slow(ms(20)), fail, Behaviour::Panic, Behaviour::Ok]);
    server.next(Op::Reset, [Behaviour::Ok, fail, Behaviour::Slow(ms(9)), Behaviour::Panic]);
    server.next(Op::Ping, [Behaviour::Ok, Behaviour::Slow(ms(5)), fail]);
    server
}

#[tokio::test(start_paused = true)]
async fn a_whole_busy_life_is_replayed_to_the_same_end() {
    let server = faulty();
    let pool = builder(&server, 5)
        .validation(Validation::IfIdleFor(ms(15)))
        .max_lifetime(secs(5))
        .idle_timeout(secs(2))
        .keepalive(secs(1))
        .leak_after(ms(20))
        .flight_recorder(1 << 20)
        .build()
        .unwrap();
    let mut forgotten = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut forgotten).await.is_pending());
    busy(&pool, &server).await;
    drop(forgotten);
    sleep(secs(10)).await;
    let recording = pool.flight_recording();
    recording.replay().unwrap();
    assert!(recording.len() > 700, "{}", recording.len());

    let guard = pool.acquire().await.unwrap();
    let closing = pool.close(secs(1));
    sleep(ms(10)).await;
    drop(guard);
    assert!(closing.await.is_complete());
    let recording = pool.flight_recording();
    recording.replay().unwrap();
    assert_eq!(recording.overwritten(), 0);
    let text = recording.to_string();
    for event in ["Enqueue", "GiveUp", "TakeIdle", "Suspend", "Retune", "SuspectAll", "Shut"] {
        assert!(event == "SuspectAll" || text.contains(event), "the scene is to have: {event}");
    }
    let counts = audit(&pool).counts;
    assert!(counts.cancelled > 0 && counts.timed_out > 0 && counts.taken_back > 0, "{counts:?}");
    assert!(counts.reset > 0 && counts.ended.validation > 0 && counts.leaks > 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_has_overwritten_events_says_so_and_is_not_replayed() {
    let server = faulty();
    let pool = builder(&server, 5).flight_recorder(16).build().unwrap();
    busy(&pool, &server).await;
    let recording = pool.flight_recording();
    assert_eq!(recording.len(), 16);
    assert!(recording.overwritten() > 500);
    let why = recording.replay().unwrap_err();
    assert!(why.contains("overwritten") && why.contains("flight_recorder"), "{why}");
    assert!(recording.to_string().starts_with(&format!("({} older", recording.overwritten())));
}

#[tokio::test(start_paused = true)]
async fn a_recorder_of_size_zero_is_off() {
    let server = faulty();
    let pool = builder(&server, 5).flight_recorder(0).build().unwrap();
    busy(&pool, &server).await;
    assert!(pool.flight_recording().is_empty());
    assert!(pool.flight_recording().replay().is_err());
}
