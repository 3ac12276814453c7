//! Durations that were counted elsewhere, told to OpenTelemetry's histograms.
//!
//! These take one duration at a time. So what came since the last time is told bucket by bucket, each
//! duration at a value within the bounds of its bucket: how many there are, and in which bucket, is
//! exact, and so is their sum, to a millionth. The least and the longest are as close as the bucket.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

use crate::buckets::Buckets;

/// A histogram of ours.
pub(super) trait Durations: Default {
    fn since(&self, earlier: &Self) -> Self;
    /// Inclusive upper bounds, none of them beyond the longest duration; and how many fell in.
    fn buckets(&self) -> Vec<(Duration, u64)>;
    fn sum(&self) -> Duration;
}

impl Durations for pool_core::Histogram {
    fn since(&self, earlier: &Self) -> Self {
        self.since(earlier)
    }

    fn buckets(&self) -> Vec<(Duration, u64)> {
        self.buckets().map(|(bound, n)| (bound.min(self.max()), n)).collect()
    }

    fn sum(&self) -> Duration {
        self.sum()
    }
}

impl Durations for Buckets {
    fn since(&self, earlier: &Self) -> Self {
        self.since(earlier)
    }

    fn buckets(&self) -> Vec<(Duration, u64)> {
        self.iter().map(|(bound, n)| (bound.unwrap_or(Duration::MAX).min(self.max()), n)).collect()
    }

    fn sum(&self) -> Duration {
        self.sum()
    }
}

/// A histogram for one set of attributes, and what it has been told so far.
pub(super) struct Told<T> {
    histogram: Histogram<f64>,
    attributes: Vec<KeyValue>,
    /// From the first duration on: else the SDK would export a series of none.
    record: Option<Box<dyn Fn(f64) + Send + Sync>>,
    so_far: T,
}

impl<T: Durations> Told<T> {
    pub(super) fn new(histogram: &Histogram<f64>, attributes: Vec<KeyValue>) -> Self {
        Self { histogram: histogram.clone(), attributes, record: None, so_far: T::default() }
    }

    /// Tells what is new.
    pub(super) fn tell(&mut self, now: T) {
        for (seconds, times) in values(&now.since(&self.so_far)) {
            let (histogram, attributes) = (&self.histogram, &self.attributes);
            let record =
                self.record.get_or_insert_with(|| Box::new(recorder(histogram, attributes)));
            (0..times).for_each(|_| record(seconds));
        }
        self.so_far = now;
    }
}

/// The SDK's search for the attributes is most of what a record costs; a bound histogram has done it.
/// Being experimental, these drop all they are told unless the SDK has its feature for them too. The
/// feature `otlp` sees to that.
#[cfg(feature = "otlp")]
fn recorder(histogram: &Histogram<f64>, attributes: &[KeyValue]) -> impl Fn(f64) + use<> {
    let bound = histogram.bind(attributes);
    move |seconds| bound.record(seconds)
}

#[cfg(not(feature = "otlp"))]
fn recorder(histogram: &Histogram<f64>, attributes: &[KeyValue]) -> impl Fn(f64) + use<> {
    let (histogram, attributes) = (histogram.clone(), attributes.to_vec());
    move |seconds| histogram.record(seconds, &attributes)
}

/// The values to tell, in seconds, and how often: all lie at the same share of the way from the lower
/// to the upper bound of their buckets, the share at which the sum is right.
fn values(between: &impl Durations) -> Vec<(f64, u64)> {
    let mut lower = 0.0;
    let mut filled = Vec::new();
    for (upper, n) in between.buckets() {
        let upper = upper.as_secs_f64();
        if n > 0 {
            filled.push((lower, (upper - lower).max(0.0), n));
        }
        lower = upper;
    }
    let sum = between.sum().as_secs_f64();
    if sum == 0.0 {
        return filled.into_iter().map(|(_, _, n)| (0.0, n)).collect();
    }
    let of_all = |part: fn(&(f64, f64, u64)) -> f64| -> f64 {
        filled.iter().map(|bucket| part(bucket) * bucket.2 as f64).sum()
    };
    let (floor, room) = (of_all(|bucket| bucket.0), of_all(|bucket| bucket.1));
    // Neither bound itself: the lower belongs to the bucket before, and the upper might not survive
    // the arithmetic.
    let share = if room > 0.0 { ((sum - floor) / room).clamp(1e-6, 1.0 - 1e-6) } else { 1.0 };
    filled.into_iter().map(|(lower, width, n)| (share.mul_add(width, lower), n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets::SharedBuckets;

    fn agree(durations: &[Duration]) {
        let mut histogram = pool_core::Histogram::new();
        let shared = SharedBuckets::default();
        for duration in durations {
            histogram.record(*duration);
            shared.record(*duration);
        }
        told(&histogram, durations);
        told(&shared.read(), durations);
    }

    fn told(of: &impl Durations, durations: &[Duration]) {
        let values = values(of);
        let (mut n, mut sum) = (0, 0.0);
        for (value, times) in &values {
            assert!(value.is_finite() && *value >= 0.0, "{value}");
            (n, sum) = (n + times, sum + value * *times as f64);
        }
        let real: f64 = durations.iter().map(Duration::as_secs_f64).sum();
        assert_eq!(n, durations.len() as u64);
        assert!((sum - real).abs() <= real * 2e-6, "{sum} for {real}");
        for bound in crate::buckets::BOUNDS.map(Duration::from_nanos) {
            let within = durations.iter().filter(|duration| **duration <= bound).count() as u64;
            let below = values.iter().filter(|(value, _)| *value <= bound.as_secs_f64());
            assert_eq!(below.map(|(_, times)| times).sum::<u64>(), within, "{bound:?}");
        }
    }

    #[test]
    fn counts_buckets_and_sums_are_those_that_were_recorded() {
        let nanos = |all: &[u64]| all.iter().copied().map(Duration::from_nanos).collect::<Vec<_>>();
        agree(&[]);
        agree(&nanos(&[0; 9]));
        agree(&nanos(&[1]));
        agree(&nanos(&[250, 251, 1_000, 1_001]));
        agree(&nanos(&[2_500_000; 3]));
        agree(&nanos(&[0, 0, 0, 0, 0, 0, 0, 1_000_000_000]));
        agree(&[Duration::from_secs(9_000), Duration::from_millis(1), Duration::from_secs(5)]);
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 20) >> (state % 40)
        };
        agree(&(0..5_000).map(|_| Duration::from_nanos(random())).collect::<Vec<_>>());
    }
}
