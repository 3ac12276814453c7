//! One database under watch: a pool, or the sides of one, as SQLite has them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pool_core::{Holder, PoolConfig, PoolView, Statistics};
use tokio::time::Instant;

use crate::health::{self, Health, Probe, Thresholds};
use crate::history::{History, Point, Window};
use crate::monitor::lock;

/// How long the answer of a health check is good for: whoever asks meanwhile gets it too, so that
/// nobody can make a pool check by asking.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) views: Vec<PoolView>,
    history: Mutex<History>,
    /// What was counted when the figures were reset.
    baseline: Mutex<Option<Statistics>>,
    probe: tokio::sync::Mutex<()>,
    probed: Mutex<Option<(Instant, Probe)>>,
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
    /// Its pools one by one, with counts and times since they were made.
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
    /// At least one view.
    pub(crate) fn new(name: String, views: Vec<PoolView>) -> Self {
        Self {
            name,
            views,
            history: Mutex::default(),
            baseline: Mutex::default(),
            probe: tokio::sync::Mutex::default(),
            probed: Mutex::default(),
        }
    }

    fn read(&self) -> (Vec<Statistics>, Statistics) {
        let sides: Vec<Statistics> = self.views.iter().map(PoolView::statistics).collect();
        let mut all = sides[0].clone();
        sides[1..].iter().for_each(|side| all.merge(side));
        all.snapshot.name.clone_from(&self.name);
        (sides, all)
    }

    pub(crate) fn sample(&self, now: Instant, window: Duration) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let (_, all) = self.read();
        lock(&self.history).sample(now, unix_millis, all, window);
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        lock(&self.history).points()
    }

    pub(crate) fn reset(&self) {
        let (_, all) = self.read();
        *lock(&self.baseline) = Some(all);
    }

    pub(crate) fn report(&self, thresholds: &Thresholds) -> Report {
        let now = Instant::now();
        let (sides, all) = self.read();
        let window = lock(&self.history).window(now, &all, thresholds.window);
        let total = match &*lock(&self.baseline) {
            Some(baseline) => all.since(baseline),
            None => all,
        };
        let Window { between, utilization, length } = window;
        let last_connect_error = self.last_connect_error();
        let last_probe = lock(&self.probed).as_ref().map(|(at, probe)| (now - *at, probe.clone()));
        let last_failure = last_connect_error.as_ref().map(|(ago, _)| *ago);
        let seen = health::Seen {
            pool: &self.name,
            window: &between,
            utilization,
            last_failure,
            probe: last_probe.as_ref().map(|(_, probe)| probe),
        };
        Report {
            name: self.name.clone(),
            health: health::judge(&seen, thresholds),
            holders: self.holders(),
            configs: self.views.iter().map(PoolView::config).collect(),
            window: between,
            window_length: length,
            utilization,
            total,
            sides,
            last_connect_error,
            last_probe,
        }
    }

    fn holders(&self) -> Vec<Holder> {
        let mut all: Vec<Holder> = self.views.iter().flat_map(PoolView::holders).collect();
        all.sort_by_key(|holder| std::cmp::Reverse(holder.count));
        all
    }

    fn last_connect_error(&self) -> Option<(Duration, String)> {
        let all = self.views.iter().filter_map(PoolView::last_connect_error);
        all.min_by_key(|(ago, _)| *ago).map(|(ago, error)| (ago, error.to_string()))
    }

    /// Checks that the database answers over every side; one at a time, and at most once a second.
    pub(crate) async fn probe(&self, within: Duration) -> Probe {
        let _one_at_a_time = self.probe.lock().await;
        if let Some((at, probe)) = &*lock(&self.probed)
            && at.elapsed() < FRESH
        {
            return probe.clone();
        }
        let begun = Instant::now();
        let mut error = None;
        for view in &self.views {
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
