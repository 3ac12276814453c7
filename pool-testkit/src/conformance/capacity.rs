//! Cases on capacity: each way in which a slot becomes free serves who waits for it (R13).

use std::time::Duration;

use pool_core::{ErrorClass, PoolExt, Validation};

use super::harness::{Feature, Harness, Outcome, SharedPool};
use super::trial::Trial;
use crate::{Behaviour, Op};

/// R13: the waiter is served when the only connection comes back broken.
///
/// Origin: in r2d2 a broken return woke nobody where no minimum was set.
pub async fn r13_a_broken_return_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guards = t.hold(&pool, 1).await;
    let waiting = t.ask(&pool);
    t.settle().await;
    t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
    drop(guards);
    drop(waiting.await.expect("no panic").expect("served"));
    Ok(())
}

/// R13: the waiter is served when the holder of the only connection gives it up.
pub async fn r13_an_invalidated_connection_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Invalidate)?;
    let pool = t.pool(t.config(1)).await?;
    let mut guards = t.hold(&pool, 1).await;
    let waiting = t.ask(&pool);
    t.settle().await;
    guards.pop().expect("one is held").invalidate();
    drop(waiting.await.expect("no panic").expect("served"));
    Ok(())
}

/// R13: a connect that fails frees its slot: at most who caused it is told of it, and the other is
/// served.
///
/// Origin: sizes that were not counted back after a failed create (deadpool #18, #205; mysql_async
/// #44).
pub async fn r13_a_failed_connect_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let fail = Behaviour::FailAfter(Duration::from_millis(20), ErrorClass::Transient);
    t.faults.next(Op::Connect, [fail]);
    one_of_two_is_served(&t, &pool).await;
    Ok(())
}

/// R13: a connect that hangs frees its slot when its time is up.
///
/// Origin: in bb8 the slot was gone for good.
pub async fn r13_a_hung_connect_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    let config = t.config(1).connect_timeout(Duration::from_millis(100));
    // For pools in which only the caller's own time ends a connect.
    let pool = t.pool(config.acquire_timeout(Duration::from_secs(1))).await?;
    t.faults.next(Op::Connect, [Behaviour::Hang]);
    drop(t.patient(&pool).await);
    Ok(())
}

/// R13: a connect that panics frees its slot.
///
/// Origin: in bb8 and r2d2 the slot was gone for good.
pub async fn r13_a_panicking_connect_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1).acquire_timeout(Duration::from_secs(2))).await?;
    t.faults.next(Op::Connect, [Behaviour::Panic]);
    // Where the caller connects itself, the panic is the first one's.
    let asking = [t.ask(&pool), t.ask(&pool)];
    for asked in asking {
        drop(asked.await);
    }
    drop(t.patient(&pool).await);
    Ok(())
}

/// R13: a connection whose ping fails frees its slot.
pub async fn r13_a_failed_ping_serves_the_queue<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(1).validation(Validation::Always)).await?;
    drop(t.hold(&pool, 1).await);
    t.settle().await;
    let fail = Behaviour::FailAfter(Duration::from_millis(20), ErrorClass::Transient);
    t.faults.next(Op::Ping, [fail]);
    one_of_two_is_served(&t, &pool).await;
    Ok(())
}

/// Two ask at the same time and give back at once what they get.
async fn one_of_two_is_served<H: Harness>(t: &Trial<H>, pool: &SharedPool<H>) {
    let ask = || {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().await.map(drop) })
    };
    let mut errors = Vec::new();
    for asked in [ask(), ask()] {
        errors.extend(asked.await.expect("no panic").err());
    }
    assert!(errors.len() < 2, "neither was served: {errors:?}");
    drop(t.patient(pool).await);
}
