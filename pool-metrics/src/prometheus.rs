//! The [families](crate::Families) as Prometheus reads them: as text in both formats, and as a collector for
//! the registry that an application has already, of either client crate.
//!
//! ```
//! use pool_metrics::{Monitor, prometheus};
//!
//! let monitor = Monitor::builder().prefix("shop").build();
//! assert!(prometheus::openmetrics(&monitor).ends_with("# EOF\n"));
//!
//! let mut registry = prometheus_client::registry::Registry::default();
//! registry.register_collector(Box::new(prometheus::Collector::new(&monitor)));
//! // or
//! let registry = ::prometheus::Registry::new();
//! registry.register(Box::new(prometheus::Collector::new(&monitor)))?;
//! # Ok::<(), ::prometheus::Error>(())
//! ```
//!
//! Pools may come and go; one collector tells of all that the monitor watches.

use std::fmt;

use ::prometheus::core::Desc;
use ::prometheus::proto;
use ::prometheus::{Encoder, TextEncoder};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use crate::families::{Family, Kind, Sample, Value};
use crate::monitor::Monitor;

/// The content type of [`text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The content type of [`openmetrics`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In Prometheus' own text format, version 0.0.4.
pub fn text(monitor: &Monitor) -> String {
    let mut out = Vec::new();
    let families = monitor.families();
    let told: Vec<_> =
        families.iter().filter(|family| !family.samples.is_empty()).map(told).collect();
    TextEncoder::new().encode(&told, &mut out).expect("no family is empty, and a Vec takes all");
    let mut out = String::from_utf8(out).expect("names and labels are text");
    for Family { name, .. } in families.iter().filter(|family| family.kind == Kind::Untyped) {
        out = out.replace(&format!("# TYPE {name} gauge\n"), &format!("# TYPE {name} untyped\n"));
    }
    out
}

/// As OpenMetrics 1.0.
pub fn openmetrics(monitor: &Monitor) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector::new(monitor)));
    let mut out = String::new();
    prometheus_client::encoding::text::encode(&mut out, &registry).expect("a String takes all");
    out
}

/// All that a [`Monitor`] has to tell, for a registry.
#[derive(Clone)]
pub struct Collector {
    monitor: Monitor,
    descs: Vec<Desc>,
}

impl Collector {
    /// Of this monitor.
    pub fn new(monitor: &Monitor) -> Self {
        let desc = |family: &Family| {
            Desc::new(family.name.clone(), family.help.to_owned(), Vec::new(), Default::default())
                .expect("names are made of letters and `_`, and there is a help")
        };
        Self { descs: monitor.families().iter().map(desc).collect(), monitor: monitor.clone() }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Collector").field(&self.monitor).finish()
    }
}

impl ::prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        self.monitor.families().iter().map(told).collect()
    }
}

fn told(family: &Family) -> proto::MetricFamily {
    let mut out = proto::MetricFamily::default();
    out.set_name(family.name.clone());
    out.set_help(family.help.to_owned());
    out.set_field_type(match family.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge | Kind::Untyped => proto::MetricType::GAUGE, // it has no other
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    out.set_metric(family.samples.iter().map(metric).collect());
    out
}

fn metric(sample: &Sample) -> proto::Metric {
    let label = |(name, value): &(&'static str, String)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    let mut out = proto::Metric::default();
    out.set_label(sample.labels.iter().map(label).collect());
    match &sample.value {
        Value::Count(count) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*count as f64);
            out.set_counter(counter);
        }
        Value::Number(number) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*number);
            out.set_gauge(gauge);
        }
        Value::Durations { sum, count, buckets } => {
            let mut seen = 0;
            let bucket = |(bound, n): &(f64, u64)| {
                seen += n;
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(seen);
                bucket
            };
            let mut histogram = proto::Histogram::default();
            histogram.set_bucket(buckets.iter().map(bucket).collect());
            histogram.set_sample_sum(*sum);
            histogram.set_sample_count(*count);
            out.set_histogram(histogram);
        }
    }
    out
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.monitor.families().iter().filter(|family| !family.samples.is_empty()) {
            // The format adds unit and `_total` itself.
            let name = family.name.trim_end_matches("_total");
            let (name, unit) = match name.strip_suffix("_seconds") {
                Some(name) => (name, Some(&Unit::Seconds)),
                None => (name, None),
            };
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Untyped => MetricType::Unknown,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metrics = encoder.encode_descriptor(name, family.help, unit, kind)?;
            for sample in &family.samples {
                encode(metrics.encode_family(&sample.labels)?, &sample.value)?;
            }
        }
        Ok(())
    }
}

fn encode(mut metric: MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Count(count) => metric.encode_counter(count, None::<&Exemplar<NoLabelSet, u64>>),
        Value::Number(number) => metric.encode_gauge(number),
        Value::Durations { sum, count, buckets } => {
            let seen: u64 = buckets.iter().map(|(_, n)| n).sum();
            let mut all = buckets.clone();
            all.push((f64::INFINITY, count.saturating_sub(seen)));
            metric.encode_histogram::<NoLabelSet>(*sum, *count, &all, None)
        }
    }
}
