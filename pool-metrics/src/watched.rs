//! One database under watch: a pool, or the sides of one, as SQLite has them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{Holder, PoolConfig, PoolView, Statistics};
use tokio::time::{Instant, timeout};

use crate::clock::unix_millis;
use crate::health::{self, Health, Probe, Thresholds};
use crate::history::{self, History, Point};
use crate::monitor::lock;

/// How long the answer of a health check is good for: whoever asks meanwhile gets it too, so that
/// nobody can make a pool check by asking.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Watched {
    pub(crate) name: String,
    sides: Vec<Side>,
    history: Mutex<History>,
    /// What was counted when the figures were reset.
    baseline: Mutex<Option<Statistics>>,
    probe: tokio::sync::Mutex<()>,
    probed: Mutex<Option<(Instant, Probe)>>,
}

/// One of its pools.
struct Side {
    /// The pool's name, or one like it if another pool under watch has that.
    name: String,
    view: PoolView,
}

/// A database as it is now, and how it did: since the last [`reset`](crate::Monitor::reset), and in
/// the window.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The name it is watched under.
    pub name: String,
    /// All its pools together: sizes and connections as they are now, counts and times since the
    /// last reset, or since the pool was made.
    pub total: Statistics,
    /// The same with counts and times of the window only.
    pub window: Statistics,
    /// How long that window is; shorter than it is set to in the beginning.
    pub window_length: Duration,
    /// The mean share of `max_size` in use in the window, 0 to 1.
    pub utilization: f64,
    /// Its pools one by one, with counts and times since they were made. Where two pools under watch
    /// have one name, the later one's has a number here, as in all that is exported.
    pub sides: Vec<Statistics>,
    /// The settings of each of them.
    pub configs: Vec<Arc<PoolConfig>>,
    /// Who holds connections now, most first.
    pub holders: Vec<Holder>,
    /// The last connect error and how long ago it was.
    pub last_connect_error: Option<(Duration, String)>,
    /// The last health check, if there was one, and how long ago it was.
    pub last_probe: Option<(Duration, Probe)>,
    /// How it is.
    pub health: Health,
}

impl Watched {
    /// At least one view, with a name that no other has.
    pub(crate) fn new(name: String, views: Vec<(String, PoolView)>) -> Self {
        let side = |(name, view)| Side { name, view };
        let watched = Self {
            name,
            sides: views.into_iter().map(side).collect(),
            history: Mutex::default(),
            baseline: Mutex::default(),
            probe: tokio::sync::Mutex::default(),
            probed: Mutex::default(),
        };
        let sides = watched.read();
        lock(&watched.history).begin(Instant::now(), sides);
        watched
    }

    pub(crate) fn side_names(&self) -> impl Iterator<Item = &str> {
        self.sides.iter().map(|side| side.name.as_str())
    }

    /// Its pools by the names that [`side_names`](Self::side_names) tells.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn views(&self) -> impl Iterator<Item = (&str, &PoolView)> {
        self.sides.iter().map(|side| (side.name.as_str(), &side.view))
    }

    /// Whether nobody has a handle to any of its pools.
    pub(crate) fn is_gone(&self) -> bool {
        self.sides.iter().all(|side| side.view.is_gone())
    }

    fn read(&self) -> Vec<Statistics> {
        let read = |side: &Side| {
            let mut read = side.view.statistics();
            read.snapshot.name.clone_from(&side.name);
            read
        };
        self.sides.iter().map(read).collect()
    }

    /// All sides, under the database's name.
    fn together(&self, sides: &[Statistics]) -> Statistics {
        let mut all = history::together(sides);
        all.snapshot.name.clone_from(&self.name);
        all
    }

    pub(crate) fn is_due(&self, now: Instant, every: Duration) -> bool {
        lock(&self.history).is_due(now, every)
    }

    pub(crate) fn sample(&self, now: Instant, window: Duration) {
        let sides = self.read(); // before the lock
        lock(&self.history).sample(now, unix_millis(), sides, window);
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        lock(&self.history).points()
    }

    pub(crate) fn reset(&self) {
        *lock(&self.baseline) = Some(self.together(&self.read()));
    }

    pub(crate) fn report(&self, thresholds: &Thresholds) -> Report {
        let now = Instant::now();
        let sides = self.read();
        let mut window = lock(&self.history).window(now, &sides, thresholds.window);
        window.between.snapshot.name.clone_from(&self.name);
        let all = self.together(&sides);
        let total = match &*lock(&self.baseline) {
            Some(baseline) => all.since(baseline),
            None => all,
        };
        let last_connect_error = self.last_connect_error();
        let last_probe = lock(&self.probed).as_ref().map(|(at, probe)| (now - *at, probe.clone()));
        let last_failure = last_connect_error.as_ref().map(|(ago, _)| *ago);
        let seen = health::Seen {
            pool: &self.name,
            window: &window,
            last_failure,
            probe: last_probe.as_ref().map(|(age, probe)| (*age, probe)),
        };
        Report {
            name: self.name.clone(),
            health: health::judge(&seen, thresholds),
            holders: self.holders(),
            configs: self.sides.iter().map(|side| side.view.config()).collect(),
            window: window.between,
            window_length: window.length,
            utilization: window.utilization,
            total,
            sides,
            last_connect_error,
            last_probe,
        }
    }

    fn holders(&self) -> Vec<Holder> {
        let mut all: Vec<Holder> = self.sides.iter().flat_map(|side| side.view.holders()).collect();
        all.sort_by_key(|holder| std::cmp::Reverse(holder.count));
        all
    }

    fn last_connect_error(&self) -> Option<(Duration, String)> {
        let all = self.sides.iter().filter_map(|side| side.view.last_connect_error());
        all.min_by_key(|(ago, _)| *ago).map(|(ago, error)| (ago, error.to_string()))
    }

    /// Checks that the database answers over every side; one at a time, and at most once a second.
    pub(crate) async fn probe(&self, within: Duration) -> Probe {
        let begun = Instant::now();
        let Ok(_one_at_a_time) = timeout(within, self.probe.lock()).await else {
            let error = Some("another check has not ended in time".to_owned());
            return Probe { latency: begun.elapsed(), error };
        };
        if let Some((at, probe)) = &*lock(&self.probed)
            && at.elapsed() < FRESH
        {
            return probe.clone();
        }
        let mut error = None;
        for Side { view, .. } in &self.sides {
            let left = within.saturating_sub(begun.elapsed());
            if let Err(failed) = view.probe(left).await {
                error = Some(failed.to_string());
                break;
            }
        }
        let probe = Probe { latency: begun.elapsed(), error };
        *lock(&self.probed) = Some((Instant::now(), probe.clone()));
        probe
    }
}
