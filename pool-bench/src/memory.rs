//! `memory`: what an idle connection, somebody who waits and a pool take, by the resident memory of
//! a process of its own; allocations per checkout, counted by valgrind; and who is served when
//! 100,000 wait.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::contest::{Contest, Figure, Options, figure};
use crate::pools::{Bb8, Deadpool, FastPool, Mobc, Ours, Pool, Settings};
use crate::report::Report;
use crate::server::Server;

const POOLS: [&str; 5] = [Ours::NAME, Bb8::NAME, Deadpool::NAME, FastPool::NAME, Mobc::NAME];
const CONNECTIONS: u32 = 20_000;
const WAITERS: usize = 100_000;
const MANY: usize = 2_000;

pub(crate) fn run(options: &Options) -> Report {
    let mut contest = Contest::cold("memory");
    for pool in POOLS {
        for case in ["an idle connection", "who waits", "a pool"] {
            contest.enter(pool, case, move |_| told(pool, case));
        }
        contest.enter(pool, "a checkout", move |_| {
            let [few, many] = [1_000, 3_000].map(|times| allocations(pool, times));
            // One or two less are the process' end's.
            let more = many.saturating_sub(few) as f64;
            vec![figure("allocations", "allocations", more / 2_000.0)]
        });
    }
    contest.run(options)
}

/// Has it measured by this program, started anew.
fn told(pool: &str, case: &str) -> Vec<Figure> {
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new(program).args(["footprint", pool, case]).output();
    let output = output.expect("a process can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    let mut figures = told.split_whitespace().map(|value| value.parse().expect("a number"));
    let mut next = || figures.next().unwrap_or_else(|| panic!("{pool}, {case}: {output:?}"));
    match case {
        "who waits" => vec![
            figure("memory", "bytes", next()),
            figure("served until all had been", "ms", next()),
            figure("served out of order", "of 100000", next()),
        ],
        _ => vec![figure("memory", "bytes", next())],
    }
}

/// How often a process with so many checkouts allocates.
fn allocations(pool: &str, times: u32) -> u64 {
    let program = std::env::current_exe().expect("it runs");
    let output =
        Command::new("valgrind").arg(program).args(["one", pool, &times.to_string()]).output();
    let output = output.expect("valgrind is there: apt-get install valgrind");
    let told = String::from_utf8_lossy(&output.stderr);
    let usage = told.split("total heap usage: ").nth(1).unwrap_or_default();
    let count =
        usage.split_whitespace().next().and_then(|count| count.replace(',', "").parse().ok());
    count.unwrap_or_else(|| panic!("valgrind: {told}"))
}

/// Measures here, and prints the figures.
pub(crate) fn footprint(pool: &str, case: &str) -> std::process::ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        match pool {
            Ours::NAME => measure::<Ours>(case).await,
            Bb8::NAME => measure::<Bb8>(case).await,
            Deadpool::NAME => measure::<Deadpool>(case).await,
            FastPool::NAME => measure::<FastPool>(case).await,
            _ => measure::<Mobc>(case).await,
        }
    });
    std::process::ExitCode::SUCCESS
}

async fn measure<P: Pool>(case: &str) {
    // Whatever is made only once.
    drop(P::new(&Server::default(), Settings::of(1)).await.get().await);
    match case {
        "an idle connection" => idle::<P>().await,
        "who waits" => waiting::<P>().await,
        _ => pools::<P>().await,
    }
}

async fn idle<P: Pool>() {
    let mut held = Vec::with_capacity(CONNECTIONS as usize);
    held.resize_with(CONNECTIONS as usize, || None);
    let before = resident();
    let pool = P::new(&Server::default(), Settings::of(CONNECTIONS)).await;
    for place in &mut held {
        *place = pool.get().await;
    }
    held.iter_mut().for_each(|place| drop(place.take()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    println!("{}", resident().saturating_sub(before) / u64::from(CONNECTIONS));
}

async fn waiting<P: Pool>() {
    let settings = Settings::of(1).timeout(Duration::from_secs(600));
    let pool = P::new(&Server::default(), settings).await;
    let held = pool.get().await.expect("there is one");
    let order = Arc::new(Mutex::new(Vec::with_capacity(WAITERS)));
    let mut tasks = Vec::with_capacity(WAITERS);
    let before = resident();
    for n in 0..WAITERS {
        let (pool, order) = (pool.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = pool.get().await.expect("in time");
            order.lock().expect("nobody panics with it").push(n);
            drop(guard);
        }));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let each = resident().saturating_sub(before) / WAITERS as u64;
    let begun = Instant::now();
    drop(held);
    for task in tasks {
        task.await.expect("no panic");
    }
    let elapsed = begun.elapsed().as_millis();
    let order = order.lock().expect("nobody panics with it");
    let late = order.iter().enumerate().filter(|(place, n)| place != *n).count();
    println!("{each} {elapsed} {late}");
}

async fn pools<P: Pool>() {
    let mut pools = Vec::with_capacity(MANY);
    let before = resident();
    for _ in 0..MANY {
        pools.push(P::new(&Server::default(), Settings::of(8)).await);
    }
    println!("{}", resident().saturating_sub(before) / MANY as u64);
}

/// The process's resident memory in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("it is a Linux");
    let pages: u64 =
        pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
