//! A histogram of durations: ten buckets a decade, from 250 ns to over an hour.
//!
//! Their bounds are Renard's preferred numbers R10 (ISO 3): 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8
//! and 10, so that what people ask for ("below 1 ms", "below 5 s") is a bound, and what is exported
//! needs no second histogram.

use std::fmt;
use std::time::Duration;

/// A decade's bounds, of numbers from 1,000 to 9,999.
const DECADE: [u64; 10] = [1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000];
/// The first bound is this one of its decade, in nanoseconds from 100 on.
const FIRST: usize = 4; // 250 ns
const BUCKETS: usize = 107; // the last but one ends at 8,000 s, the last one never

/// Inclusive upper bounds in nanoseconds.
const BOUNDS: [u64; BUCKETS] = {
    let mut bounds = [u64::MAX; BUCKETS];
    let mut i = 0;
    while i < BUCKETS - 1 {
        let (decade, step) = ((i + FIRST) / 10, (i + FIRST) % 10);
        bounds[i] = DECADE[step] * 10_u64.pow(decade as u32) / 10;
        i += 1;
    }
    bounds
};

/// Four slices an octave are finer than the buckets, so that each slice has one bound in it at most:
/// the bucket of a slice's first number is that of any other in it, or the one before.
const SLICES: [u8; 256] = {
    let mut buckets = [0; 256];
    let mut slice = 0;
    let mut bucket = 0;
    while slice < 256 {
        let first = first_of(slice);
        while BOUNDS[bucket] < first {
            bucket += 1;
        }
        buckets[slice] = bucket as u8;
        slice += 1;
    }
    buckets
};

/// How often durations fell where. Exact in count, sum and maximum; quantiles are upper bounds at
/// most 28 % too large (above 250 ns).
#[derive(Clone, PartialEq, Eq)]
#[repr(C)] // what every record touches lies together
pub struct Histogram {
    sum: u128,
    max: u64,
    buckets: [u64; BUCKETS],
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

    /// Adds so many durations of zero.
    pub(crate) fn record_zeros(&mut self, count: u64) {
        self.buckets[0] += count;
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
                return Duration::from_nanos(BOUNDS[i].min(self.max));
            }
        }
        self.max()
    }

    /// What was added since an earlier reading of the same histogram. Its maximum is the bound of the
    /// last bucket in which something was added, or this maximum where that is less.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets: [u64; BUCKETS] =
            std::array::from_fn(|i| self.buckets[i].saturating_sub(earlier.buckets[i]));
        let last = buckets.iter().rposition(|n| *n > 0);
        let max = last.map_or(0, |i| BOUNDS[i].min(self.max));
        Self { buckets, sum: self.sum.saturating_sub(earlier.sum), max }
    }

    /// Adds all of another one, as of another pool.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, others)| *own += others);
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// The buckets in order: inclusive upper bound, and how many fell in.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, n)| (Duration::from_nanos(BOUNDS[i]), *n))
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
    let log = (nanos | 4).ilog2();
    let slice = 4 * log as usize + ((nanos >> (log - 2)) & 3) as usize;
    let bucket = SLICES[slice] as usize;
    bucket + usize::from(nanos > BOUNDS[bucket])
}

/// The first number in a slice.
const fn first_of(slice: usize) -> u64 {
    let (log, quarter) = (slice / 4, slice as u64 % 4);
    if log < 2 { 0 } else { (4 + quarter) << (log - 2) }
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
        let around =
            |n: u64| [n.saturating_sub(1), n, n.saturating_add(1), (n / 3).saturating_mul(5)];
        let numbers = (0..64).map(|shift| 1 << shift).chain(BOUNDS).flat_map(around);
        for nanos in numbers.chain(0..10_000) {
            let i = index(nanos);
            assert!(nanos <= BOUNDS[i], "{nanos} in {i}");
            assert!(i == 0 || nanos > BOUNDS[i - 1], "{nanos} in {i}");
        }
    }

    #[test]
    fn the_bounds_are_round_and_close() {
        assert_eq!(BOUNDS[..4], [250, 315, 400, 500]);
        assert_eq!(BOUNDS[BUCKETS - 2..], [8_000_000_000_000, u64::MAX]);
        for round in ["1us", "2500ns", "1ms", "5ms", "10ms", "250ms", "1s", "5s", "10s", "50s"] {
            let nanos = crate::duration::parse(round).unwrap().as_nanos() as u64;
            assert!(BOUNDS.contains(&nanos), "{round}");
        }
        let finite = &BOUNDS[..BUCKETS - 1];
        assert!(finite.windows(2).all(|pair| pair[1] as f64 <= pair[0] as f64 * 1.281));
    }

    #[test]
    fn what_lies_between_two_readings_is_apart_from_what_was_before() {
        let mut h = Histogram::new();
        h.record(Duration::from_secs(9));
        let earlier = h.clone();
        h.record(Duration::from_micros(900));
        let between = h.since(&earlier);
        assert_eq!((between.count(), between.sum()), (1, Duration::from_micros(900)));
        assert_eq!(between.max(), Duration::from_millis(1), "the bucket's bound");
        assert_eq!(h.since(&h).max(), Duration::ZERO);

        let mut both = between.clone();
        both.merge(&earlier);
        assert_eq!(
            (both.buckets().collect::<Vec<_>>(), both.sum()),
            (h.buckets().collect(), h.sum())
        );
    }

    #[test]
    fn quantiles_are_at_most_28_percent_too_large_and_never_above_the_maximum() {
        let mut h = Histogram::new();
        (1..=1000).for_each(|us| h.record(Duration::from_micros(us)));
        assert_eq!(h.quantile(0.5), Duration::from_micros(500));
        assert_eq!(h.quantile(0.501), Duration::from_micros(630));
        assert_eq!(h.quantile(1.0), Duration::from_millis(1));
        assert_eq!(h.mean(), Duration::from_nanos(500_500));
        assert_eq!(h.count(), 1000);
    }
}
