//! `contended`: more tasks than connections.
//!
//! *Closed*: so many tasks, each of which asks again as soon as it gave back (greedy) or after a
//! while (thinking). First without a clock in the loop, for throughput and fairness; then once more
//! with one, for the waits. *Open*: requests come at their own pace, whatever became of those
//! before, and a wait counts from when its request was due: no coordinated omission.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::yield_now;

use crate::contest::{self, Contest, Figure, Options, figure};
use crate::pools::{
    Bb8, Deadpool, FastPool, Mobc, Ours, Pool, Semaphored, Settings, Sqlx, Watched,
};
use crate::report::Report;
use crate::server::Server;

const CONNECTIONS: u32 = 8;

/// What a task does with a connection, and between two.
#[derive(Clone, Copy)]
enum Pause {
    None,
    Yield,
    Spin(Duration),
    Sleep(Duration),
}

impl Pause {
    async fn take(self) {
        match self {
            Self::None => {}
            Self::Yield => yield_now().await,
            // Shorter than tokio's timer can.
            Self::Spin(time) => {
                let begun = Instant::now();
                while begun.elapsed() < time {
                    yield_now().await;
                }
            }
            Self::Sleep(time) => tokio::time::sleep(time).await,
        }
    }
}

#[derive(Clone, Copy)]
struct Load {
    tasks: usize,
    hold: Pause,
    think: Pause,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn run(options: &Options) -> Report {
    let mut contest = Contest::new("contended");
    let runtime = contest::runtime();
    let greedy = |tasks, hold| Load { tasks, hold, think: Pause::None };
    for tasks in [8, 16, 64, 512, 4096] {
        let case = format!("{tasks} tasks on 8 connections, one yield");
        enter_all(&mut contest, &runtime, &case, greedy(tasks, Pause::Yield));
    }
    let spin = Pause::Spin(Duration::from_micros(50));
    for (tasks, hold, name) in [
        (64, Pause::None, "not held"),
        (64, spin, "50 us"),
        (64, Pause::Sleep(ms(1)), "1 ms"),
        (512, Pause::Sleep(ms(1)), "1 ms"),
        (64, Pause::Sleep(ms(10)), "10 ms"),
    ] {
        let case = format!("{tasks} tasks on 8 connections, {name}");
        enter_all(&mut contest, &runtime, &case, greedy(tasks, hold));
    }
    for (hold, think, name) in [
        (Pause::Yield, Pause::Yield, "one yield, then one yield away"),
        (Pause::Sleep(ms(1)), Pause::Sleep(ms(5)), "1 ms, then 5 ms away"),
    ] {
        let case = format!("64 tasks on 8 connections, {name}");
        enter_all(&mut contest, &runtime, &case, Load { tasks: 64, hold, think });
    }
    for (share, every) in [(50, 500), (90, 278)] {
        let case = format!("requests at {share} % of what 8 connections can, 2 ms each");
        let every = Duration::from_micros(every);
        enter_open::<Ours>(&mut contest, &runtime, &case, every);
        enter_open::<Bb8>(&mut contest, &runtime, &case, every);
        enter_open::<Deadpool>(&mut contest, &runtime, &case, every);
        enter_open::<FastPool>(&mut contest, &runtime, &case, every);
        enter_open::<Semaphored>(&mut contest, &runtime, &case, every);
    }
    contest.run(options)
}

fn enter_all(contest: &mut Contest, runtime: &Rc<Runtime>, case: &str, load: Load) {
    enter::<Ours>(contest, runtime, case, load);
    enter::<Watched<true>>(contest, runtime, case, load);
    enter::<Bb8>(contest, runtime, case, load);
    enter::<Deadpool>(contest, runtime, case, load);
    enter::<FastPool>(contest, runtime, case, load);
    enter::<Mobc>(contest, runtime, case, load);
    enter::<Sqlx>(contest, runtime, case, load);
    enter::<Semaphored>(contest, runtime, case, load);
}

fn enter<P: Pool>(contest: &mut Contest, runtime: &Rc<Runtime>, case: &str, load: Load) {
    let runtime = runtime.clone();
    let pool = runtime.block_on(full::<P>());
    contest.enter(P::NAME, case, move |time| {
        let mut figures = runtime.block_on(counted(&pool, load, time / 2));
        figures.extend(runtime.block_on(timed(&pool, load, time / 2)));
        figures
    });
}

/// A pool with all its connections open.
async fn full<P: Pool>() -> P {
    let pool = P::new(&Server::default(), Settings::of(CONNECTIONS)).await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(pool.get().await.expect("there is one"));
    }
    pool
}

/// How often each task had a connection, with no clock in the loop. They begin together: whoever
/// was spawned first would else be ahead.
async fn counted<P: Pool>(pool: &P, load: Load, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(load.tasks + 1));
    let tasks: Vec<_> = (0..load.tasks)
        .map(|_| {
            let (pool, over, start) = (pool.clone(), over.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let mut done = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    let guard = pool.get().await.expect("in time");
                    load.hold.take().await;
                    drop(guard);
                    done += 1;
                    load.think.take().await;
                }
                done
            })
        })
        .collect();
    start.wait().await;
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(f64::from(task.await.expect("no panic")));
    }
    let sum: f64 = counts.iter().sum();
    let squares: f64 = counts.iter().map(|count| count * count).sum();
    let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = counts.iter().copied().fold(1.0, f64::max);
    vec![
        figure("throughput", "k/s", sum / elapsed.as_secs_f64() / 1000.0),
        figure("fairness", "min/max per task", least / most),
        figure("Jain index", "of 1", sum * sum / (counts.len() as f64 * squares.max(1.0))),
    ]
}

/// How long they waited.
async fn timed<P: Pool>(pool: &P, load: Load, time: Duration) -> Vec<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..load.tasks)
        .map(|_| {
            let (pool, over) = (pool.clone(), over.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let guard = pool.get().await.expect("in time");
                    waits.push(asked.elapsed());
                    load.hold.take().await;
                    drop(guard);
                    load.think.take().await;
                }
                waits
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("no panic"));
    }
    quantiles(waits)
}

fn enter_open<P: Pool>(contest: &mut Contest, runtime: &Rc<Runtime>, case: &str, every: Duration) {
    let runtime = runtime.clone();
    let pool = runtime.block_on(full::<P>());
    contest.enter(P::NAME, case, move |time| runtime.block_on(open(&pool, every, time)));
}

/// Requests that come at random, on average as often as this.
async fn open<P: Pool>(pool: &P, every: Duration, time: Duration) -> Vec<Figure> {
    let (begun, mut due, mut requests) = (Instant::now(), Duration::ZERO, Vec::new());
    // The same requests for every pool.
    let mut rng = fastrand::Rng::with_seed(7);
    while due < time {
        tokio::time::sleep_until((begun + due).into()).await;
        let (pool, asked) = (pool.clone(), begun + due);
        requests.push(tokio::spawn(async move {
            let guard = pool.get().await.expect("in time");
            let waited = asked.elapsed();
            tokio::time::sleep(ms(2)).await;
            drop(guard);
            waited
        }));
        due += every.mul_f64(-(1.0 - rng.f64()).ln());
    }
    let mut waits = Vec::new();
    for request in requests {
        waits.push(request.await.expect("no panic"));
    }
    quantiles(waits)
}

fn quantiles(mut waits: Vec<Duration>) -> Vec<Figure> {
    waits.sort_unstable();
    let at = |share: f64| {
        let last = waits.len().saturating_sub(1);
        let wait = waits.get((last as f64 * share) as usize).copied().unwrap_or_default();
        wait.as_nanos() as f64 / 1000.0
    };
    vec![
        figure("wait p50", "us", at(0.5)),
        figure("wait p99", "us", at(0.99)),
        figure("wait p99.9", "us", at(0.999)),
        figure("wait max", "us", at(1.0)),
    ]
}
