//! Those who read and those who write, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use crate::point::select;
use crate::{Busy, Figure, Pool, Stage, any_id, figure, k_per_s, runtime};

pub const MIXED: &str = "8 readers + 8 writers";
const EACH: usize = 8;

/// How much both get done, and how long a write takes at the worst.
pub(crate) fn mixed<P: Pool>(time: Duration) -> Vec<Figure> {
    let runtime = runtime();
    let _inside = runtime.enter(); // deadpool-sqlite cannot be dropped elsewhere
    let stage = runtime.block_on(Stage::<P>::full());
    runtime.block_on(round(&stage.pool, time / 5));
    runtime.block_on(round(&stage.pool, time))
}

async fn round<P: Pool>(pool: &P, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut readers = Vec::new();
    let mut writers = Vec::new();
    for _ in 0..EACH {
        readers.push(tokio::spawn(read(pool.clone(), over.clone())));
        writers.push(tokio::spawn(write(pool.clone(), over.clone())));
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let (mut reads, mut waits, mut busy) = (0, Vec::new(), 0);
    for reader in readers {
        reads += reader.await.expect("no panic");
    }
    for writer in writers {
        let (done, failed) = writer.await.expect("no panic");
        waits.extend(done);
        busy += failed;
    }
    waits.sort_unstable();
    let at = (waits.len().saturating_sub(1) as f64 * 0.999) as usize;
    let worst = waits.get(at).copied().unwrap_or_default();
    vec![
        figure("reads", "k/s", k_per_s(reads, begun)),
        figure("writes", "k/s", k_per_s(waits.len() as u64, begun)),
        figure("write p99.9", "us", worst.as_nanos() as f64 / 1000.0),
        figure("busy errors", "in all", f64::from(busy)),
    ]
}

async fn read<P: Pool>(mut pool: P, over: Arc<AtomicBool>) -> u64 {
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        select(&mut pool).await;
        done += 1;
        yield_now().await;
    }
    done
}

/// How long each write took, and how many failed.
async fn write<P: Pool>(mut pool: P, over: Arc<AtomicBool>) -> (Vec<Duration>, u32) {
    let (mut waits, mut busy) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match pool.update(any_id()).await {
            Ok(()) => waits.push(begun.elapsed()),
            Err(Busy) => busy += 1,
        }
        yield_now().await;
    }
    (waits, busy)
}
