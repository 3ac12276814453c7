//! Cases on runtimes: pools and guards that outlive theirs, and threads without one (R21, R22).

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use pool_core::{AcquireErrorKind, Cause, Request, Validation};
use tokio::time::timeout;

use super::harness::{Harness, Outcome};
use super::scenes::{ms, on_a_thread, runtime};
use super::trial::{Trial, poll_once};
use crate::FaultyConnection;
use crate::Op;

/// R21: a guard dropped on a thread without a runtime goes back, clean or dirty, and does not panic.
///
/// Origin: sqlx spawns a task in the drop, and panics (transact-rs/sqlx#1396, #1799,
/// tokio-rs/tokio#3963).
pub async fn r21_a_guard_dropped_outside_any_runtime_goes_back<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let runtime = runtime();
        let pool = runtime.block_on(t.pool(t.config(2)))?;
        let mut guards = runtime.block_on(t.hold(&pool, 2));
        FaultyConnection::soil(&mut guards[0], Cause::Transaction);
        drop(guards);
        runtime.block_on(t.usable(&pool, 2));
        Ok(())
    })
    .await
}

/// R21: a guard dropped after its runtime has ended neither panics nor leaks: in the next runtime
/// its slot is free.
///
/// Origin: the task that was to give the connection back died with the runtime
/// (blackbeam/mysql_async#205, transact-rs/sqlx#1396).
pub async fn r21_a_guard_dropped_after_its_runtime_has_ended_leaks_nothing<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    on_a_thread(t, |t| {
        let first = runtime();
        let pool = first.block_on(t.pool(t.config(2)))?;
        let mut guards = first.block_on(t.hold(&pool, 2));
        FaultyConnection::soil(&mut guards[0], Cause::Transaction);
        drop(first);
        drop(guards);
        runtime().block_on(async {
            t.usable(&pool, 2).await;
            t.eventually("the others have ended", || t.watch.alive() == 2).await;
        });
        Ok(())
    })
    .await
}

/// R22: a pool serves one runtime after another, as in tests that share one.
///
/// Origin: the first test to end takes the pool's tasks with it, and the next one times out
/// (transact-rs/sqlx#1396, blackbeam/mysql_async#205).
pub async fn r22_a_pool_serves_one_runtime_after_another<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let first = runtime();
        let pool = first.block_on(t.pool(t.config(2)))?;
        first.block_on(t.warm(&pool, 2));
        drop(first);
        for _ in 0..3 {
            runtime().block_on(async {
                t.usable(&pool, 2).await;
                let waiting = [t.pass_by(&pool), t.pass_by(&pool), t.pass_by(&pool)];
                for waiting in waiting {
                    waiting.await.expect("no panic").expect("served");
                }
            });
        }
        Ok(())
    })
    .await
}

/// R22: what a runtime left that has ended is pinged before its next use, even if the policy is
/// never to ping: what it lived on may be gone.
pub async fn r22_what_an_ended_runtime_left_is_proven_first<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let first = runtime();
        let (_, pool) =
            first.block_on(async { t.own(t.config(1).validation(Validation::Never)) })?;
        first.block_on(t.warm(&pool, 1));
        drop(first);
        let before = t.faults.calls(Op::Ping);
        runtime().block_on(t.warm(&pool, 1));
        assert!(t.faults.calls(Op::Ping) > before, "handed out unproven");
        Ok(())
    })
    .await
}

/// R22: who waits while the pool's runtime ends is served, on the own one.
pub async fn r22_who_waits_while_the_runtime_ends_is_served<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let doomed = runtime();
        let builder = t.managed(t.config(1))?.runtime(doomed.handle().clone());
        let pool = builder.build().expect("valid settings");
        let held = doomed.block_on(pool.acquire().into_future()).expect("there is room");
        let (waits, waiting) = channel();
        let theirs = pool.clone();
        let waiter = std::thread::spawn(move || {
            runtime().block_on(async {
                let mut acquire = Box::pin(theirs.acquire().into_future());
                assert!(poll_once(&mut acquire).await.is_pending(), "the only one is in use");
                waits.send(()).expect("somebody listens");
                acquire.await.map(drop).expect("served");
            });
        });
        waiting.recv().expect("it waits");
        drop(doomed);
        drop(held);
        waiter.join().expect("served");
        Ok(())
    })
    .await
}

/// R22: a blocking acquire needs no runtime at all.
pub async fn r22_a_blocking_acquire_needs_no_runtime<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let pool = t.managed(t.config(2))?.build().expect("valid settings");
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for _ in 0..10 {
                        drop(pool.blocking().acquire().expect("served in time"));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(t.watch.peak() <= 2, "{} connections at once", t.watch.peak());
        Ok(())
    })
    .await
}

/// R22: a blocking acquire keeps its deadline.
pub async fn r22_a_blocking_acquire_keeps_its_deadline<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let pool = t.managed(t.config(1))?.build().expect("valid settings");
        let held = pool.blocking().acquire().expect("there is room");
        let error =
            pool.blocking().acquire_within(ms(50)).map(drop).expect_err("the only one is in use");
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut, "{error}");
        drop(held);
        drop(pool.blocking().acquire().expect("there is room"));
        Ok(())
    })
    .await
}

/// R22: a blocking acquire refuses to stop an async worker, and works in `spawn_blocking`.
pub async fn r22_a_blocking_acquire_refuses_on_an_async_worker<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(1))?;
    let theirs = pool.clone();
    let task = tokio::spawn(async move { theirs.blocking().acquire().map(drop) });
    let error = task.await.expect("no panic").expect_err("it would stop the worker");
    assert_eq!(error.kind(), AcquireErrorKind::WouldBlockAsync, "{error}");
    let theirs = pool.clone();
    let aside = tokio::task::spawn_blocking(move || theirs.blocking().acquire().map(drop));
    aside.await.expect("no panic").expect("here it may");
    t.usable(&object, 1).await;
    Ok(())
}

/// R22: an acquire where there is no runtime says so, and does not hang or panic.
pub async fn r22_without_any_runtime_an_acquire_says_so<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let pool = t.managed(t.config(1))?.build().expect("valid settings");
        let mut acquire = pin!(pool.acquire().into_future());
        let polled = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = polled else { panic!("there is nothing to wait for") };
        let error = outcome.map(drop).expect_err("there is no runtime");
        assert_eq!(error.kind(), AcquireErrorKind::NoRuntime, "{error}");
        Ok(())
    })
    .await
}

/// R22: a pool used from two runtimes at once serves both.
///
/// Origin: as for one after the other (transact-rs/sqlx#1396).
pub async fn r22_a_pool_serves_two_runtimes_at_once<H: Harness>(t: Trial<H>) -> Outcome {
    on_a_thread(t, |t| {
        let first = runtime();
        let pool = first.block_on(t.pool(t.config(2)))?;
        let theirs = pool.clone();
        let (done, ended) = channel();
        let other = std::thread::spawn(move || {
            runtime().block_on(async {
                for _ in 0..10 {
                    drop(theirs.acquire_with(Request::new()).await.expect("served in time"));
                }
            });
            done.send(()).expect("somebody listens");
        });
        // The pool works on the first runtime, which has to go on until both are done.
        first.block_on(async {
            for _ in 0..10 {
                drop(pool.acquire_with(Request::new()).await.expect("served in time"));
            }
            while ended.try_recv().is_err() && !other.is_finished() {
                let _ = timeout(ms(1), std::future::pending::<()>()).await;
            }
        });
        other.join().expect("served");
        Ok(())
    })
    .await
}
