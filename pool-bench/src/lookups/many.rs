//! Many tasks, each of which asks again as soon as it was served: first without a clock in the loop,
//! for throughput and fairness; then once more with one, for how long each operation takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use super::{Pool, any};
use crate::contest::{Figure, figure};

pub(super) fn many<P: Pool>(runtime: &Runtime, way: &P::Way, time: Duration) -> Vec<Figure> {
    let _inside = runtime.enter(); // some pools cannot be dropped elsewhere
    runtime.block_on(async {
        let pool = P::open(way).await;
        counted(&pool, time / 5).await;
        let mut figures = counted(&pool, time / 2).await;
        figures.extend(timed(&pool, time / 2).await);
        figures
    })
}

async fn counted<P: Pool>(pool: &P, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(P::TASKS + 1));
    let tasks = spawn(P::TASKS, || {
        let (pool, over, start) = (pool.clone(), over.clone(), start.clone());
        async move {
            start.wait().await;
            let mut done = 0_u32;
            while !over.load(Ordering::Relaxed) {
                let (id, value) = any::<P>();
                assert_eq!(pool.select(id).await, value);
                done += 1;
            }
            done
        }
    });
    start.wait().await;
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(f64::from(task.await.expect("no panic")));
    }
    let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = counts.iter().copied().fold(1.0, f64::max);
    let throughput = counts.iter().sum::<f64>() / elapsed.as_secs_f64();
    vec![
        figure("throughput", "1/s", throughput),
        figure("fairness", "min/max per task", least / most),
    ]
}

async fn timed<P: Pool>(pool: &P, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let tasks = spawn(P::TASKS, || {
        let (pool, over) = (pool.clone(), over.clone());
        async move {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let (id, value) = any::<P>();
                let asked = Instant::now();
                assert_eq!(pool.select(id).await, value);
                times.push(asked.elapsed());
            }
            times
        }
    });
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    times.sort_unstable();
    let at = |share: f64| {
        let last = times.len().saturating_sub(1);
        let time = times.get((last as f64 * share) as usize).copied().unwrap_or_default();
        time.as_nanos() as f64 / 1000.0
    };
    vec![
        figure("operation p50", "us", at(0.5)),
        figure("operation p99", "us", at(0.99)),
        figure("operation p99.9", "us", at(0.999)),
    ]
}

fn spawn<F>(tasks: usize, task: impl Fn() -> F) -> Vec<JoinHandle<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    (0..tasks).map(|_| tokio::spawn(task())).collect()
}
