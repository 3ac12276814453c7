//! Cases on cancelling: acquires dropped at any moment, work cut off by its deadline (R14).

use std::future::pending;

use pool_core::{Cause, Request, Validation};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::harness::{Cannot, Feature, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::{Trial, poll_once};
use crate::FaultyConnection;
use crate::poll_times;
use crate::{Behaviour, Op};

/// Sets a scene and drops an acquire in it at its first poll, at its second, and so on, until one
/// is served: alone, and with somebody before and behind it. Each time the pool has to be whole
/// afterwards.
async fn at_every_poll<H: Harness>(
    t: &Trial<H>,
    max_size: u32,
    scene: impl AsyncFn() -> Result<SharedPool<H>, Cannot>,
) -> Outcome {
    for (at_once, company) in [(true, false), (false, false), (true, true), (false, true)] {
        for polls in 0.. {
            assert!(polls < 200, "never served");
            t.faults.clear();
            let pool = scene().await?;
            let ahead = company.then(|| t.pass_by(&pool));
            for _ in 0..4 {
                yield_now().await;
            }
            let behind = company.then(|| t.pass_by(&pool));
            let ended = poll_times(pool.acquire_with(Request::new()), polls, at_once).await;
            let served = ended.map(|outcome| outcome.map(drop).expect("served in time")).is_some();
            for passer_by in [ahead, behind].into_iter().flatten() {
                passer_by.await.expect("no panic").expect("served, whoever gave up");
            }
            t.eventually("nobody waits", || pool.snapshot().waiting == 0).await;
            t.usable(&pool, max_size).await;
            if served {
                break;
            }
        }
    }
    Ok(())
}

/// R14: an acquire dropped at any poll while connects are slow leaks no slot.
///
/// Origin: slots lost when a future was dropped in bb8 and sqlx (djc/bb8#59, djc/bb8#67,
/// transact-rs/sqlx#83, #84, #918).
pub async fn r14_dropped_at_any_poll_of_a_slow_connect<H: Harness>(t: Trial<H>) -> Outcome {
    at_every_poll(&t, 2, async || {
        t.faults.always(Op::Connect, Behaviour::Slow(ms(10)));
        t.pool(t.config(2)).await
    })
    .await
}

/// R14: an acquire dropped at any poll while a ping is under way leaks no slot, and nobody gets the
/// connection that was being pinged before the ping has ended.
///
/// Origin: bb8 puts a half-pinged connection back, and its next user reads the answer to the ping.
pub async fn r14_dropped_at_any_poll_of_a_slow_ping<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    at_every_poll(&t, 1, async || {
        let pool = t.pool(t.config(1).validation(Validation::Always)).await?;
        t.warm(&pool, 1).await;
        t.faults.always(Op::Ping, Behaviour::Slow(ms(10)));
        Ok(pool)
    })
    .await
}

/// R14: an acquire dropped at any poll while the only connection is being reset leaks no slot.
pub async fn r14_dropped_at_any_poll_of_a_slow_reset<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Reset)?;
    at_every_poll(&t, 1, async || {
        let pool = t.pool(t.config(1)).await?;
        let mut guard = t.one(&pool).await;
        t.faults.always(Op::Reset, Behaviour::Slow(ms(10)));
        FaultyConnection::soil(&mut guard, Cause::Transaction);
        Ok(pool)
    })
    .await
}

/// R14: an acquire dropped at any poll while it waits in the queue leaks no slot.
///
/// Origin: `rbatis` pools that count a caller who gave up as a user (rbatis/rbatis#582,
/// rbatis/fast_pool#2).
pub async fn r14_dropped_at_any_poll_in_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    at_every_poll(&t, 1, async || {
        let pool = t.pool(t.config(1)).await?;
        let guard = t.one(&pool).await;
        tokio::spawn(async move {
            sleep(ms(10)).await;
            drop(guard);
        });
        Ok(pool)
    })
    .await
}

/// R14: what a waiter was handed and did not pick up goes to the next one.
///
/// Origin: mysql_async forgets a waiter that is dropped after it was woken, so that a connection
/// is idle while others wait.
pub async fn r14_what_a_dropped_waiter_was_handed_goes_to_the_next<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guard = t.one(&pool).await;
    let mut waiters: Vec<_> = (0..5).map(|_| pool.acquire_with(Request::new())).collect();
    for waiter in &mut waiters {
        assert!(poll_once(waiter).await.is_pending(), "the only connection is in use");
    }
    let last = waiters.pop().expect("there are five");
    drop(guard);
    for waiter in waiters {
        yield_now().await;
        drop(waiter); // with the connection in its hands
    }
    drop(last.await.expect("all before it have gone"));
    t.usable(&pool, 1).await;
    Ok(())
}

/// R14: a ping that was cut off, by its own deadline or by that of the caller, ends its connection.
pub async fn r14_a_ping_that_was_cut_off_ends_its_connection<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let config = t.config(1).validation(Validation::Always).ping_timeout(ms(50));
    let pool = t.pool(config).await?;
    t.warm(&pool, 1).await;
    t.faults.next(Op::Ping, [Behaviour::Hang]);
    let _ = timeout(ms(200), pool.acquire_with(Request::new())).await;
    t.usable(&pool, 1).await;
    assert!(t.faults.calls(Op::Connect) >= 2, "the first connection was used again");
    Ok(())
}

/// R14: a reset that was cut off by its deadline ends its connection.
pub async fn r14_a_reset_that_was_cut_off_ends_its_connection<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Reset)?;
    let pool = t.pool(t.config(1).reset_timeout(ms(50))).await?;
    let mut guard = t.one(&pool).await;
    t.faults.next(Op::Reset, [Behaviour::Hang]);
    FaultyConnection::soil(&mut guard, Cause::Running);
    drop(guard);
    t.usable(&pool, 1).await;
    assert!(t.faults.calls(Op::Connect) >= 2, "the first connection was used again");
    Ok(())
}

/// R14: tasks aborted while they hold connections, or wait for one, give everything back.
///
/// Origin: connections of aborted requests stayed counted as in use (rbatis/rbatis#582,
/// rbatis/fast_pool#2).
pub async fn r14_aborted_tasks_give_back_what_they_hold<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(2)).await?;
    for _ in 0..5 {
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let _guard = pool.acquire_with(Request::new()).await;
                    pending::<()>().await;
                })
            })
            .collect();
        t.settle().await;
        for task in tasks {
            task.abort();
            assert!(task.await.expect_err("it never ends by itself").is_cancelled());
        }
    }
    t.usable(&pool, 2).await;
    Ok(())
}
