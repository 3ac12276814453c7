//! Cases on panics: in the manager, in hooks, in observers, in users (R15).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pool_core::{
    AcquireFailed, Acquired, BoxError, Builder, Cause, Closed, ConnectFailed, Connected,
    ErrorClass, Leaked, Metrics, PoolGuard, Released, Request, ResetDone, Stalled, Validated,
    Validation,
};

use super::harness::{Connection, Faulted, Feature, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::{Trial, poll_once};
use crate::FaultyConnection;
use crate::{Behaviour, Op};

/// Gives a connection back where a panic hurts nobody.
async fn give_back<H: Harness>(guard: PoolGuard<Connection<H>>) {
    let _ = tokio::spawn(async move { drop(guard) }).await;
}

/// R15: a connect that panics costs no slot, and whoever waits for it is told, or served, in time.
///
/// Origin: bb8 and r2d2 lose the slot of a connect that panicked for good.
pub async fn r15_a_panic_in_connect<H: Harness>(t: Trial<H>) -> Outcome {
    t.faults.at(Op::Connect, 0, Behaviour::Panic);
    let pool = t.pool(t.config(2)).await?;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: a ping that panics costs its connection at most.
///
/// Origin: r2d2 loses the slot of a connection whose check panicked.
pub async fn r15_a_panic_in_ping<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(2).validation(Validation::Always)).await?;
    t.warm(&pool, 2).await;
    t.faults.next(Op::Ping, [Behaviour::Panic]);
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: a look at the condition that panics, at the return or before the next use, costs its
/// connection at most.
pub async fn r15_a_panic_in_condition<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(2)).await?;
    let guard = t.one(&pool).await;
    t.faults.next(Op::Condition, [Behaviour::Panic]);
    give_back::<H>(guard).await;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    t.faults.next(Op::Condition, [Behaviour::Panic]);
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: a reset that panics costs its connection at most.
pub async fn r15_a_panic_in_reset<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Reset)?;
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    t.faults.next(Op::Reset, [Behaviour::Panic]);
    FaultyConnection::soil(&mut guard, Cause::Transaction);
    give_back::<H>(guard).await;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 1).await;
    Ok(())
}

/// R15: a goodbye that panics costs nothing but that.
pub async fn r15_a_panic_in_close<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Invalidate)?;
    let pool = t.pool(t.config(1)).await?;
    let guard = t.one(&pool).await;
    t.faults.next(Op::Close, [Behaviour::Panic]);
    let _ = tokio::spawn(async move { guard.invalidate() }).await;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 1).await;
    Ok(())
}

/// R15: a connection that panics as it is dropped costs nothing but that.
pub async fn r15_a_panic_in_the_drop_of_a_connection<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guard = t.one(&pool).await;
    t.faults.next(Op::Drop, [Behaviour::Panic]);
    t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
    give_back::<H>(guard).await;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 1).await;
    Ok(())
}

/// R15: a classification that panics costs no slot, and whoever waits is told, or served, in time.
pub async fn r15_a_panic_in_classify<H: Harness>(t: Trial<H>) -> Outcome {
    t.faults.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient)]);
    t.faults.next(Op::Classify, [Behaviour::Panic]);
    let (_, pool) = t.own(t.config(2))?;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: a look at the limits that panics costs no slot, and whoever waits is told, or served, in
/// time.
pub async fn r15_a_panic_in_limits<H: Harness>(t: Trial<H>) -> Outcome {
    t.faults.next(Op::Limits, [Behaviour::Panic]);
    let (_, pool) = t.own(t.config(2))?;
    t.told_in_time(t.pass_by(&pool)).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// Panics once.
#[derive(Clone, Default)]
struct Bomb(Arc<AtomicBool>);

impl Bomb {
    fn has_gone_off(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn pass(&self) -> Result<(), BoxError> {
        assert!(self.0.swap(true, Ordering::Relaxed), "a hook panics");
        Ok(())
    }
}

async fn in_a_hook<H: Harness>(
    t: Trial<H>,
    add: impl FnOnce(Builder<Faulted<H>>, Bomb) -> Builder<Faulted<H>>,
) -> Outcome {
    let bomb = Bomb::default();
    let builder = add(t.managed(t.config(2))?, bomb.clone());
    let pool: SharedPool<H> = Arc::new(builder.build().expect("cases make valid settings"));
    t.told_in_time(t.pass_by(&pool)).await;
    t.eventually("the hook was run", || bomb.has_gone_off()).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: an `after_connect` hook that panics costs its connection at most.
pub async fn r15_a_panic_in_after_connect<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| builder.after_connect(move |_| bomb.pass())).await
}

/// R15: an asynchronous `after_connect` hook that panics costs its connection at most.
pub async fn r15_a_panic_in_after_connect_async<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| {
        builder.after_connect_async(move |_| {
            let bomb = bomb.clone();
            Box::pin(async move { bomb.pass() })
        })
    })
    .await
}

/// R15: a `before_acquire` hook that panics costs its connection at most.
pub async fn r15_a_panic_in_before_acquire<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| builder.before_acquire(move |_| bomb.pass())).await
}

/// R15: an asynchronous `before_acquire` hook that panics costs its connection at most; it may do
/// so before there is a future.
pub async fn r15_a_panic_in_before_acquire_async<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| {
        builder.before_acquire_async(move |_| {
            let passed = bomb.pass();
            Box::pin(async move { passed })
        })
    })
    .await
}

/// R15: an `after_release` hook that panics costs its connection at most.
pub async fn r15_a_panic_in_after_release<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| builder.after_release(move |_| bomb.pass())).await
}

/// R15: an asynchronous `after_release` hook that panics costs its connection at most.
pub async fn r15_a_panic_in_after_release_async<H: Harness>(t: Trial<H>) -> Outcome {
    in_a_hook(t, |builder, bomb| {
        builder.after_release_async(move |_| {
            let bomb = bomb.clone();
            Box::pin(async move { bomb.pass() })
        })
    })
    .await
}

/// Panics whatever it is told, and notes what it was.
#[derive(Default)]
struct Squeamish(Mutex<BTreeSet<&'static str>>);

impl Squeamish {
    fn told(&self) -> BTreeSet<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

macro_rules! squeamish {
    ($($method:ident: $event:ident),* $(,)?) => {
        impl Metrics for Squeamish {
            $(fn $method(&self, _: &$event<'_>) {
                let told = &self.0;
                told.lock().unwrap_or_else(PoisonError::into_inner).insert(stringify!($method));
                resume_unwind(Box::new("an observer panics"));
            })*
        }
        const EVENTS: &[&str] = &[$(stringify!($method)),*];
    };
}

squeamish!(
    connected: Connected, connect_failed: ConnectFailed, acquired: Acquired,
    acquire_failed: AcquireFailed, released: Released, reset: ResetDone, validated: Validated,
    closed: Closed, stalled: Stalled, leaked: Leaked,
);

/// R15: an observer that panics, whatever it is told, costs nothing.
pub async fn r15_a_panic_in_every_method_of_an_observer<H: Harness>(t: Trial<H>) -> Outcome {
    let observer = Arc::new(Squeamish::default());
    let config = t.config(2).validation(Validation::Always).leak_after(ms(20));
    let builder = t.managed(config)?.metrics(observer.clone());
    let pool: SharedPool<H> = Arc::new(builder.build().expect("cases make valid settings"));
    t.faults.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient)]);
    let mut guards = t.hold(&pool, 2).await;
    let short = Request::new().within(ms(30));
    assert!(pool.acquire_with(short).await.is_err(), "both are in use");
    let mut dozing = pool.acquire_with(Request::new());
    assert!(poll_once(&mut dozing).await.is_pending());
    guards.truncate(1); // handed to a future that nobody polls
    t.eventually("a stall was told", || observer.told().contains("stalled")).await;
    t.eventually("a leak was told", || observer.told().contains("leaked")).await;
    drop(dozing);
    let mut guard = guards.pop().expect("one is left");
    FaultyConnection::soil(&mut guard, Cause::Running);
    drop(guard);
    t.warm(&pool, 2).await;
    t.eventually("a reset was told", || observer.told().contains("reset")).await;
    t.one(&pool).await.invalidate();
    t.eventually("all was told", || observer.told().len() == EVENTS.len()).await;
    t.usable(&pool, 2).await;
    Ok(())
}

/// R15: a predicate of `retain` that panics costs the connection it was called for at most.
///
/// Origin: deadpool's lock stays poisoned, and every later call panics.
pub async fn r15_a_panic_in_the_predicate_of_retain<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(3))?;
    t.warm(&object, 3).await;
    let mut seen = 0;
    let retained = catch_unwind(AssertUnwindSafe(|| {
        pool.retain(|_| {
            seen += 1;
            if seen == 2 {
                resume_unwind(Box::new("a predicate panics"));
            }
            true
        })
    }));
    assert!(retained.is_err() || seen < 2, "the panic was swallowed");
    t.usable(&object, 3).await;
    Ok(())
}

/// R15: a user who panics with a connection in hand costs that connection at most, however often,
/// and whoever waits is served.
///
/// Origin: connections of panicking tasks were lost, and a second panic in the drop ended the
/// process (blackbeam/mysql_async#171, #88).
pub async fn r15_users_who_panic_cost_no_capacity<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    for _ in 0..if H::PAUSED { 200 } else { 20 } {
        let theirs = pool.clone();
        let user = tokio::spawn(async move {
            let _guard = theirs.acquire_with(Request::new()).await.expect("there is room");
            tokio::task::yield_now().await;
            resume_unwind(Box::new("a bug of the user's"));
        });
        let waiting = t.pass_by(&pool);
        let ended: Result<(), _> = user.await;
        assert!(ended.expect_err("it panics").is_panic());
        waiting.await.expect("no panic").expect("served");
    }
    t.usable(&pool, 1).await;
    Ok(())
}
