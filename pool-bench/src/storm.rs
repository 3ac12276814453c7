//! `storm`: what callers and the server see when things go wrong. Nothing here depends on how fast
//! the machine is: all of it waits.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::contest::{self, Contest, Figure, Options, figure};
use crate::pools::{Bb8, Deadpool, FastPool, Mobc, Ours, Sessions, Settings};
use crate::report::Report;
use crate::server::Server;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn run(options: &Options) -> Report {
    let (mut contest, runtime) = (Contest::cold("storm"), contest::runtime());
    enter_all::<Ours>(&mut contest, &runtime);
    enter_all::<Bb8>(&mut contest, &runtime);
    enter_all::<Deadpool>(&mut contest, &runtime);
    enter_all::<FastPool>(&mut contest, &runtime);
    enter_all::<Mobc>(&mut contest, &runtime);
    // Deadpool and fast_pool know no lifetime.
    enter_cohort::<Ours>(&mut contest, &runtime);
    enter_cohort::<Bb8>(&mut contest, &runtime);
    enter_cohort::<Mobc>(&mut contest, &runtime);
    contest.run(options)
}

fn enter_all<P: Sessions>(contest: &mut Contest, runtime: &Rc<Runtime>) {
    for seconds in [1, 30] {
        let (runtime, case) =
            (runtime.clone(), format!("server gone for {seconds} s, 32 tasks on 8"));
        contest.enter(P::NAME, case, move |_| {
            runtime.block_on(outage::<P>(Duration::from_secs(seconds)))
        });
    }
    let (here, case) = (runtime.clone(), "2000 callers with 100 ms each, connect 200 ms");
    contest.enter(P::NAME, case, move |_| here.block_on(impatient::<P>()));
    let (here, case) = (runtime.clone(), "restarted under 8 idle connections");
    contest.enter(P::NAME, case, move |_| here.block_on(idle_restart::<P>()));
}

fn enter_cohort<P: Sessions>(contest: &mut Contest, runtime: &Rc<Runtime>) {
    let (runtime, case) = (runtime.clone(), "100 connections opened together, lifetime 3 s");
    contest.enter(P::NAME, case, move |_| runtime.block_on(cohort::<P>()));
}

/// What a task met in an outage.
#[derive(Default)]
struct Met {
    statements: u32,
    acquires: u32,
    /// When it was served for the first time after the server had come back.
    served: Option<Instant>,
}

/// 32 tasks ask all the time; the server goes, and comes back.
async fn outage<P: Sessions>(gone: Duration) -> Vec<Figure> {
    let server = Server::new(ms(20), ms(1));
    let pool = P::new(&server, Settings::of(8).min(8).timeout(2 * gone + ms(5000))).await;
    let (over, back) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (pool, over, back) = (pool.clone(), over.clone(), back.clone());
            tokio::spawn(async move {
                let mut met = Met::default();
                while !over.load(Ordering::Relaxed) {
                    match pool.get().await {
                        None => met.acquires += 1,
                        Some(mut session) => match session.query().await {
                            Err(_) => met.statements += 1,
                            Ok(()) if back.get().is_some() && met.served.is_none() => {
                                met.served = Some(Instant::now());
                            }
                            Ok(()) => {}
                        },
                    }
                    yield_now().await;
                }
                met
            })
        })
        .collect();
    sleep(ms(300)).await;
    server.go();
    let begun = Instant::now();
    sleep(gone).await;
    let attempts = server.attempts().iter().filter(|at| **at > begun).count();
    let came_back = Instant::now();
    server.come_back();
    let _ = back.set(());
    sleep(ms(3000)).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.expect("no panic"));
    }
    let served = all.iter().map(|met| match met.served {
        Some(at) => (at - came_back).as_secs_f64() * 1000.0,
        None => f64::INFINITY,
    });
    let (first, last) = served
        .fold((f64::INFINITY, 0.0), |(first, last): (f64, f64), at| (first.min(at), last.max(at)));
    let sum = |what: fn(&Met) -> u32| f64::from(all.iter().map(what).sum::<u32>());
    vec![
        figure("statements failed", "statements", sum(|met| met.statements)),
        figure("acquires failed", "acquires", sum(|met| met.acquires)),
        figure("connects tried while gone", "connects", attempts as f64),
        figure("first served after", "ms", first),
        figure("last task served after", "ms", last),
    ]
}

/// One caller each millisecond, none of whom waits as long as a connect takes.
async fn impatient<P: Sessions>() -> Vec<Figure> {
    let server = Server::new(ms(200), ms(1));
    let pool = P::new(&server, Settings::of(8).timeout(ms(100))).await;
    let begun = Instant::now();
    let mut callers = Vec::new();
    for n in 0..2000 {
        tokio::time::sleep_until((begun + ms(n)).into()).await;
        let pool = pool.clone();
        callers.push(tokio::spawn(async move {
            let mut session = pool.get().await?;
            session.query().await.ok().map(|()| begun.elapsed())
        }));
    }
    let (mut first, mut served, mut steady) = (f64::INFINITY, 0.0, 0.0);
    for (n, caller) in callers.into_iter().enumerate() {
        if let Some(at) = caller.await.expect("no panic") {
            first = first.min(at.as_secs_f64() * 1000.0);
            served += 1.0;
            steady += f64::from(u8::from(n >= 1000));
        }
    }
    vec![
        figure("first served after", "ms", first),
        figure("served", "% of callers", served / 20.0),
        figure("served in the last second", "% of callers", steady / 10.0),
        figure("connections opened", "connections", server.opened() as f64),
    ]
}

/// All connections die while nobody looks; then each is used.
async fn idle_restart<P: Sessions>() -> Vec<Figure> {
    let server = Server::new(ms(20), ms(1));
    let pool = P::new(&server, Settings::of(8).min(8)).await;
    sleep(ms(700)).await;
    server.go();
    server.come_back();
    let (mut statements, mut acquires) = (0, 0);
    for _ in 0..32 {
        match pool.get().await {
            None => acquires += 1,
            Some(mut session) => statements += u32::from(session.query().await.is_err()),
        }
    }
    vec![
        figure("statements failed", "statements", f64::from(statements)),
        figure("acquires failed", "acquires", f64::from(acquires)),
    ]
}

/// How many are opened at the same moment when those from before have come to age.
async fn cohort<P: Sessions>() -> Vec<Figure> {
    let server = Server::new(ms(20), ms(1));
    let settings = Settings::of(100).min(100).lifetime(ms(3000));
    let pool = P::new(&server, settings).await;
    let begun = Instant::now();
    let mut served = 0.0;
    // Somebody has to ask, or some would not look.
    while begun.elapsed() < ms(4000) {
        if let Some(mut session) = pool.get().await {
            served += f64::from(u8::from(session.query().await.is_ok()));
        }
        sleep(ms(5)).await;
    }
    let attempts: Vec<_> = server.attempts().into_iter().filter(|at| *at > begun).collect();
    let within =
        |from: &Instant| attempts.iter().filter(|at| (*from..*from + ms(100)).contains(at)).count();
    let most = attempts.iter().map(within).max().unwrap_or_default();
    vec![
        figure("connects within 100 ms, at most", "connects", most as f64),
        figure("connects", "connects", attempts.len() as f64),
        figure("served", "requests", served),
    ]
}
