//! Cases on failure: what a failed connect means for those who wait (R12).

use std::error::Error;
use std::time::Duration;

use pool_core::{ErrorClass, PoolExt};
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Feature, Harness, Outcome};
use super::trial::Trial;
use crate::{Behaviour, Op};

const SHORT: Duration = Duration::from_millis(100);
/// Much less than an acquire may take in these cases, and much more than a busy machine takes.
const SOON: Duration = Duration::from_secs(5);

/// R12: a permanent connect error reaches all who wait, quickly.
///
/// Origin: with a wrong password everybody waited for the whole timeout (bb8 #141, PR #147).
pub async fn r12_a_permanent_error_reaches_all_who_wait<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(4)).await?;
    let refuse = Behaviour::FailAfter(Duration::from_millis(20), ErrorClass::Permanent);
    t.faults.always(Op::Connect, refuse);
    let begun = Instant::now();
    let asking: Vec<_> = (0..10).map(|_| t.ask(&pool)).collect();
    for asked in asking {
        assert!(asked.await.expect("no panic").is_err(), "there is none to be had");
        let elapsed = begun.elapsed();
        assert!(elapsed < SOON, "after {elapsed:?} somebody still waits");
    }
    Ok(())
}

/// R12: one permanent error is enough for all who wait: not each has to try for itself.
pub async fn r12_one_permanent_error_is_enough_for_all<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::ErrorClasses)?;
    let pool = t.pool(t.config(4)).await?;
    t.faults.always(Op::Connect, Behaviour::FailAfter(SHORT, ErrorClass::Permanent));
    let asking: Vec<_> = (0..10).map(|_| t.ask(&pool)).collect();
    for asked in asking {
        assert!(asked.await.expect("no panic").is_err(), "there is none to be had");
    }
    let attempts = t.faults.calls(Op::Connect);
    // As many as may have begun before the first of them failed.
    assert!(attempts <= 4, "{attempts} attempts for ten who waited together");
    Ok(())
}

/// R12: a permanent error is remembered for a moment: who comes right after is told without another
/// attempt.
pub async fn r12_a_permanent_error_is_remembered_for_a_moment<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::ErrorClasses)?;
    let pool = t.pool(t.config(4)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    for _ in 0..50 {
        assert!(pool.acquire().await.is_err(), "there is none to be had");
    }
    let attempts = t.faults.calls(Op::Connect);
    assert!(attempts <= 5, "{attempts} attempts for 50 acquires in a row");
    Ok(())
}

/// R12: but not for ever: once the password is right again, the pool serves.
pub async fn r12_a_permanent_error_is_not_remembered_for_ever<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(4).acquire_timeout(SOON)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    assert!(pool.acquire().await.is_err(), "there is none to be had");
    t.faults.clear();
    drop(t.patient(&pool).await);
    Ok(())
}

/// R12: while an open connection can serve, a permanent error does not turn waiters away.
pub async fn r12_what_is_open_serves_in_spite_of_permanent_errors<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::ErrorClasses)?;
    let pool = t.pool(t.config(4)).await?;
    let guards = t.hold(&pool, 1).await;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let waiting = t.ask(&pool);
    t.eventually("a connect failed", || t.faults.calls(Op::Connect) >= 2).await;
    t.settle().await;
    drop(guards);
    drop(waiting.await.expect("no panic").expect("served by what came back"));
    Ok(())
}

/// R12: a saturated server is back-pressure: the pool keeps what it has, asks for more only now and
/// then, and serves by what comes back.
pub async fn r12_a_saturated_server_is_left_alone<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::ErrorClasses)?;
    let pool = t.pool(t.config(10)).await?;
    let guards = t.hold(&pool, 3).await;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Saturated));
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.map(drop) })
        })
        .collect();
    let begun = Instant::now();
    sleep(SHORT * 3).await;
    let (attempts, elapsed) = (t.faults.calls(Op::Connect) - 3, begun.elapsed());
    let most = 10 + elapsed.as_millis() / 10; // pauses of 20 ms at least, but for the first few
    assert!((1..=most).contains(&u128::from(attempts)), "{attempts} attempts in {elapsed:?}");
    assert_eq!(t.watch.alive(), 3, "what there is is kept");
    drop(guards);
    for task in tasks {
        task.await.expect("no panic").expect("served by what came back");
    }
    assert_eq!(t.watch.alive(), 3, "what there is is kept");
    Ok(())
}

/// R12: transient errors are tried again for those who wait: they are served once the server is
/// back.
///
/// Otherwise everybody who asks in that moment sees a restart of the server.
pub async fn r12_waiters_are_served_when_the_server_is_back<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Retries)?;
    let pool = t.pool(t.config(2)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.map(drop) })
        })
        .collect();
    sleep(SHORT * 2).await;
    assert!(tasks.iter().all(|task| !task.is_finished()), "they wait for the server");
    t.faults.clear();
    for task in tasks {
        task.await.expect("no panic").expect("the server is back");
    }
    Ok(())
}

/// R12: and no longer than until the deadline of who waits.
pub async fn r12_transient_errors_are_retried_until_the_deadline<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::Retries)?;
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(2).acquire_timeout(SHORT * 2)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let begun = Instant::now();
    t.in_time(SHORT * 2, pool.acquire()).await;
    t.took(begun, SHORT * 2);
    assert!(t.faults.calls(Op::Connect) >= 2, "it was tried once only");
    Ok(())
}

/// R12: the time-out carries the last connect error, as its source and in its text.
///
/// Origin: every cause was `PoolTimedOut` (transact-rs/sqlx#3808).
pub async fn r12_the_time_out_carries_the_last_connect_error<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::LastError)?;
    t.needs(Feature::AcquireTimeout)?;
    let pool = t.pool(t.config(2).acquire_timeout(SHORT)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let acquired = timeout(SOON, pool.acquire()).await.expect("a time-out");
    let error = acquired.err().expect("there is none to be had");
    let (text, wanted) = (error.to_string(), "failed Connect (transient)");
    assert!(text.contains(wanted), "its text does not say {wanted:?}: {text}");
    let mut cause = error.source();
    while let Some(source) = cause.filter(|source| !source.to_string().contains(wanted)) {
        cause = source.source();
    }
    assert!(cause.is_some(), "no source says {wanted:?}: {error:?}");
    Ok(())
}
