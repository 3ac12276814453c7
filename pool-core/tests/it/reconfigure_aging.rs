//! R20 with R9 and R10: connections that are open age by other settings, too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{Closed, Limits, Metrics, PoolConfig, Validated};
use pool_testkit::{FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::reconfigure::set;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r20_the_idle_timeout_holds_for_what_is_idle_and_wakes_who_sleeps_until_the_old_one() {
    let (_, pool) = pool_of(4);
    warm(&pool, 2).await;
    sleep(secs(60)).await;
    let fresh = pool.acquire().await.unwrap();
    drop(fresh);
    set(&pool, "idle_timeout", |c| c.idle_timeout(secs(45)));
    settle().await; // no time passes
    assert_eq!(audit(&pool).idle, 1, "one was used a moment ago");
    sleep(secs(44)).await;
    assert_eq!(pool.snapshot().idle, 1);
    sleep(secs(1)).await;
    settle().await;
    assert_eq!((pool.snapshot().idle, audit(&pool).counts.ended.idle), (0, 2));

    warm(&pool, 1).await;
    set(&pool, "idle_timeout", |c| c.idle_timeout(secs(100)));
    sleep(secs(99)).await;
    assert_eq!(pool.snapshot().idle, 1, "a longer one holds too");
    sleep(secs(2)).await;
    assert_eq!(audit(&pool).idle, 0);
}

#[tokio::test(start_paused = true)]
async fn r09_a_shorter_lifetime_holds_for_what_is_open() {
    let server = FakeServer::new();
    let pool = builder(&server, 4).idle_timeout(None).lifetime_jitter(0.0).build().unwrap();
    let mut old = hold(&pool, 2).await;
    drop(old.pop());
    sleep(secs(30)).await;
    drop(hold(&pool, 2).await);
    let begun = Instant::now();
    set(&pool, "max_lifetime", |c| c.max_lifetime(secs(30)));
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, now.in_use, now.counts.ended.lifetime), (1, 1, 1), "{now:?}");
    drop(old);
    settle().await;
    assert_eq!(audit(&pool).counts.ended.lifetime, 2, "as it comes back");
    sleep(secs(29)).await;
    assert_eq!(pool.snapshot().idle, 1);
    sleep(secs(1)).await;
    settle().await;
    took(begun, secs(30));
    assert_eq!((pool.snapshot().idle, audit(&pool).counts.ended.lifetime), (0, 3));
}

/// Notes when connections ended or were pinged.
#[derive(Default)]
struct Times(Mutex<Vec<(&'static str, Instant)>>);

impl Times {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push((what, Instant::now()));
    }
}

impl Metrics for Times {
    fn closed(&self, _: &Closed<'_>) {
        self.note("closed");
    }
    fn validated(&self, _: &Validated<'_>) {
        self.note("pinged");
    }
}

/// What happens to six connections within half an hour, in a pool built with the first settings and
/// reconfigured to the second after so many seconds.
async fn life(
    first: &PoolConfig,
    then: &PoolConfig,
    after: u64,
    limits: Limits,
) -> Vec<(&'static str, Duration)> {
    let (server, times) = (FakeServer::new(), Arc::new(Times::default()));
    server.limits(limits);
    let config = first.clone().max_size(6).idle_timeout(None).flight_recorder(1 << 16);
    let pool = builder(&server, 6).config(config.clone()).metrics(times.clone()).build().unwrap();
    let begun = Instant::now();
    warm(&pool, 6).await;
    sleep(secs(after)).await;
    let then = then.clone().max_size(6).idle_timeout(None).flight_recorder(1 << 16);
    pool.reconfigure(&then).unwrap();
    sleep(secs(1800 - after)).await;
    audit(&pool);
    assert_eq!(server.cut(), 0, "R10");
    let times = times.0.lock().unwrap();
    times.iter().map(|(what, at)| (*what, *at - begun)).collect()
}

#[tokio::test(start_paused = true)]
async fn r09_r10_connections_age_as_if_the_pool_had_been_built_so() {
    let never = PoolConfig::new().max_lifetime(None);
    let ways = [
        never.clone().max_lifetime(secs(900)).lifetime_jitter(0.7),
        never.clone().keepalive(secs(400)),
        never.clone().max_lifetime(secs(1000)).lifetime_jitter(1.0).keepalive(secs(300)),
        never.clone(),
    ];
    let idle = Limits::none().idle(secs(1000));
    for limits in [Limits::none(), idle, idle.lifetime(secs(800))] {
        for to in &ways {
            let built = life(to, to, 1, limits).await;
            for from in &ways {
                let reconfigured = life(from, to, 1, limits).await;
                assert_eq!(reconfigured, built, "{limits:?}: {from:?} to {to:?}");
            }
            let silent = limits == Limits::none() && *to == never;
            assert_eq!(built.is_empty(), silent, "{limits:?}: {to:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r20_a_keepalive_that_is_overdue_is_caught_up_with() {
    let (server, pool) = pool_of(2);
    warm(&pool, 2).await;
    sleep(secs(60)).await;
    set(&pool, "keepalive", |c| c.keepalive(secs(50)));
    settle().await;
    assert_eq!((server.calls(Op::Ping), audit(&pool).idle), (2, 2));
    set(&pool, "keepalive", |c| c.keepalive(None));
    sleep(secs(300)).await;
    assert_eq!(server.calls(Op::Ping), 2);
}
