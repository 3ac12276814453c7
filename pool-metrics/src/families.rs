//! All metrics there are, with their names, types and samples, as they are at one moment; in the form of
//! no exporter.
//!
//! Two sets. Those of OpenTelemetry's semantic conventions for database client metrics (v1.44), under
//! their names in Prometheus' form: `db_client_connection_count` and its kin. And ours, for what these
//! lack, `db_pool_..` behind a prefix of the application's choice. Names keep to Prometheus' rules: base
//! units, `_total` for what only grows. Labels are short in both sets: `pool` (the pool's name),
//! `state`, `operation`, `system`, where the conventions have `db_client_connection_pool_name` and so
//! on.

mod list;

use pool_core::Histogram;

use crate::buckets::{BOUNDS, Buckets};
use crate::monitor::Monitor;

/// All metrics at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Families(Vec<Family>);

/// A metric with all its samples.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// Its name, with unit and, for counters, `_total`.
    pub name: String,
    /// What it is.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// One for each set of labels.
    pub samples: Vec<Sample>,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, as long as the pool lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often durations fell where, in seconds.
    Histogram,
    /// Goes up and down, under a name that ends in `_count`, which Prometheus keeps for the counts of
    /// histograms unless the type is not told.
    Untyped,
}

/// A value with its labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// What a metric says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Number(f64),
    /// Of a histogram.
    Durations {
        /// All of them together, in seconds.
        sum: f64,
        /// How many there are.
        count: u64,
        /// Inclusive upper bounds in seconds, and how many fell between this and the one before. What
        /// is longer than the last is in `count` only.
        buckets: Vec<(f64, u64)>,
    },
}

impl Families {
    /// The families, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = &Family> {
        self.0.iter()
    }

    pub(crate) fn read(monitor: &Monitor) -> Self {
        Self(list::read(monitor))
    }
}

impl From<&Buckets> for Value {
    fn from(read: &Buckets) -> Self {
        let buckets = read.iter().filter_map(|(bound, n)| Some((bound?.as_secs_f64(), n)));
        Self::Durations {
            sum: read.sum().as_secs_f64(),
            count: read.count(),
            buckets: buckets.collect(),
        }
    }
}

/// Of a pool's ten bounds a decade those are told that [`Buckets`] has too: they are among them, so
/// every count is exact.
impl From<&Histogram> for Value {
    fn from(read: &Histogram) -> Self {
        let (mut buckets, mut n) = (Vec::with_capacity(BOUNDS.len()), 0);
        for (bound, count) in read.buckets() {
            n += count;
            if BOUNDS.contains(&u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX)) {
                buckets.push((bound.as_secs_f64(), std::mem::take(&mut n)));
            }
        }
        Self::Durations { sum: read.sum().as_secs_f64(), count: read.count(), buckets }
    }
}
