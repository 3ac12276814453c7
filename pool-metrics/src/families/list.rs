//! The list: which families there are, and what each sample is read from.

use std::time::Duration;

use pool_core::{Counts, Histogram, PoolConfig, Snapshot, Statistics};

use super::{Family, Kind, Sample, Value};
use crate::health::{Indicator, Status};
use crate::monitor::Monitor;
use crate::statements::StatementReport;
use crate::watched::Report;

/// A gauge of ours: name, help, and what it is read from.
type Gauge<T> = (&'static str, &'static str, fn(&Snapshot) -> T);

type Count = fn(&Counts) -> u64;
type Size = fn(&Snapshot) -> u32;

pub(super) fn read(monitor: &Monitor) -> Vec<Family> {
    let mut out = Writer { families: Vec::new(), monitor };
    let reports = monitor.reports();
    let pools = Pools::of(&reports);
    connections(&mut out, &pools);
    acquires(&mut out, &pools, monitor);
    life(&mut out, &pools);
    settings(&mut out, &pools);
    health(&mut out, &reports);
    statements(&mut out, monitor);
    out.families
}

/// Every pool with its settings. Their names are told apart already.
struct Pools<'a>(Vec<(&'a Statistics, &'a PoolConfig)>);

impl<'a> Pools<'a> {
    fn of(reports: &'a [Report]) -> Self {
        let sides = reports.iter().flat_map(|report| report.sides.iter().zip(&report.configs));
        Self(sides.map(|(side, config)| (side, &**config)).collect())
    }

    fn counts(&self, of: impl Fn(&Counts) -> u64) -> Vec<Sample> {
        self.each(|read, _| Value::Count(of(&read.snapshot.counts)))
    }

    fn numbers(&self, of: impl Fn(&Snapshot) -> f64) -> Vec<Sample> {
        self.each(|read, _| Value::Number(of(&read.snapshot)))
    }

    fn sizes(&self, of: impl Fn(&Snapshot) -> u32) -> Vec<Sample> {
        self.numbers(|snapshot| f64::from(of(snapshot)))
    }

    fn durations(&self, of: impl Fn(&Statistics) -> &Histogram) -> Vec<Sample> {
        self.each(|read, _| of(read).into())
    }

    fn each(&self, of: impl Fn(&Statistics, &PoolConfig) -> Value) -> Vec<Sample> {
        let sample = |(read, config): &(&Statistics, &PoolConfig)| Sample {
            labels: vec![("pool", read.snapshot.name.clone())],
            value: of(read, config),
        };
        self.0.iter().map(sample).collect()
    }

    /// The same for several values of a second label.
    fn by<T>(
        &self,
        label: &'static str,
        values: &[(&str, T)],
        samples: impl Fn(&Self, &T) -> Vec<Sample>,
    ) -> Vec<Sample> {
        let labelled = values.iter().flat_map(|(value, of)| {
            let mut all = samples(self, of);
            all.iter_mut().for_each(|sample| sample.labels.push((label, (*value).to_owned())));
            all
        });
        labelled.collect()
    }

    fn outcomes(&self, values: &[(&str, Count)]) -> Vec<Sample> {
        self.by("outcome", values, |pools, of| pools.counts(of))
    }
}

struct Writer<'a> {
    families: Vec<Family>,
    monitor: &'a Monitor,
}

impl Writer<'_> {
    fn standard(&mut self, name: &str, kind: Kind, help: &'static str, samples: Vec<Sample>) {
        self.families.push(Family { name: name.to_owned(), help, kind, samples });
    }

    fn ours(&mut self, name: &str, kind: Kind, help: &'static str, samples: Vec<Sample>) {
        let name = self.monitor.own_name(name);
        self.families.push(Family { name, help, kind, samples });
    }

    fn count(&mut self, name: &str, help: &'static str, samples: Vec<Sample>) {
        self.ours(name, Kind::Counter, help, samples);
    }
}

fn connections(out: &mut Writer<'_>, pools: &Pools<'_>) {
    let states: [(&str, Size); 2] = [("idle", |s| s.idle), ("used", |s| s.in_use)];
    let by_state = pools.by("state", &states, |pools, of| pools.sizes(of));
    out.standard("db_client_connection_count", Kind::Untyped, "Connections by state", by_state);
    let standard: [Gauge<u32>; 4] = [
        ("db_client_connection_idle_max", "The most idle connections kept", |s| s.max_idle),
        ("db_client_connection_idle_min", "The fewest idle connections kept", |s| s.min_idle),
        ("db_client_connection_max", "The most open connections allowed", |s| s.max_size),
        ("db_client_connection_pending_requests", "Callers waiting for a connection", |s| {
            s.waiting
        }),
    ];
    for (name, help, of) in standard {
        out.standard(name, Kind::Gauge, help, pools.sizes(of));
    }
    let ours: [Gauge<u32>; 9] = [
        ("connections_active", "Connections that somebody holds", |s| s.in_use),
        ("connections_idle", "Connections ready to be taken", |s| s.idle),
        ("connections_max", "The most connections there may be", |s| s.max_size),
        ("connections_min", "How many connections are kept open in all", |s| s.min_size),
        ("connections_connecting", "Connections being opened", |s| s.connecting),
        ("connections_validating", "Connections being pinged before use", |s| s.validating),
        ("connections_resetting", "Connections being cleaned after use", |s| s.resetting),
        ("connections_closing", "Connections being closed", |s| s.closing),
        (
            "connections_overflow",
            "Connections open above the most idle ones kept",
            Snapshot::overflow,
        ),
    ];
    for (name, help, of) in ours {
        out.ours(name, Kind::Gauge, help, pools.sizes(of));
    }
    let shares: [Gauge<f64>; 5] = [
        ("utilization_ratio", "The share of the most connections in use", Snapshot::utilization),
        (
            "pressure_ratio",
            "d / (1 + d), d being users and waiters over the most connections",
            |s| s.pressure(),
        ),
        ("oldest_waiter_seconds", "How long the first in the queue has waited", |s| {
            s.oldest_waiter.unwrap_or_default().as_secs_f64()
        }),
        ("suspended", "1 while nothing is handed out", |s| f64::from(u8::from(s.suspended))),
        ("closed", "1 once the pool is closed", |s| f64::from(u8::from(s.closed))),
    ];
    for (name, help, of) in shares {
        out.ours(name, Kind::Gauge, help, pools.numbers(of));
    }
}

fn acquires(out: &mut Writer<'_>, pools: &Pools<'_>, monitor: &Monitor) {
    use Kind::Histogram;

    let (timeouts, whose) = (pools.counts(|c| c.timed_out), "Acquires whose time was up");
    let name = "db_client_connection_timeouts_total";
    out.standard(name, Kind::Counter, whose, timeouts.clone());
    let (name, waits) =
        ("db_client_connection_wait_time_seconds", pools.durations(|read| &read.wait));
    out.standard(name, Histogram, "From acquire to hand-out", waits);
    let (name, uses) =
        ("db_client_connection_use_time_seconds", pools.durations(|read| &read.usage));
    out.standard(name, Histogram, "From checkout to return", uses);
    let operations = monitor.operations();
    let by_operation = operations.iter().map(|one| Sample {
        labels: vec![("pool", one.pool.clone()), ("operation", label(one.operation))],
        value: (&one.waits).into(),
    });
    let help = "From acquire to hand-out, by operation";
    out.ours("acquire_duration_seconds", Histogram, help, by_operation.collect());
    out.count("acquire_timeout_total", whose, timeouts);
    let outcomes = pools.outcomes(&[
        ("ok", |c| c.acquired),
        ("timed_out", |c| c.timed_out),
        ("cancelled", |c| c.cancelled),
        ("shed", |c| c.shed),
        ("failed", |c| c.failed),
        ("closed", |c| c.closed),
        ("suspended", |c| c.suspended),
    ]);
    out.count("acquires_total", "Acquires by how they ended", outcomes);
    let served: [(&str, &str, Count); 3] = [
        ("acquire_waits_total", "Acquires that got a connection and had to wait", |c| c.waited),
        ("hits_total", "Acquires served by a connection used before", |c| c.hits),
        ("misses_total", "Acquires served by a new connection", |c| c.misses),
    ];
    for (name, help, of) in served {
        out.count(name, help, pools.counts(of));
    }
    let rate = pools.numbers(|s| s.hit_rate().unwrap_or(f64::NAN));
    out.ours("hit_ratio", Kind::Gauge, "The share of hits since the pool was made", rate);
    let help = "Connections taken back from futures that nobody polled";
    out.count("taken_back_total", help, pools.counts(|c| c.taken_back));
    let leaks = pools.counts(|c| c.leaks);
    out.count("leaks_total", "Connections held longer than leak_after", leaks);
}

fn life(out: &mut Writer<'_>, pools: &Pools<'_>) {
    use Kind::Histogram;

    let connects = pools.durations(|read| &read.connect);
    let name = "db_client_connection_create_time_seconds";
    out.standard(name, Histogram, "Successful connects", connects);
    let connects = pools.outcomes(&[
        ("ok", |c| c.created),
        ("permanent", |c| c.connect_permanent),
        ("saturated", |c| c.connect_saturated),
        ("transient", |c| c.connect_transient),
    ]);
    out.count("connects_total", "Connects by outcome; failures by class", connects);
    let mut closes = Vec::new();
    for (read, _) in &pools.0 {
        closes.extend(read.snapshot.counts.ended.iter().map(|(reason, count)| Sample {
            labels: vec![
                ("pool", read.snapshot.name.clone()),
                ("reason", reason.as_str().to_owned()),
            ],
            value: Value::Count(count),
        }));
    }
    out.count("closes_total", "Connections that ended, by reason", closes);
    let help = "Connections whose goodbye did not end in time";
    out.count("abandoned_total", help, pools.counts(|c| c.abandoned));
    let resets = pools.outcomes(&[("kept", |c| c.reset), ("closed", |c| c.ended.reset)]);
    out.count("resets_total", "Connections cleaned after use, by what became of them", resets);
    let resets = pools.durations(|read| &read.reset);
    out.ours("reset_duration_seconds", Histogram, "Successful resets", resets);
    let pings = pools.outcomes(&[("ok", |c| c.validated), ("closed", |c| c.ended.validation)]);
    out.count("validations_total", "Pings before use, by what became of the connection", pings);
    let pings = pools.durations(|read| &read.validate);
    out.ours("validation_duration_seconds", Histogram, "Successful pings", pings);
}

/// Counts are unreadable without what they are measured against.
fn settings(out: &mut Writer<'_>, pools: &Pools<'_>) {
    type Limit = fn(&PoolConfig) -> Option<Duration>;
    let limits: [(&str, &str, Limit); 3] = [
        ("acquire_timeout_seconds", "How long an acquire may wait", |c| c.acquire_timeout),
        ("idle_timeout_seconds", "How long a spare connection is kept", |c| c.idle_timeout),
        ("max_lifetime_seconds", "How old a connection gets", |c| c.max_lifetime),
    ];
    for (name, help, of) in limits {
        let limit = |limit: Option<Duration>| limit.map_or(f64::INFINITY, |d| d.as_secs_f64());
        out.ours(name, Kind::Gauge, help, pools.each(|_, config| Value::Number(limit(of(config)))));
    }
}

fn health(out: &mut Writer<'_>, reports: &[Report]) {
    let status = reports.iter().map(|report| Sample {
        labels: vec![("database", report.name.clone())],
        value: Value::Number(match report.health.status {
            Status::Healthy => 0.0,
            Status::Degraded => 1.0,
            Status::Unhealthy => 2.0,
        }),
    });
    out.ours("health_status", Kind::Gauge, "0 healthy, 1 degraded, 2 unhealthy", status.collect());
    let mut indicators = Vec::new();
    for report in reports {
        indicators.extend(Indicator::ALL.iter().map(|indicator| Sample {
            labels: vec![
                ("database", report.name.clone()),
                ("indicator", indicator.as_str().to_owned()),
            ],
            value: Value::Number(f64::from(u8::from(report.health.is_on(*indicator)))),
        }));
    }
    out.ours("health_indicator", Kind::Gauge, "1 while the indicator is on", indicators);
}

fn statements(out: &mut Writer<'_>, monitor: &Monitor) {
    let all = monitor.statements_so_far();
    let sample = |one: &StatementReport, value| Sample {
        labels: vec![("system", one.backend.clone()), ("operation", label(one.operation))],
        value,
    };
    let took = all.iter().map(|one| sample(one, (&one.took).into())).collect();
    let (name, help) =
        ("db_client_operation_duration_seconds", "How long statements took, by operation");
    out.standard(name, Kind::Histogram, help, took);
    let errors = all.iter().map(|one| sample(one, Value::Count(one.errors))).collect();
    out.count("statement_errors_total", "Statements that failed or were given up", errors);
}

/// The label of an operation; empty, which Prometheus takes for absent, where it has no name.
fn label(operation: Option<&'static str>) -> String {
    operation.unwrap_or_default().to_owned()
}
