//! Cases on order: who is served when, and with which connection (R2).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{PoolExt, Request};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::harness::{Feature, Harness, Outcome};
use super::trial::{Trial, poll_once};
use crate::FaultyConnection;

/// R2: waiters are served in the order in which they came.
pub async fn r02_waiters_are_served_in_order<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guard = t.hold(&pool, 1).await;
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for n in 0..10 {
        let (pool, served) = (pool.clone(), served.clone());
        tasks.push(tokio::spawn(async move {
            let guard = pool.acquire().await.expect("served in the end");
            served.lock().expect("no panic").push(n);
            drop(guard);
        }));
        t.settle().await;
    }
    drop(guard);
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(*served.lock().expect("no panic"), Vec::from_iter(0..10));
    Ok(())
}

/// R2: a newcomer never overtakes a waiter, not even in the very moment at which a connection comes
/// back.
///
/// Origin: barging in bb8 (#243).
pub async fn r02_a_newcomer_never_overtakes_a_waiter<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guards = t.hold(&pool, 1).await;
    let waiting = t.ask(&pool);
    t.settle().await;
    drop(guards.pop());
    let mut newcomer = pool.acquire();
    assert!(poll_once(&mut newcomer).await.is_pending(), "served while somebody waited");
    let guard = waiting.await.expect("no panic").expect("the waiter is served");
    drop(newcomer);
    drop(guard);
    Ok(())
}

/// R2: tasks that return a connection and ask for the next at once do not keep it among them while
/// others wait: nobody is overtaken by all others twice.
///
/// Origin: in bb8 #243 one acquire in a thousand took 1.8 s, with the pool idle in between.
pub async fn r02_those_who_come_back_queue_up_again<H: Harness>(t: Trial<H>) -> Outcome {
    const TASKS: u64 = 8;
    // One: where two are served side by side on threads, the scheduler decides who is slow.
    let pool = t.pool(t.config(1)).await?;
    drop(t.hold(&pool, 1).await);
    let grants = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (pool, grants) = (pool.clone(), grants.clone());
            tokio::spawn(async move {
                let mut worst = 0;
                for _ in 0..40 {
                    let asked = grants.load(Ordering::Relaxed);
                    let guard = pool.acquire().await.expect("served");
                    worst = worst.max(grants.fetch_add(1, Ordering::Relaxed) - asked);
                    yield_now().await;
                    drop(guard);
                }
                worst
            })
        })
        .collect();
    let mut worst = 0;
    for task in tasks {
        worst = worst.max(task.await.expect("no panic"));
    }
    assert!(
        worst <= 2 * TASKS,
        "{worst} were served after one of {TASKS} had asked, and before it"
    );
    Ok(())
}

/// R2: giving back takes effect at once: the only connection can be taken again right after its
/// drop, by somebody who does not wait at all, a thousand times in a row.
///
/// Origin: sqlx returned connections in a task of its own, which on a runtime of one thread had not
/// run by then (transact-rs/sqlx#622, #1210, #1293).
pub async fn r02_a_return_takes_effect_at_once<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::TimeoutPerAcquire)?;
    let pool = t.pool(t.config(1)).await?;
    drop(t.hold(&pool, 1).await);
    t.settle().await;
    for n in 0..1000 {
        let acquired = pool.acquire_with(Request::new().within(Duration::ZERO)).await;
        drop(acquired.unwrap_or_else(|error| panic!("acquire {n}: {error}")));
    }
    Ok(())
}

/// R2: what was handed to a future that nobody polls any more does not keep the others waiting for
/// ever.
///
/// It happens to a branch of a `select!` that is left behind with the turn in its hands, in every
/// pool and semaphore that hands over to a waiter.
pub async fn r02_a_forgotten_future_does_not_block_the_others<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guards = t.hold(&pool, 1).await;
    let mut forgotten = pool.acquire();
    assert!(poll_once(&mut forgotten).await.is_pending(), "the only one is taken");
    let waiting = t.ask(&pool);
    t.settle().await;
    drop(guards.pop());
    let served = timeout(Duration::from_secs(10), waiting).await;
    assert!(served.is_ok(), "it waits while another keeps what it does not look at");
    drop(served.expect("checked").expect("no panic").expect("served"));
    drop(forgotten);
    Ok(())
}

/// R2: idle connections are reused last in, first out, unless told otherwise: few stay warm, the
/// rest can go.
pub async fn r02_the_connection_returned_last_is_reused_first<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Lifo)?;
    let pool = t.pool(t.config(3)).await?;
    let guards = t.hold(&pool, 3).await;
    let mut returned = Vec::new();
    for guard in guards {
        returned.push(FaultyConnection::number(&guard));
        drop(guard);
        t.settle().await;
    }
    let guards = t.hold(&pool, 3).await;
    let taken: Vec<_> = guards.iter().map(|guard| FaultyConnection::number(guard)).collect();
    returned.reverse();
    assert_eq!(taken, returned, "taken, and returned last to first");
    Ok(())
}
