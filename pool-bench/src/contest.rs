//! [`Contest`]: who is measured in what. Within a round all take turns, so that a machine that is
//! slow for a while is so for all of them; in each round in another order, the same in each run, so
//! that none always follows the same one.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::report::Report;

/// What can be chosen on the command line.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// How long one measurement takes.
    pub(crate) time: Duration,
    /// What the names of the cases contain.
    pub(crate) only: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 5, time: Duration::from_millis(300), only: String::new() }
    }
}

/// A figure, and what it is.
pub(crate) struct Figure {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

/// A short way to write a [`Figure`].
pub(crate) fn figure(metric: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { metric, unit, value }
}

type Measure = Box<dyn FnMut(Duration) -> Vec<Figure>>;

/// How many threads run at once here.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// A runtime with a worker for each core.
pub(crate) fn runtime() -> Rc<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(cores()).enable_all().build();
    Rc::new(runtime.expect("a runtime can be made"))
}

/// Everything that is to be measured.
pub(crate) struct Contest {
    bench: &'static str,
    entries: Vec<(&'static str, String, Measure)>,
    warm_up: bool,
}

impl Contest {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, entries: Vec::new(), warm_up: true }
    }

    /// For what waits most of the time, or starts anew each time.
    pub(crate) fn cold(bench: &'static str) -> Self {
        Self { warm_up: false, ..Self::new(bench) }
    }

    /// Adds a pool in a case: what it does for the given time, and what came out.
    pub(crate) fn enter(
        &mut self,
        pool: &'static str,
        case: impl Into<String>,
        measure: impl FnMut(Duration) -> Vec<Figure> + 'static,
    ) {
        self.entries.push((pool, case.into(), Box::new(measure)));
    }

    /// Measures. Unless it is cold, a short round before the first warms up and does not count.
    pub(crate) fn run(mut self, options: &Options) -> Report {
        let mut report = Report::new(self.bench);
        self.entries.retain(|(_, case, _)| case.contains(&options.only));
        for round in usize::from(!self.warm_up)..=options.rounds {
            eprintln!("{}: round {round} of {}", self.bench, options.rounds);
            let time = if round == 0 { options.time / 10 } else { options.time };
            for entries in self.entries.chunk_by_mut(|(_, one, _), (_, other, _)| one == other) {
                let mut turns: Vec<_> = (0..entries.len()).collect();
                fastrand::Rng::with_seed(round as u64).shuffle(&mut turns);
                let mut seen: Vec<_> = entries.iter().map(|_| Vec::new()).collect();
                for turn in turns {
                    seen[turn] = entries[turn].2(time);
                }
                for ((pool, case, _), figures) in entries.iter().zip(&seen) {
                    if round > 0 {
                        figures.iter().for_each(|figure| report.add(pool, case, figure));
                    }
                }
            }
        }
        report
    }
}
