//! A histogram of durations: four buckets an octave, from a quarter microsecond to over an hour.

use std::fmt;
use std::time::Duration;

const FIRST: u32 = 8; // bucket 0 ends at 2^8 = 256 ns
const OCTAVES: u32 = 34; // the last one ends at 2^42 ns = 73 minutes
const BUCKETS: usize = 1 + 4 * OCTAVES as usize + 1;

/// How often durations fell where. Exact in count, sum and maximum; quantiles are upper bounds at
/// most 25 % too large.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum: u128,
    max: u64,
}

impl Histogram {
    /// Empty.
    pub fn new() -> Self {
        Self { buckets: [0; BUCKETS], sum: 0, max: 0 }
    }

    /// Adds a duration.
    pub fn record(&mut self, duration: Duration) {
        self.record_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    pub(crate) fn record_nanos(&mut self, nanos: u64) {
        self.buckets[index(nanos)] += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    /// Takes back a duration that was recorded.
    pub(crate) fn forget_nanos(&mut self, nanos: u64) {
        self.buckets[index(nanos)] -= 1;
        self.sum -= u128::from(nanos);
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        let (secs, nanos) = (self.sum / 1_000_000_000, self.sum % 1_000_000_000);
        Duration::new(u64::try_from(secs).unwrap_or(u64::MAX), nanos as u32)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The mean, or zero when empty.
    pub fn mean(&self) -> Duration {
        match u128::from(self.count()) {
            0 => Duration::ZERO,
            count => Duration::from_nanos((self.sum / count) as u64),
        }
    }

    /// A duration that the share `q` (0 to 1) of all stay at or below; zero when empty.
    pub fn quantile(&self, q: f64) -> Duration {
        let count = self.count();
        if count == 0 {
            return Duration::ZERO;
        }
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Duration::from_nanos(upper(i).min(self.max));
            }
        }
        self.max()
    }

    /// The buckets in order: inclusive upper bound, and how many fell in.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, n)| (Duration::from_nanos(upper(i)), *n))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[inline]
fn index(nanos: u64) -> usize {
    if nanos < 1 << FIRST {
        return 0;
    }
    let log = nanos.ilog2();
    let sub = (nanos >> (log - 2)) & 3;
    (1 + 4 * (log - FIRST) as usize + sub as usize).min(BUCKETS - 1)
}

fn upper(index: usize) -> u64 {
    match index {
        0 => (1 << FIRST) - 1,
        i if i == BUCKETS - 1 => u64::MAX,
        i => {
            let (octave, sub) = ((i - 1) / 4, (i - 1) % 4);
            let base = 1_u64 << (FIRST as usize + octave);
            base + (base / 4) * (sub as u64 + 1) - 1
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut s = serializer.serialize_struct("Histogram", 6)?;
        s.serialize_field("count", &self.count())?;
        s.serialize_field("sum_seconds", &self.sum().as_secs_f64())?;
        s.serialize_field("mean_seconds", &self.mean().as_secs_f64())?;
        s.serialize_field("p50_seconds", &self.quantile(0.5).as_secs_f64())?;
        s.serialize_field("p99_seconds", &self.quantile(0.99).as_secs_f64())?;
        s.serialize_field("max_seconds", &self.max().as_secs_f64())?;
        s.end()
    }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_that_bounds_it() {
        for shift in 0..64 {
            for nanos in [1_u64 << shift, (1 << shift) + 1, (1 << shift) - 1, (1 << shift) / 3 * 5]
            {
                let i = index(nanos);
                assert!(nanos <= upper(i), "{nanos} in {i}");
                assert!(i == 0 || nanos > upper(i - 1), "{nanos} in {i}");
            }
        }
    }

    #[test]
    fn quantiles_are_at_most_a_quarter_too_large_and_never_above_the_maximum() {
        let mut h = Histogram::new();
        (1..=1000).for_each(|us| h.record(Duration::from_micros(us)));
        let median = h.quantile(0.5).as_secs_f64();
        assert!((500e-6..=625e-6).contains(&median), "{median}");
        assert_eq!(h.quantile(1.0), Duration::from_millis(1));
        assert_eq!(h.mean(), Duration::from_nanos(500_500));
        assert_eq!(h.count(), 1000);
    }
}
