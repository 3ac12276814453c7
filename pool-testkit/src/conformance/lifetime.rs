//! Cases on lifetime: how old connections get, who goes when, and what the server cuts (R9, R10).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pool_core::{
    Cause, Condition, ConnectContext, ErrorClass, Limits, ManagedPool, Manager, PoolExt, Reset,
};
use tokio::time::{Instant, sleep};

use super::harness::{Feature, Harness, Outcome};
use super::trial::Trial;
use crate::{FaultyConnection, Op};

const SHORT: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_millis(600);

/// R9: the lifetime is enforced on return too: a connection that is always busy comes to its end as
/// well.
///
/// Origin: bb8 and r2d2 looked at idle connections only (bb8 PR #224).
pub async fn r09_a_connection_that_is_never_idle_ends_too<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Lifetime)?;
    let pool = t.pool(t.config(1).max_lifetime(SHORT).lifetime_jitter(0.0)).await?;
    let over = Arc::new(AtomicBool::new(false));
    // From one to the other and back, for there is always one who waits.
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (pool, over) = (pool.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let guard = pool.acquire().await.expect("served");
                    sleep(Duration::from_millis(3)).await;
                    drop(guard);
                }
            })
        })
        .collect();
    t.eventually("another was opened in its place", || t.faults.calls(Op::Connect) >= 2).await;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no panic");
    }
    Ok(())
}

/// R9: nor does it wait for the next user: what has outlived its lifetime in somebody's hands is
/// closed when it comes back, and does not lie about.
///
/// Origin: bb8 put it back among the idle ones (bb8 PR #224).
pub async fn r09_what_comes_back_too_old_is_closed<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Lifetime)?;
    let pool = t.pool(t.config(1).max_lifetime(SHORT).lifetime_jitter(0.0)).await?;
    let guards = t.hold(&pool, 1).await;
    sleep(SHORT * 2).await;
    assert_eq!(t.faults.calls(Op::Drop), 0, "it is in use");
    drop(guards);
    t.eventually("it was closed", || t.faults.calls(Op::Drop) == 1).await;
    Ok(())
}

/// R9: connections that were born together do not end together.
///
/// Origin: after each lifetime a storm of connects (transact-rs/sqlx#2854, #3292).
pub async fn r09_a_cohort_does_not_expire_together<H: Harness>(t: Trial<H>) -> Outcome {
    const COHORT: u32 = 20;
    t.needs(Feature::Lifetime)?;
    // On a machine that stands still while they end, it proves nothing: once more, and slower.
    for slower in [1, 2, 4, 8] {
        let lifetime = LIFETIME * slower;
        let config = t.config(COHORT).max_connecting(COHORT);
        let config = config.idle_timeout(None).max_lifetime(lifetime).lifetime_jitter(0.5);
        let pool = t.pool(config).await?;
        // Those that say goodbye too: how long that takes is the server's, who may stand still.
        let ended = || {
            let now = pool.snapshot();
            u64::from(now.closing) + now.counts.ended.total()
        };
        drop(t.hold(&pool, COHORT).await);
        let (begun, mut before, mut last) = (Instant::now(), ended(), Duration::ZERO);
        let mut seen = 0;
        while begun.elapsed() < lifetime + SHORT {
            let stretch = Instant::now();
            sleep(Duration::from_millis(30)).await;
            let (now, stretch) = (ended(), stretch.elapsed());
            if stretch.max(last) < lifetime / 10 {
                let ended = now - before;
                assert!(ended <= u64::from(COHORT / 2), "{ended} of {COHORT} ended in {stretch:?}");
                seen += ended;
            }
            (before, last) = (now, stretch);
        }
        if seen > u64::from(COHORT / 2) {
            break;
        }
        pool.close(LIFETIME).await;
    }
    Ok(())
}

/// R9: each connection draws its share of the lifetime once, at birth. Were it drawn anew at each
/// look, connections that are looked at often would all end at the earliest moment.
///
/// Origin: pgx drew it at each check and so lost the spread (pgx #1437).
pub async fn r09_the_jitter_is_fixed_at_birth<H: Harness>(t: Trial<H>) -> Outcome {
    const COHORT: u32 = 10;
    t.needs(Feature::Lifetime)?;
    let config = t.config(COHORT).max_connecting(COHORT);
    let config = config.idle_timeout(None).max_lifetime(LIFETIME).lifetime_jitter(0.5);
    let pool = t.pool(config).await?;
    let begun = Instant::now();
    drop(t.hold(&pool, COHORT).await);
    // A third into the time over which they end, when two thirds should still be there.
    let mut eldest = 0;
    while begun.elapsed() < LIFETIME * 65 / 100 {
        let guards = t.hold(&pool, COHORT).await;
        let numbers = guards.iter().map(|guard| FaultyConnection::number(guard));
        eldest = numbers.min().expect("there are some");
        drop(guards);
        sleep(Duration::from_millis(3)).await;
    }
    // On a machine that stood still in between it proves nothing.
    if begun.elapsed() < LIFETIME * 75 / 100 {
        assert!(eldest <= u64::from(COHORT), "all were replaced: the eldest is number {eldest}");
    }
    Ok(())
}

/// R9: pruning never goes below the minimum: it neither closes what it would have to open again,
/// nor opens what it will close.
pub async fn r09_pruning_leaves_the_minimum_alone<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::IdleTimeout)?;
    t.needs(Feature::Minimums)?;
    let config = t.config(4).min_size(2).min_idle(2);
    let pool = t.pool(config.idle_timeout(Duration::from_millis(20))).await?;
    t.eventually("the minimum is there", || t.watch.alive() >= 2).await;
    for _ in 0..15 {
        sleep(Duration::from_millis(20)).await;
        assert_eq!(t.watch.alive(), 2, "the minimum is kept");
    }
    assert_eq!(t.faults.calls(Op::Connect), 2, "and by the same two");
    drop(pool);
    Ok(())
}

/// R9: pruning never takes what a waiter needs: a connection that comes back goes to who waits,
/// however short the idle timeout.
///
/// Origin: sqlx's maintenance acquires connections like a user, and so could take one that somebody
/// waited for.
pub async fn r09_pruning_takes_nothing_that_a_waiter_needs<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::IdleTimeout)?;
    let pool = t.pool(t.config(1).idle_timeout(Duration::from_millis(1))).await?;
    for _ in 0..30 {
        let guard = pool.acquire().await.expect("nobody else asks");
        let waiting = t.ask(&pool);
        sleep(Duration::from_millis(3)).await;
        let ended = t.faults.calls(Op::Drop);
        drop(guard);
        drop(waiting.await.expect("no panic").expect("served"));
        assert_eq!(t.faults.calls(Op::Drop), ended, "it was closed instead");
    }
    Ok(())
}

/// R10: what the server would cut for being idle is closed before, whatever the pool's own limits.
///
/// Origin: MySQL's `wait_timeout` (mysql_async #105, go-sql-driver/mysql #446).
pub async fn r10_what_the_server_would_cut_ends_before<H: Harness>(t: Trial<H>) -> Outcome {
    stays_ahead_of(t, Limits::none().idle(SHORT * 3), SHORT * 3).await
}

/// R10: a lifetime that the server sets counts like the pool's own.
///
/// Origin: tokens that expire after a quarter of an hour (transact-rs/sqlx#445, #3117).
pub async fn r10_a_lifetime_of_the_servers_counts<H: Harness>(t: Trial<H>) -> Outcome {
    stays_ahead_of(t, Limits::none().lifetime(SHORT * 3), SHORT * 3).await
}

async fn stays_ahead_of<H: Harness>(t: Trial<H>, limits: Limits, limit: Duration) -> Outcome {
    let config = t.config(1).idle_timeout(None).max_lifetime(None);
    t.managed(config.clone())?; // only where it is ours
    let limited = Limited { manager: t.manager(), limits };
    let pool = ManagedPool::builder(limited).config(config).build().expect("valid settings");
    drop(pool.acquire().await.expect("there is room"));
    let begun = Instant::now();
    t.eventually("it was closed", || t.watch.alive() == 0).await;
    let elapsed = begun.elapsed();
    assert!(elapsed <= limit + t.slack(), "after {elapsed:?}, but the limit is {limit:?}");
    Ok(())
}

/// A manager whose server has limits.
struct Limited<M> {
    manager: M,
    limits: Limits,
}

impl<M: Manager> Manager for Limited<M> {
    type Connection = M::Connection;
    type Error = M::Error;

    async fn connect(&self, cx: &ConnectContext) -> Result<M::Connection, M::Error> {
        self.manager.connect(cx).await
    }

    async fn ping(&self, connection: &mut M::Connection) -> Result<(), M::Error> {
        self.manager.ping(connection).await
    }

    fn condition(&self, connection: &mut M::Connection) -> Condition {
        self.manager.condition(connection)
    }

    async fn reset(&self, connection: &mut M::Connection, why: Cause) -> Result<Reset, M::Error> {
        self.manager.reset(connection, why).await
    }

    async fn close(&self, connection: M::Connection) {
        self.manager.close(connection).await;
    }

    fn classify(&self, error: &M::Error) -> ErrorClass {
        self.manager.classify(error)
    }

    fn limits(&self, _: &M::Connection) -> Limits {
        self.limits
    }
}
