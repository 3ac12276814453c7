//! Cases on fairness under load: everybody is served, and no other task starves (R2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::PoolExt;
use tokio::task::yield_now;

use super::harness::{Harness, Outcome};
use super::trial::Trial;

/// R2: of two thousand who want one of ten connections at the same time, all are served.
///
/// Origin: with ten thousand at once mysql_async hung (#65, #126).
pub async fn r02_two_thousand_at_once_are_all_served<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(10)).await?;
    let tasks: Vec<_> = (0..2000)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let guard = pool.acquire().await;
                yield_now().await;
                guard.map(drop)
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        task.await.expect("no panic").unwrap_or_else(|error| panic!("number {n}: {error}"));
    }
    Ok(())
}

/// R2: a loop of acquires that are all served at once lets other tasks of its thread run.
///
/// It is the rule of tokio's own primitives, which a pool on a plain mutex does not keep.
pub async fn r02_a_loop_that_is_always_served_starves_no_other_task<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    drop(t.hold(&pool, 1).await);
    t.settle().await;
    let turns = Arc::new(AtomicU64::new(0));
    let other = tokio::spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }
    });
    let looping = tokio::spawn(async move {
        for _ in 0..5000 {
            drop(pool.acquire().await.expect("it is idle"));
        }
    });
    looping.await.expect("no panic");
    other.abort();
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= 10, "another task had {turns} turns in 5000 acquires");
    Ok(())
}

/// R2: no wake-up is lost between threads: a release that meets an acquire is never missed by it.
///
/// Origin: a release between bb8's look for an idle connection and its entry into the queue (bb8
/// #122, #67).
pub async fn r02_a_release_that_meets_an_acquire_is_not_lost<H: Harness>(t: Trial<H>) -> Outcome {
    on_threads(move || async move {
        let pool = t.pool(t.config(1)).await?;
        for round in 0..1000 {
            let guard = pool.acquire().await.expect("nobody else asks");
            let returning = tokio::spawn(async move { drop(guard) });
            let waiting = t.ask(&pool);
            let guard = waiting.await.expect("no panic");
            drop(guard.unwrap_or_else(|error| panic!("round {round}: {error}")));
            returning.await.expect("no panic");
        }
        Ok(())
    })
    .await
}

/// R2: nor is one lost when many release and acquire on several threads.
///
/// Origin: bb8 #122, #67.
pub async fn r02_nobody_waits_for_ever_among_threads<H: Harness>(t: Trial<H>) -> Outcome {
    on_threads(move || async move {
        let pool = t.pool(t.config(2)).await?;
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for round in 0..300 {
                        let guard = pool.acquire().await;
                        let guard = guard.unwrap_or_else(|error| panic!("round {round}: {error}"));
                        if (task + round) % 3 == 0 {
                            yield_now().await;
                        }
                        drop(guard);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("everybody is served");
        }
        Ok(())
    })
    .await
}

/// Runs on a runtime with threads, of its own and on the real clock, also where that of the case is
/// stopped: it stays so, since a blocking task runs.
async fn on_threads<F: Future<Output = Outcome>>(
    body: impl FnOnce() -> F + Send + 'static,
) -> Outcome {
    let done = tokio::task::spawn_blocking(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build();
        runtime.expect("a runtime can be made").block_on(body())
    });
    done.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
