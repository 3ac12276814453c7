//! `spike`: 50 requests at once on a pool with five connections open, that may open more; a connect
//! takes 150 ms, a query 2 ms. (The load is that of HikariCP's SpikeLoadTest.)

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::contest::{self, Contest, Figure, Options, figure};
use crate::pools::{Bb8, Deadpool, FastPool, Mobc, Ours, Semaphored, Sessions, Settings};
use crate::report::Report;
use crate::server::Server;

const REQUESTS: usize = 50;
const READY: u32 = 5;
const CONNECT: Duration = Duration::from_millis(150);
const QUERY: Duration = Duration::from_millis(2);

pub(crate) fn run(options: &Options) -> Report {
    let (mut contest, runtime) = (Contest::cold("spike"), contest::runtime());
    for max in [20, 50] {
        let settings = Settings::of(max).min(READY);
        enter::<Ours>(&mut contest, &runtime, settings);
        enter::<Bb8>(&mut contest, &runtime, settings);
        enter::<Deadpool>(&mut contest, &runtime, settings);
        enter::<FastPool>(&mut contest, &runtime, settings);
        enter::<Mobc>(&mut contest, &runtime, settings);
        // Fair, and all it may ever open is open: nothing can be faster with five.
        let case = case(settings);
        let runtime = runtime.clone();
        contest.enter("floor five ready connections", case, move |_| {
            runtime.block_on(spike::<Semaphored>(Settings::of(READY)))
        });
    }
    contest.run(options)
}

fn case(settings: Settings) -> String {
    format!(
        "{REQUESTS} requests on {READY} of at most {}, connect 150 ms, query 2 ms",
        settings.max
    )
}

fn enter<P: Sessions>(contest: &mut Contest, runtime: &Rc<Runtime>, settings: Settings) {
    let runtime = runtime.clone();
    contest.enter(P::NAME, case(settings), move |_| runtime.block_on(spike::<P>(settings)));
}

async fn spike<P: Sessions>(settings: Settings) -> Vec<Figure> {
    let server = Server::new(CONNECT, QUERY);
    let pool = P::new(&server, settings).await;
    let begun = Instant::now();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut session = pool.get().await.expect("in time");
                session.query().await.expect("the server is there");
            })
        })
        .collect();
    for request in requests {
        request.await.expect("no panic");
    }
    let elapsed = begun.elapsed();
    // For connects that are still under way.
    tokio::time::sleep(3 * CONNECT).await;
    vec![
        figure("time until all done", "ms", elapsed.as_secs_f64() * 1000.0),
        figure("connections opened", "connections", server.opened() as f64),
    ]
}
