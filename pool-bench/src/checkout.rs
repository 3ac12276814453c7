//! `checkout`: a connection taken and given back, and nobody else wants it. `instructions`: the
//! same counted by callgrind, which a busy machine does not disturb.

use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::contest::{self, Contest, Figure, Options, figure};
use crate::pools::{
    Bare, Bb8, Blocking, Deadpool, FastPool, Mobc, Observed, Ours, Pool, R2d2, Semaphored,
    Settings, Sqlx, Watched,
};
use crate::report::Report;
use crate::server::Server;

/// Between two looks at the clock.
const BATCH: u32 = 500;

pub(crate) fn run(options: &Options) -> Report {
    let mut contest = Contest::new("checkout");
    let (runtime, cores) = (contest::runtime(), contest::cores());
    for tasks in [1, cores] {
        enter::<Ours>(&mut contest, &runtime, tasks);
        enter::<Observed>(&mut contest, &runtime, tasks);
        enter::<Watched<false>>(&mut contest, &runtime, tasks);
        enter::<Watched<true>>(&mut contest, &runtime, tasks);
        enter::<Bb8>(&mut contest, &runtime, tasks);
        enter::<Deadpool>(&mut contest, &runtime, tasks);
        enter::<FastPool>(&mut contest, &runtime, tasks);
        enter::<Mobc>(&mut contest, &runtime, tasks);
        enter::<Sqlx>(&mut contest, &runtime, tasks);
        enter::<Bare>(&mut contest, &runtime, tasks);
        enter::<Semaphored>(&mut contest, &runtime, tasks);
    }
    for threads in [1, cores] {
        enter_blocking::<Ours>(&mut contest, threads);
        enter_blocking::<R2d2>(&mut contest, threads);
    }
    contest.run(options)
}

fn enter<P: Pool>(contest: &mut Contest, runtime: &Rc<Runtime>, tasks: usize) {
    let runtime = runtime.clone();
    let pool = runtime.block_on(P::new(&Server::default(), Settings::of(8)));
    let case =
        if tasks == 1 { "one task".into() } else { format!("{tasks} tasks, as many as cores") };
    contest.enter(P::NAME, case, move |time| {
        let loops = (0..tasks).map(|_| {
            let pool = pool.clone();
            runtime.spawn(async move {
                let (begun, mut done) = (Instant::now(), 0);
                while begun.elapsed() < time {
                    for _ in 0..BATCH {
                        drop(pool.get().await.expect("there is one"));
                    }
                    done += BATCH;
                }
                begun.elapsed().as_nanos() as f64 / f64::from(done)
            })
        });
        let loops: Vec<_> = loops.collect();
        let nanos = loops.into_iter().map(|task| runtime.block_on(task).expect("no panic"));
        mean(nanos.sum(), tasks)
    });
}

fn enter_blocking<P: Blocking>(contest: &mut Contest, threads: usize) {
    let pool = P::new_blocking(&Server::default(), Settings::of(8));
    let case = match threads {
        1 => "one thread".into(),
        _ => format!("{threads} threads, as many as cores"),
    };
    contest.enter(P::BLOCKING, case, move |time| {
        let loops = (0..threads).map(|_| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let (begun, mut done) = (Instant::now(), 0);
                while begun.elapsed() < time {
                    for _ in 0..BATCH {
                        drop(pool.get_blocking().expect("there is one"));
                    }
                    done += BATCH;
                }
                begun.elapsed().as_nanos() as f64 / f64::from(done)
            })
        });
        let loops: Vec<_> = loops.collect();
        let nanos = loops.into_iter().map(|thread| thread.join().expect("no panic"));
        mean(nanos.sum(), threads)
    });
}

fn mean(sum: f64, of: usize) -> Vec<Figure> {
    vec![figure("checkout", "ns", sum / of as f64)]
}

const COUNTED: [&str; 7] = [
    Ours::NAME,
    Observed::NAME,
    Watched::<false>::NAME,
    Bb8::NAME,
    Deadpool::NAME,
    FastPool::NAME,
    "floor Semaphore + ArrayQueue",
];

/// Counts instructions: this program once more, under valgrind, with two numbers of checkouts.
pub(crate) fn instructions(_: &Options) -> Report {
    let mut report = Report::new("instructions");
    for pool in COUNTED {
        let [few, many] = [2_000, 12_000].map(|times| count(pool, times));
        let each = (many - few) as f64 / 10_000.0;
        report.add(pool, "one task", &figure("instructions per checkout", "instructions", each));
    }
    report
}

fn count(pool: &str, times: u32) -> u64 {
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["one", pool, &times.to_string()])
        .output()
        .expect("valgrind is there: apt-get install valgrind");
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.split("Collected : ").nth(1).unwrap_or_default();
    let count = collected.split_whitespace().next().and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("valgrind: {told}"))
}

/// What is counted: so many checkouts, one after the other.
pub(crate) fn one(pool: &str, times: &str) -> std::process::ExitCode {
    let times = times.parse().expect("a number of checkouts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        match pool {
            Ours::NAME => repeat::<Ours>(times).await,
            Observed::NAME => repeat::<Observed>(times).await,
            name if name == Watched::<false>::NAME => repeat::<Watched<false>>(times).await,
            Bb8::NAME => repeat::<Bb8>(times).await,
            Deadpool::NAME => repeat::<Deadpool>(times).await,
            FastPool::NAME => repeat::<FastPool>(times).await,
            _ => repeat::<Semaphored>(times).await,
        }
    });
    std::process::ExitCode::SUCCESS
}

async fn repeat<P: Pool>(times: u32) {
    let pool = P::new(&Server::new(Duration::ZERO, Duration::ZERO), Settings::of(8)).await;
    for _ in 0..times {
        drop(pool.get().await.expect("there is one"));
    }
}
