//! Cases on the end of a pool: closed, or its last handle dropped (R21).

use std::time::Duration;

use pool_core::{AcquireErrorKind, Request};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::harness::{Feature, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::Trial;
use crate::{Behaviour, Op};

const LONG: Duration = Duration::from_secs(15);

/// Closes in a task of its own. Whether nothing was abandoned.
fn close<H: Harness>(pool: &SharedPool<H>, within: Duration) -> JoinHandle<bool> {
    let closing = pool.close(within);
    tokio::spawn(async move { closing.await.is_complete() })
}

/// R21: who waits when the pool is closed is told so at once.
///
/// Origin: in sqlx they waited until their time was up (transact-rs/sqlx#2376, #1776).
pub async fn r21_who_waits_is_told_of_the_close<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(1)).await?;
    let held = t.one(&pool).await;
    let waiting = [t.pass_by(&pool), t.pass_by(&pool)];
    t.settle().await;
    told_at_once(&t, &pool, waiting).await;
    drop(held);
    Ok(())
}

/// R21: who waits for a connect that hangs is told of the close at once.
///
/// Origin: in sqlx they waited until their time was up (transact-rs/sqlx#2376, #1776).
pub async fn r21_who_waits_for_a_connect_is_told_of_the_close<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    t.faults.always(Op::Connect, Behaviour::Hang);
    let pool = t.pool(t.config(1)).await?;
    let waiting = [t.pass_by(&pool), t.pass_by(&pool)];
    t.eventually("a connect hangs", || t.watch.connecting() > 0).await;
    told_at_once(&t, &pool, waiting).await;
    Ok(())
}

async fn told_at_once<H: Harness>(
    t: &Trial<H>,
    pool: &SharedPool<H>,
    waiting: [JoinHandle<Result<(), pool_core::AcquireError>>; 2],
) {
    let begun = Instant::now();
    let closing = close::<H>(pool, LONG);
    for waiting in waiting {
        let error = waiting.await.expect("no panic").expect_err("the pool is closed");
        assert_eq!(error.kind(), AcquireErrorKind::Closed, "{error}");
    }
    t.took(begun, Duration::ZERO);
    closing.abort();
}

/// R21: a closed pool refuses.
pub async fn r21_a_closed_pool_refuses<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(2)).await?;
    t.warm(&pool, 1).await;
    pool.close(LONG).await;
    for _ in 0..3 {
        let error = pool.acquire_with(Request::new()).await.map(drop).expect_err("it is closed");
        assert_eq!(error.kind(), AcquireErrorKind::Closed, "{error}");
    }
    assert_eq!(t.faults.calls(Op::Connect), 1, "connects");
    Ok(())
}

/// R21: when the close has returned, all connections that were idle have ended, however long their
/// goodbyes took.
///
/// Origin: deadpool-sqlite closes in the background, and nobody knows when it is done
/// (deadpool-rs/deadpool#468).
pub async fn r21_goodbyes_have_ended_when_the_close_returns<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(3)).await?;
    t.warm(&pool, 3).await;
    t.faults.always(Op::Close, Behaviour::Slow(ms(30)));
    let report = pool.close(LONG).await;
    assert_eq!(t.watch.alive(), 0, "connections after the close; it says: {report}");
    Ok(())
}

/// R21: idle connections end when the close begins, those in use when they come back.
pub async fn r21_idle_connections_end_now_and_others_as_they_come_back<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(3)).await?;
    let mut held = t.hold(&pool, 3).await;
    held.truncate(1);
    let closing = close::<H>(&pool, LONG);
    t.eventually("the idle ones have ended", || t.watch.alive() == 1).await;
    assert!(!closing.is_finished(), "it does not wait for who holds one");
    t.harness.query(&mut held[0]).await.expect("it works on");
    drop(held);
    assert!(closing.await.expect("no panic"), "all has come back in time");
    assert_eq!(t.watch.alive(), 0);
    Ok(())
}

/// R21: a forgotten guard does not hold up the close beyond its deadline.
///
/// Origin: sqlx and mysql_async wait for ever (transact-rs/sqlx#1773, blackbeam/mysql_async#73,
/// #199).
pub async fn r21_a_forgotten_guard_does_not_hold_up_the_close<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(2)).await?;
    let mut held = t.hold(&pool, 2).await;
    held.truncate(1);
    let (begun, within) = (Instant::now(), ms(200));
    pool.close(within).await;
    let took = begun.elapsed();
    assert!(took <= within + t.slack(), "{took:?} for a close within {within:?}");
    Ok(())
}

/// R21: the report counts what was abandoned and names who holds it.
///
/// Origin: where a close waits for ever nobody finds the guard it waits for (transact-rs/sqlx#1773).
pub async fn r21_the_report_names_who_holds<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(2))?;
    let line = line!() + 1;
    let held = pool.acquire().operation("export").await.expect("there is room");
    let report = pool.close(ms(50)).await;
    assert_eq!(report.abandoned, 1, "{report}");
    let [holder] = &report.holders[..] else { panic!("one holder, not: {report}") };
    assert_eq!((holder.site.file(), holder.site.line()), (file!(), line));
    assert_eq!((holder.operation, holder.count), (Some("export"), 1));
    let text = report.to_string();
    assert!(text.contains(&format!("close.rs:{line}")), "{text}");
    drop(held);
    Ok(())
}

/// R21: a guard that comes back after the close ends its connection.
pub async fn r21_a_guard_that_comes_back_after_the_close_is_not_kept<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::Close)?;
    let pool = t.pool(t.config(1)).await?;
    let mut held = t.one(&pool).await;
    pool.close(ms(20)).await;
    t.harness.query(&mut held).await.expect("it works on");
    drop(held);
    t.eventually("it has ended", || t.watch.alive() == 0).await;
    Ok(())
}

/// R21: a close races with acquires, connects and returns: everybody is served or told of the
/// close, and nothing is left.
///
/// Origin: a disconnect that stopped waiting, and an assertion in the recycler
/// (blackbeam/mysql_async#243).
pub async fn r21_a_close_races_with_everything<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    for round in 0..if H::PAUSED { 60 } else { 15 } {
        let pool = t.pool(t.config(3)).await?;
        t.faults.clear();
        if round % 3 == 1 {
            t.faults.always(Op::Connect, Behaviour::Slow(ms(2)));
        }
        let users: Vec<_> = (0..8_u64)
            .map(|n| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..3 {
                        match pool.acquire_with(Request::new()).await {
                            Ok(guard) if n % 3 == 0 => {
                                sleep(ms(1)).await;
                                drop(guard);
                            }
                            Ok(guard) => {
                                yield_now().await;
                                drop(guard);
                            }
                            Err(error) => assert_eq!(error.kind(), AcquireErrorKind::Closed),
                        }
                    }
                })
            })
            .collect();
        if round % 2 == 0 {
            for _ in 0..round / 2 {
                yield_now().await;
            }
        } else {
            sleep(ms(round / 10)).await;
        }
        let report = pool.close(LONG).await;
        assert!(report.is_complete(), "round {round}: {report}");
        for user in users {
            user.await.expect("served, or told of the close");
        }
        t.eventually("all connections have ended", || t.watch.alive() == 0).await;
    }
    Ok(())
}

/// R21: with the last handle all idle connections go.
///
/// Origin: bb8 and r2d2 keep them until the last guard goes, or a thread wakes up (djc/bb8#249,
/// sfackler/r2d2#99, #101).
pub async fn r21_with_the_last_handle_idle_connections_go<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(3)).await?;
    let mut held = t.hold(&pool, 3).await;
    held.truncate(1);
    drop(pool);
    t.eventually("the idle ones have ended", || t.watch.alive() == 1).await;
    drop(held);
    t.eventually("the last one has ended", || t.watch.alive() == 0).await;
    Ok(())
}

/// R21: the last handle to go leaves no task behind, not even a connect that hangs.
///
/// Origin: threads of r2d2 that live on for half a minute (sfackler/r2d2#99, #101).
pub async fn r21_the_last_handle_leaves_no_task<H: Harness>(t: Trial<H>) -> Outcome {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (pool, object) = t.own(t.config(4).min_size(1))?;
    let held = t.hold(&object, 2).await;
    t.faults.always(Op::Connect, Behaviour::Hang);
    let _ = pool.acquire().within(ms(20)).await;
    drop((held, pool, object));
    t.eventually("all tasks have ended", || tasks() <= before).await;
    assert_eq!(t.watch.alive(), 0);
    Ok(())
}

/// R21: after the close the database counts no connection.
///
/// Origin: as for goodbyes that nobody awaits (deadpool-rs/deadpool#468).
pub async fn r21_a_closed_pool_leaves_nothing_at_the_database<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Close)?;
    let before = t.harness.open_connections().await;
    let pool = t.pool(t.config(3)).await?;
    let held = t.hold(&pool, 3).await;
    assert_eq!(t.harness.open_connections().await, before + 3);
    drop(held);
    pool.close(LONG).await;
    nothing_left(&t, before).await;
    Ok(())
}

/// R21: after the last handle went the database counts no connection.
///
/// Origin: as for idle connections that stay (djc/bb8#249).
pub async fn r21_a_dropped_pool_leaves_nothing_at_the_database<H: Harness>(t: Trial<H>) -> Outcome {
    let before = t.harness.open_connections().await;
    let pool = t.pool(t.config(3)).await?;
    t.warm(&pool, 3).await;
    drop(pool);
    nothing_left(&t, before).await;
    Ok(())
}

/// A server may take a moment to notice that a client went.
async fn nothing_left<H: Harness>(t: &Trial<H>, before: usize) {
    let begun = Instant::now();
    loop {
        let open = t.harness.open_connections().await;
        if open == before {
            return;
        }
        assert!(begun.elapsed() < LONG, "{open} connections at the database, {before} before");
        sleep(ms(5)).await;
    }
}
