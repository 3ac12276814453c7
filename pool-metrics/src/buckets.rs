//! A histogram that many threads fill at once, for what no pool counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Inclusive upper bounds in nanoseconds: 250 ns, then 1, 2.5 and 5 of each decade from a
/// microsecond to 100 s. Beyond is the last bucket, which has none.
pub(crate) const BOUNDS: [u64; 26] = {
    let mut bounds = [250; 26];
    let (mut i, mut decade) = (1, 1_000);
    while i < 26 {
        bounds[i] = decade;
        if i + 2 < 26 {
            bounds[i + 1] = decade * 5 / 2;
            bounds[i + 2] = decade * 5;
        }
        i += 3;
        decade *= 10;
    }
    bounds
};

/// Filled with one addition for the bucket and one for the sum; read without a lock.
#[derive(Debug, Default)]
pub(crate) struct SharedBuckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
    max: AtomicU64,
}

impl SharedBuckets {
    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[index(nanos)].fetch_add(1, Ordering::Relaxed);
        if nanos > 0 {
            self.sum.fetch_add(nanos, Ordering::Relaxed);
            if nanos > self.max.load(Ordering::Relaxed) {
                self.max.fetch_max(nanos, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn read(&self) -> Buckets {
        Buckets {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

#[inline]
fn index(nanos: u64) -> usize {
    if nanos <= BOUNDS[0] {
        return 0;
    }
    BOUNDS.partition_point(|bound| *bound < nanos)
}

/// How often durations fell where, at one moment. Bounds: 250 ns, then 1, 2.5 and 5 of each decade
/// from a microsecond to 100 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    counts: [u64; BOUNDS.len() + 1],
    sum: u64,
    max: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { counts: [0; BOUNDS.len() + 1], sum: 0, max: 0 }
    }
}

impl Buckets {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The mean, or zero when empty.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.checked_div(self.count()).unwrap_or(0))
    }

    /// A duration that the share `q` (0 to 1) of all stay at or below: the bound of a bucket, or the
    /// longest where that is less; zero when empty.
    pub fn quantile(&self, q: f64) -> Duration {
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bound, n) in self.iter() {
            seen += n;
            if seen >= rank {
                return bound.unwrap_or(Duration::MAX).min(self.max());
            }
        }
        Duration::ZERO
    }

    /// The buckets in order: inclusive upper bound, none for the last; and how many fell in.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|nanos| Some(Duration::from_nanos(*nanos))).chain([None]);
        bounds.zip(self.counts)
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counts: [u64; _] =
            std::array::from_fn(|i| self.counts[i].saturating_sub(earlier.counts[i]));
        // The longest of all may be from before: then it is the bound of the last bucket filled since.
        let bound = |i| BOUNDS.get(i).copied().unwrap_or(u64::MAX);
        let max = counts.iter().rposition(|n| *n > 0).map_or(0, |i| self.max.min(bound(i)));
        Self { counts, sum: self.sum.saturating_sub(earlier.sum), max }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(own, others)| *own += others);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_what_people_ask_for() {
        let micros = |us: f64| (us * 1e3) as u64;
        assert_eq!(BOUNDS[..5], [0.25, 1.0, 2.5, 5.0, 10.0].map(micros));
        assert_eq!(BOUNDS[25], 100_000_000_000);
        assert!(BOUNDS.is_sorted());
        for nanos in BOUNDS.iter().flat_map(|n| [n - 1, *n, n + 1]).chain([0, u64::MAX]) {
            let i = index(nanos);
            assert!(BOUNDS.get(i).is_none_or(|bound| nanos <= *bound), "{nanos}");
            assert!(i == 0 || nanos > BOUNDS[i - 1], "{nanos}");
        }
    }

    #[test]
    fn what_is_read_is_what_was_recorded() {
        let shared = SharedBuckets::default();
        assert_eq!(shared.read().quantile(0.5), Duration::ZERO);
        for ms in [0, 1, 2, 3, 700] {
            shared.record(Duration::from_millis(ms));
        }
        let read = shared.read();
        assert_eq!((read.count(), read.sum()), (5, Duration::from_millis(706)));
        assert_eq!(read.quantile(0.6), Duration::from_micros(2500));
        assert_eq!(read.quantile(1.0), Duration::from_millis(700));
        assert_eq!((read.since(&read).count(), read.since(&read).max()), (0, Duration::ZERO));
        shared.record(Duration::from_micros(900));
        assert_eq!(shared.read().since(&read).max(), Duration::from_millis(1));
    }
}
