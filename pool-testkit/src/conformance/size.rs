//! Cases on size: the bound, the minimums, the spare connections (R1, R6).

use std::time::Duration;

use pool_core::{ErrorClass, PoolExt, Snapshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::harness::{Feature, Harness, Outcome, SharedPool};
use super::trial::Trial;
use crate::poll_times;
use crate::{Behaviour, Op};

const SHORT: Duration = Duration::from_millis(60);

/// R1: however many ask, there are never more connections than `max_size`, those being opened
/// counted.
///
/// Origin: a counter that ran below zero in sqlx (transact-rs/sqlx#3645, #4289).
pub async fn r01_never_more_than_max_size<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(3)).await?;
    let tasks: Vec<_> = (0..24)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let guard = pool.acquire().await.expect("served in the end");
                let snapshot = pool.snapshot();
                assert!(snapshot.open() <= 3, "{snapshot:?}");
                yield_now().await;
                drop(guard);
            })
        })
        .collect();
    for task in tasks {
        if let Err(error) = task.await {
            std::panic::resume_unwind(error.into_panic());
        }
        assert!(t.watch.peak() <= 3, "{} connections at once", t.watch.peak());
    }
    Ok(())
}

/// R1: also while connections are given up, found broken, fail to open, and acquires are cancelled
/// at any moment, there are never more connections than `max_size`.
///
/// Origin: permits and connections counted apart in sqlx (transact-rs/sqlx#3645), a size that went
/// adrift in deadpool (#18, #92, #205) and in mysql_async (#44).
pub async fn r01_churn_never_exceeds_max_size<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(3)).await?;
    churn(&t, &pool, |_| {}).await;
    assert!(t.watch.peak() <= 3, "{} connections at once", t.watch.peak());
    Ok(())
}

/// R1: what a pool says of itself while all that goes on is never more than `max_size` either, each
/// figure and their sum.
///
/// Origin: `num_idle` above the size, after a wrap below zero, in sqlx (transact-rs/sqlx#3645,
/// #4289); wrong gauges in mobc (#82).
pub async fn r01_gauges_never_exceed_max_size<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(3)).await?;
    churn(&t, &pool, |now| {
        let Snapshot { idle, in_use, connecting, validating, resetting, closing, .. } = *now;
        let gauges = [idle, in_use, connecting, validating, resetting, closing];
        assert!(gauges.iter().all(|gauge| *gauge <= 3), "{now:?}");
        // Summed without wrapping, whatever they are.
        let sum: u64 = gauges.into_iter().map(u64::from).sum();
        assert!(sum <= 3, "{now:?}");
    })
    .await;
    Ok(())
}

/// Twelve tasks that use a pool in every way there is, with faults; and a look at it after each.
async fn churn<H: Harness>(
    t: &Trial<H>,
    pool: &SharedPool<H>,
    look: impl Fn(&Snapshot) + Copy + Send + 'static,
) {
    let can_invalidate = t.harness.lacks(Feature::Invalidate).is_none();
    for n in [4, 9, 14] {
        t.faults.at(Op::Connect, n, Behaviour::Fail(ErrorClass::Transient));
    }
    for n in (10..200).step_by(17) {
        t.faults.at(Op::Condition, n, Behaviour::Fail(ErrorClass::Transient));
    }
    let tasks: Vec<_> = (0..12)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..12 {
                    let way = (task * 7 + round * 5) % 6;
                    if way < 2 {
                        drop(poll_times(pool.acquire(), 1 + way, round % 2 == 0).await);
                    } else if let Ok(guard) = pool.acquire().await {
                        look(&pool.snapshot());
                        yield_now().await;
                        match way {
                            2 if can_invalidate => guard.invalidate(),
                            _ => drop(guard),
                        }
                    }
                    look(&pool.snapshot());
                    yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        if let Err(error) = task.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// R6: without a minimum nothing is opened before somebody asks.
///
/// Origin: r2d2 opens `max_size` connections at its start unless told otherwise.
pub async fn r06_without_a_minimum_nothing_is_opened_before_it_is_asked_for<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(10)).await?;
    sleep(SHORT).await;
    assert_eq!(t.faults.calls(Op::Connect), 0, "nobody has asked");
    drop(pool);
    Ok(())
}

/// R6: `min_size` counts the connections in use: taking them opens no others.
///
/// Origin: "min" means the one or the other in every pool (transact-rs/sqlx#1472).
pub async fn r06_min_size_counts_those_in_use<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::MinSize)?;
    let pool = t.pool(t.config(6).min_size(2)).await?;
    t.eventually("two are open", || t.watch.alive() >= 2).await;
    let guards = t.hold(&pool, 2).await;
    sleep(SHORT).await;
    assert_eq!(t.faults.calls(Op::Connect), 2, "the two in use are enough");
    drop(guards);
    Ok(())
}

/// R6: `min_idle` counts spare connections only: those taken are replaced ahead of demand.
///
/// Origin: the wish for a reserve that follows the load (transact-rs/sqlx#1472).
pub async fn r06_min_idle_is_kept_on_top_of_those_in_use<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::MinIdle)?;
    let pool = t.pool(t.config(6).min_idle(2)).await?;
    t.eventually("two are spare", || t.watch.alive() >= 2).await;
    let guards = t.hold(&pool, 3).await;
    t.eventually("two are spare again", || t.watch.alive() >= 5).await;
    drop(guards);
    Ok(())
}

/// R6: above `max_idle` a connection that comes back is closed.
pub async fn r06_above_max_idle_a_returned_connection_is_closed<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::MaxIdle)?;
    let pool = t.pool(t.config(6).max_idle(2)).await?;
    let guards = t.hold(&pool, 6).await;
    drop(guards);
    t.eventually("the surplus is closed", || t.watch.alive() <= 2).await;
    sleep(SHORT).await;
    assert_eq!(t.watch.alive(), 2, "and no more than that");
    drop(pool);
    Ok(())
}

/// R6: after a burst a pool shrinks back to its minimum, without anybody asking it for anything.
///
/// Origin: mobc looked for idle connections only when one was asked for (#58, #98).
pub async fn r06_it_shrinks_back_to_its_minimum_with_nobody_asking<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::IdleTimeout)?;
    t.needs(Feature::Minimums)?;
    let config = t.config(6).min_size(1).min_idle(1).idle_timeout(SHORT);
    let pool = t.pool(config).await?;
    let guards = t.hold(&pool, 6).await;
    drop(guards);
    t.eventually("one is left", || t.watch.alive() <= 1).await;
    drop(pool);
    Ok(())
}
