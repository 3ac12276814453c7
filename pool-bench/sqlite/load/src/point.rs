//! Look-ups by key, by one task and by many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use crate::film::year;
use crate::{Figure, Pool, Stage, any_id, figure, k_per_s, runtime};

pub const ONE: &str = "point select, one task";
pub const TASKS: &str = "point select, 64 tasks";
const MANY: usize = 64;
/// Between two looks at the clock.
const BATCH: u32 = 50;

/// How long one takes.
pub(crate) fn one_task<P: Pool>(time: Duration) -> Vec<Figure> {
    let runtime = runtime();
    let _inside = runtime.enter(); // deadpool-sqlite cannot be dropped elsewhere
    let stage = runtime.block_on(Stage::<P>::full());
    let mut pool = stage.pool.clone();
    let micros = runtime.spawn(async move {
        repeat(&mut pool, time / 5).await;
        repeat(&mut pool, time).await
    });
    vec![figure("select", "us", runtime.block_on(micros).expect("no panic"))]
}

async fn repeat<P: Pool>(pool: &mut P, time: Duration) -> f64 {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < time {
        for _ in 0..BATCH {
            select(pool).await;
        }
        done += BATCH;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(done) / 1000.0
}

/// How many there are, and how evenly they are spread.
pub(crate) fn tasks<P: Pool>(time: Duration) -> Vec<Figure> {
    let runtime = runtime();
    let _inside = runtime.enter(); // deadpool-sqlite cannot be dropped elsewhere
    let stage = runtime.block_on(Stage::<P>::full());
    runtime.block_on(round(&stage.pool, time / 5));
    runtime.block_on(round(&stage.pool, time))
}

async fn round<P: Pool>(pool: &P, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let task = |_| {
        let (mut pool, over) = (pool.clone(), over.clone());
        tokio::spawn(async move {
            let mut done = 0_u64;
            while !over.load(Ordering::Relaxed) {
                select(&mut pool).await;
                done += 1;
                yield_now().await;
            }
            done
        })
    };
    let tasks: Vec<_> = (0..MANY).map(task).collect();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.expect("no panic"));
    }
    let throughput = k_per_s(counts.iter().sum(), begun);
    let least = counts.iter().copied().min().unwrap_or_default() as f64;
    let most = counts.iter().copied().max().unwrap_or_default().max(1) as f64;
    vec![
        figure("throughput", "k/s", throughput),
        figure("fairness", "min/max per task", least / most),
    ]
}

/// Looks a film up, and at what came.
pub(crate) async fn select<P: Pool>(pool: &mut P) {
    let id = any_id();
    assert_eq!(pool.select(id).await, year(id));
}
