//! Every indicator goes on when what it is for happens, and off when that has passed.

use pool_core::{ErrorClass, PoolConfig};
use pool_metrics::{Indicator, Monitor, Status};
use pool_testkit::{Behaviour, Op};
use tokio::time::sleep;

use crate::support::*;

const FAIL: Behaviour = Behaviour::Fail(ErrorClass::Transient);

/// Lets time pass, with a sample each second.
async fn pass(monitor: &Monitor, seconds: u64) {
    for _ in 0..seconds {
        monitor.sample();
        sleep(secs(1)).await;
    }
}

/// This one is on, and with it the status that it means.
#[track_caller]
fn on(monitor: &Monitor, indicator: Indicator) {
    let health = monitor.health();
    assert!(health.is_on(indicator), "{health:?}");
    assert!(health.status >= indicator.status());
    assert!(health.reasons.iter().all(|reason| reason.pool == "plots" && !reason.text.is_empty()));
}

#[track_caller]
fn off(monitor: &Monitor, indicator: Indicator) {
    let health = monitor.health();
    assert!(!health.is_on(indicator), "{health:?}");
}

/// Nothing at all is on once the window has passed.
async fn forgotten(monitor: &Monitor) {
    pass(monitor, 70).await;
    let health = monitor.health();
    assert_eq!((health.status, health.reasons.len()), (Status::Healthy, 0), "{health:?}");
}

#[tokio::test(start_paused = true)]
async fn closed() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 1).await;
    off(&monitor, Indicator::Closed);
    pool.close(secs(1)).await;
    on(&monitor, Indicator::Closed);
    assert_eq!(monitor.health().status, Status::Unhealthy);
    drop(pool);
    assert_eq!(monitor.health().status, Status::Healthy, "nobody has a handle: nobody needs it");
    assert!(monitor.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unreachable() {
    let monitor = Monitor::new();
    let (server, pool) = watched(&monitor, 2, |builder| builder.acquire_timeout(secs(5)));
    off(&monitor, Indicator::Unreachable); // not even tried
    server.always(Op::Connect, FAIL);
    pool.acquire().await.unwrap_err();
    on(&monitor, Indicator::Unreachable);
    on(&monitor, Indicator::FailingConnects);
    assert_eq!(monitor.health().status, Status::Unhealthy);

    // As long as it lasts, also when nobody asks.
    pass(&monitor, 100).await;
    on(&monitor, Indicator::Unreachable);
    off(&monitor, Indicator::FailingConnects);

    server.always(Op::Connect, Behaviour::Ok);
    rounds(&pool, 1).await;
    off(&monitor, Indicator::Unreachable);
    server.next(Op::Connect, [FAIL]);
    pool.invalidate_all();
    rounds(&pool, 1).await;
    off(&monitor, Indicator::Unreachable); // it has succeeded since
    on(&monitor, Indicator::FailingConnects); // within the window
    forgotten(&monitor).await;
}

#[tokio::test(start_paused = true)]
async fn exhausted_and_slow() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 1, |builder| builder.acquire_timeout(secs(1)));
    monitor.sample();
    let guard = pool.acquire().await.unwrap();
    off(&monitor, Indicator::Exhausted);
    pool.acquire().await.unwrap_err();
    on(&monitor, Indicator::Exhausted);
    pass(&monitor, 3).await;
    off(&monitor, Indicator::Exhausted); // nobody has been without one since
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().within(secs(10)).await.map(drop) }
    });
    sleep(ms(150)).await;
    on(&monitor, Indicator::Exhausted);
    on(&monitor, Indicator::ConnectionWaits); // who is first has waited for more than 100 ms
    assert_eq!(monitor.health().status, Status::Unhealthy);
    sleep(ms(900)).await;
    drop(guard);
    waiter.await.unwrap().unwrap();
    off(&monitor, Indicator::Exhausted);
    on(&monitor, Indicator::SlowAcquire); // of two acquires one waited for a second
    off(&monitor, Indicator::ConnectionWaits); // one wait is none to speak of
    forgotten(&monitor).await;
}

#[tokio::test(start_paused = true)]
async fn connection_waits() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 1, |builder| builder);
    rounds(&pool, 500).await;
    off(&monitor, Indicator::ConnectionWaits);
    short_waits(&pool, 5).await;
    off(&monitor, Indicator::ConnectionWaits);
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let guard = pool.acquire().await.unwrap();
                sleep(ms(20)).await;
                drop(guard);
            })
        })
        .collect();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    on(&monitor, Indicator::ConnectionWaits);
    rounds(&pool, 2_000).await;
    off(&monitor, Indicator::ConnectionWaits); // less than 1 %
    forgotten(&monitor).await;
}

/// Many at once, each of which waits for a moment.
async fn short_waits(pool: &TestPool, millis: u64) {
    let acquire = || {
        let pool = pool.clone();
        tokio::spawn(async move {
            let guard = pool.acquire().await.unwrap();
            sleep(ms(millis / 4)).await;
            drop(guard);
        })
    };
    for waiter in [acquire(), acquire(), acquire()] {
        waiter.await.unwrap();
    }
}

/// Who pings before each use does not wait for a connection.
#[tokio::test(start_paused = true)]
async fn a_careful_pool_is_healthy() {
    let monitor = Monitor::new();
    let careful = pool_core::Validation::Always;
    let (server, pool) = watched(&monitor, 4, |builder| builder.validation(careful).min_size(4));
    server.always(Op::Ping, Behaviour::Slow(ms(1)));
    pool.ready().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pool.acquire().await.unwrap());
    }
    drop(held);
    for _ in 0..90 {
        monitor.sample();
        rounds(&pool, 1).await;
        sleep(secs(1)).await;
        assert_eq!(monitor.health().reasons, [], "never");
    }
}

/// SQLite has one connection that writes: that readers are well is no help to who writes.
#[tokio::test(start_paused = true)]
async fn the_worse_side_counts() {
    let monitor = Monitor::new();
    let (_, writer) = watched(&monitor, 1, |builder| builder.name("file-write"));
    let (server, readers) = watched(&monitor, 8, |builder| builder.name("file-read"));
    ["plots", "plots-2"].into_iter().for_each(|name| monitor.forget(name));
    monitor.watch("file", [writer.view(), readers.view()]);
    rounds(&readers, 3).await;
    let leaked = writer.acquire().await.unwrap();
    for _ in 0..20 {
        monitor.sample();
        writer.acquire().within(ms(500)).await.unwrap_err();
        sleep(ms(500)).await;
    }
    let health = monitor.health();
    assert!(health.is_on(Indicator::Exhausted), "{health:?}");
    assert_eq!(health.status, Status::Unhealthy);
    assert!(health.reasons[0].text.starts_with("file-write: 1 of 1 in use"), "{health:?}");
    drop(leaked);
    pass(&monitor, 3).await;
    assert!(!monitor.health().is_on(Indicator::Exhausted));

    server.always(Op::Connect, FAIL);
    readers.invalidate_all();
    readers.acquire().within(secs(1)).await.unwrap_err();
    assert!(monitor.health().is_on(Indicator::Unreachable), "{:?}", monitor.health());
}

/// Nobody waits where nobody is willing to: they are refused all the same.
#[tokio::test(start_paused = true)]
async fn exhausted_for_who_does_not_wait() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    for _ in 0..5 {
        monitor.sample();
        pool.acquire().within(ms(0)).await.unwrap_err();
        sleep(secs(1)).await;
    }
    on(&monitor, Indicator::Exhausted);
    pass(&monitor, 3).await;
    off(&monitor, Indicator::Exhausted); // nobody has asked since
    drop(held);
    forgotten(&monitor).await;
}

#[tokio::test(start_paused = true)]
async fn suspended() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 1).await;
    pool.suspend();
    on(&monitor, Indicator::Suspended);
    assert_eq!(monitor.health().status, Status::Unhealthy);
    pool.resume();
    off(&monitor, Indicator::Suspended);
}

#[tokio::test(start_paused = true)]
async fn high_utilization() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 5, |builder| builder);
    pass(&monitor, 60).await;
    let mut guards = Vec::new();
    for _ in 0..5 {
        guards.push(pool.acquire().await.unwrap());
    }
    pass(&monitor, 10).await;
    off(&monitor, Indicator::HighUtilization); // ten seconds of sixty
    pass(&monitor, 50).await;
    on(&monitor, Indicator::HighUtilization);
    guards.truncate(4);
    pass(&monitor, 61).await;
    off(&monitor, Indicator::HighUtilization); // 80 % is not above 80 %
    drop(guards);
    forgotten(&monitor).await;
}

#[tokio::test(start_paused = true)]
async fn connection_churning_and_low_hit_rate() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 4, |builder| builder.max_idle(0));
    rounds(&pool, 4).await;
    off(&monitor, Indicator::ConnectionChurning); // each connection once
    rounds(&pool, 1).await;
    on(&monitor, Indicator::ConnectionChurning);
    off(&monitor, Indicator::LowHitRate); // five acquires say little
    rounds(&pool, 5).await;
    on(&monitor, Indicator::LowHitRate);

    pool.reconfigure(&PoolConfig::clone(&pool.config()).max_idle(4)).unwrap();
    rounds(&pool, 100).await;
    off(&monitor, Indicator::LowHitRate);
    forgotten(&monitor).await;

    // Those that somebody has ended do not count.
    for _ in 0..10 {
        pool.acquire().await.unwrap().invalidate();
    }
    off(&monitor, Indicator::ConnectionChurning);
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_issues() {
    let monitor = Monitor::new();
    let set = |builder: pool_core::Builder<_>| builder.idle_timeout(secs(2)).min_size(0);
    let (_, pool) = watched(&monitor, 6, set);
    for round in 0..4 {
        rounds(&pool, 1).await;
        pass(&monitor, 5).await;
        if round < 2 {
            off(&monitor, Indicator::IdleTimeoutIssues);
        }
    }
    on(&monitor, Indicator::IdleTimeoutIssues);
    forgotten(&monitor).await;
}

#[tokio::test(start_paused = true)]
async fn failing_health_checks() {
    let monitor = Monitor::new();
    let (server, _pool) = watched(&monitor, 2, |builder| builder);
    assert!(monitor.probe("nobody", secs(1)).await.is_none());
    assert_eq!(monitor.probe("plots", secs(1)).await.unwrap().error, None);
    off(&monitor, Indicator::FailingHealthChecks);

    server.always(Op::Ping, Behaviour::Hang);
    assert_eq!(
        monitor.probe("plots", secs(1)).await.unwrap().error,
        None,
        "a second has not passed"
    );
    sleep(secs(1)).await;
    let (one, other) =
        tokio::join!(monitor.probe("plots", secs(1)), monitor.probe("plots", secs(5)));
    assert!(one.as_ref().unwrap().error.is_some());
    assert_eq!(one, other, "who asks at the same time is told the same");
    assert_eq!(server.calls(Op::Ping), 2);
    on(&monitor, Indicator::FailingHealthChecks);

    server.always(Op::Ping, Behaviour::Ok);
    sleep(secs(1)).await;
    monitor.probe("plots", secs(1)).await.unwrap();
    off(&monitor, Indicator::FailingHealthChecks);

    // An old answer says nothing, and who asks in a hurry does not wait for who does not.
    server.always(Op::Ping, Behaviour::Hang);
    sleep(secs(1)).await;
    let patient = monitor.probe("plots", secs(30));
    let hurried = async {
        sleep(ms(1)).await;
        let begun = tokio::time::Instant::now();
        let probe = monitor.probe("plots", secs(1)).await.unwrap();
        assert!(probe.error.is_some() && begun.elapsed() == secs(1), "{probe:?}");
    };
    assert!(tokio::join!(patient, hurried).0.unwrap().error.is_some());
    on(&monitor, Indicator::FailingHealthChecks);
    sleep(secs(61)).await;
    off(&monitor, Indicator::FailingHealthChecks);
}

/// A connection found dead before its use is a failed check too.
#[tokio::test(start_paused = true)]
async fn failing_pings() {
    let monitor = Monitor::new();
    let (server, pool) =
        watched(&monitor, 2, |builder| builder.validation(pool_core::Validation::Always));
    rounds(&pool, 2).await;
    server.next(Op::Ping, [FAIL]);
    rounds(&pool, 1).await;
    on(&monitor, Indicator::FailingHealthChecks);
    forgotten(&monitor).await;
}

#[test]
fn every_indicator_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        Indicator::ALL.iter().map(|one| one.as_str()).collect();
    assert_eq!(names.len(), Indicator::ALL.len());
}
