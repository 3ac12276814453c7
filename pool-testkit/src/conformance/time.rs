//! Cases on time: one deadline, whatever hangs, and what durations mean (R7, R8).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::{PoolExt, Request, Validation};
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Feature, Harness, Outcome};
use super::trial::Trial;
use crate::{Behaviour, Op};

const SHORT: Duration = Duration::from_millis(150);
/// So long that no case would wait for it.
const NEVER: Duration = Duration::from_secs(3600);

/// R7: an acquire ends in time when the connect hangs.
///
/// Origin: with bb8 it waited for ever, and one hang starved those who came later.
pub async fn r07_a_connect_that_hangs<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(1).acquire_timeout(SHORT).connect_timeout(NEVER)).await?;
    t.faults.always(Op::Connect, Behaviour::Hang);
    t.in_time(SHORT, pool.acquire()).await;
    Ok(())
}

/// R7: an acquire ends in time when the ping hangs.
///
/// Origin: a network that drops packets, and a check that blocks for ever (diesel #3016).
pub async fn r07_a_ping_that_hangs<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    t.needs(Feature::Validation)?;
    let config = t.config(1).acquire_timeout(SHORT).ping_timeout(NEVER);
    let pool = t.pool(config.validation(Validation::Always)).await?;
    drop(t.patient(&pool).await);
    t.settle().await;
    t.faults.always(Op::Ping, Behaviour::Hang);
    t.in_time(SHORT, pool.acquire()).await;
    Ok(())
}

/// R7: a ping that hangs costs its own deadline only: the same acquire gets another connection.
///
/// Origin: the ping of a connection into a black hole used up the whole time that its caller had,
/// thirty seconds (transact-rs/sqlx#4146).
pub async fn r07_a_ping_that_hangs_does_not_use_up_the_acquire<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let config = t.config(1).ping_timeout(Duration::from_millis(50));
    let pool = t.pool(config.validation(Validation::Always)).await?;
    drop(t.hold(&pool, 1).await);
    t.settle().await;
    t.faults.next(Op::Ping, [Behaviour::Hang]);
    let acquired = timeout(Duration::from_secs(5), pool.acquire()).await;
    let acquired = acquired.expect("not as long as it may take");
    drop(acquired.expect("a fresh one, within the same acquire"));
    Ok(())
}

/// R7: an acquire ends in time when the reset of the only connection hangs. (Needs something to
/// reset: an open transaction.)
pub async fn r07_a_reset_that_hangs<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(1).acquire_timeout(SHORT).reset_timeout(NEVER)).await?;
    let mut guard = t.patient(&pool).await;
    t.harness.begin(&mut guard).await;
    t.faults.always(Op::Reset, Behaviour::Hang);
    drop(guard);
    t.in_time(SHORT, pool.acquire()).await;
    Ok(())
}

/// R7: an acquire ends in time when the goodbye of the only connection hangs.
pub async fn r07_a_close_that_hangs<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    t.needs(Feature::Invalidate)?;
    let pool = t.pool(t.config(1).acquire_timeout(SHORT).close_timeout(NEVER)).await?;
    let guard = t.patient(&pool).await;
    t.faults.always(Op::Close, Behaviour::Hang);
    guard.invalidate();
    t.in_time(SHORT, pool.acquire()).await;
    Ok(())
}

/// R7: an acquire ends in time when all connections are held and none comes back.
pub async fn r07_holders_who_never_return<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(1).acquire_timeout(SHORT)).await?;
    let guard = t.patient(&pool).await;
    let begun = Instant::now();
    t.in_time(SHORT, async {
        let acquired = pool.acquire().await;
        assert!(acquired.is_err(), "there is none to be had");
        acquired
    })
    .await;
    t.took(begun, SHORT);
    drop(guard);
    Ok(())
}

/// R7: one connect that hangs does not keep others from being served over other connections.
///
/// Origin: serial connects in bb8, where one hang starved everybody.
pub async fn r07_one_connect_that_hangs_does_not_starve_the_others<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(2).connect_timeout(NEVER)).await?;
    t.faults.next(Op::Connect, [Behaviour::Hang]);
    let served = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (pool, served) = (pool.clone(), served.clone());
            tokio::spawn(async move {
                drop(pool.acquire().await.expect("served"));
                served.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    // All but the one that may be caught in the hanging connect itself.
    t.eventually("the others are served", || served.load(Ordering::Relaxed) >= 2).await;
    tasks.iter().for_each(|task| task.abort());
    Ok(())
}

/// R8: a deadline of zero tries once: it gets what is idle, and never waits.
///
/// Origin: pools in which zero means "without limit" (HikariCP), or nothing (fast_pool).
pub async fn r08_zero_tries_once<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::TimeoutPerAcquire)?;
    let pool = t.pool(t.config(1)).await?;
    let guards = t.hold(&pool, 1).await;
    let zero = Request::new().within(Duration::ZERO);
    t.in_time(Duration::ZERO, async {
        let acquired = pool.acquire_with(zero).await;
        assert!(acquired.is_err(), "there is none to be had");
        acquired
    })
    .await;
    drop(guards);
    t.settle().await;
    drop(pool.acquire_with(zero).await.expect("one is idle"));
    Ok(())
}

/// R8: zero as the pool's own setting does not mean "without limit" either.
///
/// Origin: HikariCP, where it does.
pub async fn r08_zero_as_a_setting_is_not_limitlessness<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(1).acquire_timeout(Duration::ZERO)).await?;
    t.faults.always(Op::Connect, Behaviour::Hang);
    t.in_time(Duration::ZERO, pool.acquire()).await;
    Ok(())
}

/// R8: no timeout waits for as long as it takes.
///
/// Origin: fast_pool, where `None` and zero were mixed up.
pub async fn r08_none_waits_without_limit<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1).acquire_timeout(None)).await?;
    let guards = t.hold(&pool, 1).await;
    let waiting = t.ask(&pool);
    // Where time costs nothing, longer than any default.
    sleep(if H::PAUSED { NEVER * 24 } else { SHORT * 2 }).await;
    assert!(!waiting.is_finished(), "it gave up");
    drop(guards);
    drop(waiting.await.expect("no panic").expect("served in the end"));
    Ok(())
}

/// R8: a timeout of one acquire counts instead of the pool's, be it shorter, longer or none.
///
/// Origin: the wish for one, and what it is to mean (r2d2 PR #73).
pub async fn r08_a_timeout_per_acquire_counts_instead_of_the_pools<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::TimeoutPerAcquire)?;
    let patient = t.pool(t.config(1).acquire_timeout(NEVER)).await?;
    let guards = t.hold(&patient, 1).await;
    t.in_time(SHORT, patient.acquire_with(Request::new().within(SHORT))).await;
    drop(guards);

    let hasty = t.pool(t.config(1).acquire_timeout(Duration::from_millis(1))).await?;
    let guard = t.patient(&hasty).await;
    let ask = |within: Option<Duration>| {
        let pool = hasty.clone();
        tokio::spawn(
            async move { pool.acquire_with(Request::new().within(within)).await.map(drop) },
        )
    };
    let waiting = [ask(Some(NEVER)), ask(None)];
    sleep(SHORT).await;
    assert!(!waiting[0].is_finished(), "a longer timeout is not cut short");
    assert!(!waiting[1].is_finished(), "no timeout is not cut short");
    drop(guard);
    for waiting in waiting {
        waiting.await.expect("no panic").expect("served in the end");
    }
    Ok(())
}

/// R8: no duration overflows.
///
/// `Instant::now() + timeout` panics from some length on.
pub async fn r08_the_longest_durations_do_not_overflow<H: Harness>(t: Trial<H>) -> Outcome {
    let config = t
        .config(1)
        .acquire_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .ping_timeout(Duration::MAX)
        .reset_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX)
        .backoff_cap(Duration::MAX)
        .leak_after(Duration::MAX)
        .validation(Validation::IfIdleFor(Duration::MAX));
    let pool = t.pool(config).await?;
    let guard = pool.acquire().await.expect("there is room");
    let waiting = t.ask(&pool);
    t.settle().await;
    drop(guard);
    drop(waiting.await.expect("no panic").expect("served"));
    t.settle().await;
    drop(pool.acquire().await.expect("it is idle"));
    assert_eq!(t.faults.calls(Op::Drop), 0, "a connection came to its end at once");
    Ok(())
}
