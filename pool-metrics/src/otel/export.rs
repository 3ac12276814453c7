//! The metrics of the semantic conventions, on a meter.

use std::slice::from_ref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};
use pool_core::{PoolView, Snapshot, Statistics};
use tokio::time::Instant;

use super::replay::Told;
use crate::buckets::{BOUNDS, Buckets};
use crate::monitor::{Monitor, WeakMonitor, lock};
use crate::statements::Ends;

/// The bounds that the conventions give for `db.client.operation.duration`.
const OPERATION_BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// For so long a reading may serve all instruments of a collection.
const FRESH: Duration = Duration::from_secs(1);

/// Puts the metrics of every pool under watch, now or later, and of the statements that the monitor is
/// told of, on this meter. Once for each meter: a second call would count everything twice.
///
/// When the meter is collected, each pool is read once. As long as nobody does, this costs nothing; nor
/// does it keep the monitor.
pub fn export_metrics(monitor: &Monitor, meter: &Meter) {
    let seconds = |name: &'static str, description, bounds| {
        let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
        histogram.with_boundaries(bounds).build()
    };
    let bounds = || BOUNDS.map(|nanos| Duration::from_nanos(nanos).as_secs_f64()).to_vec();
    let export = Arc::new(Export {
        monitor: monitor.downgrade(),
        create_time: seconds(
            "db.client.connection.create_time",
            "The time it took to create a new connection.",
            bounds(),
        ),
        wait_time: seconds(
            "db.client.connection.wait_time",
            "The time it took to obtain an open connection from the pool.",
            bounds(),
        ),
        use_time: seconds(
            "db.client.connection.use_time",
            "The time between borrowing a connection and returning it to the pool.",
            bounds(),
        ),
        operation: seconds(
            "db.client.operation.duration",
            "Duration of database client operations.",
            OPERATION_BOUNDS.to_vec(),
        ),
        reading: Mutex::default(),
    });

    let by_state: Look = |pool, tell| {
        for (state, of) in [("idle", pool.now.idle), ("used", pool.now.in_use)] {
            let state = KeyValue::new("db.client.connection.state", state);
            tell(i64::from(of), &[pool.attribute.clone(), state]);
        }
    };
    let export_of = || export.clone();
    up_down(meter, export_of(), 0, ("count", "{connection}", "Connections by state."), by_state);
    let sizes: [(Named, Size); 4] = [
        (("idle.max", "{connection}", "The most idle connections allowed."), |now| now.max_idle),
        (("idle.min", "{connection}", "The fewest idle connections allowed."), |now| now.min_idle),
        (("max", "{connection}", "The most open connections allowed."), |now| now.max_size),
        (("pending_requests", "{request}", "Callers waiting for a connection."), |now| now.waiting),
    ];
    for (place, (named, of)) in (1..).zip(sizes) {
        up_down(meter, export_of(), place, named, move |pool, tell| {
            tell(i64::from(of(&pool.now)), from_ref(&pool.attribute));
        });
    }
    let _instrument = meter
        .u64_observable_counter("db.client.connection.timeouts")
        .with_unit("{timeout}")
        .with_description("Acquires whose time was up.")
        .with_callback(move |instrument| {
            export.each(5, |pool| {
                instrument.observe(pool.now.counts.timed_out, from_ref(&pool.attribute));
            });
        })
        .build();
}

/// The end of a name, unit, and description.
type Named = (&'static str, &'static str, &'static str);
type Size = fn(&Snapshot) -> u32;
type Look = fn(&Pool, &mut dyn FnMut(i64, &[KeyValue]));

fn up_down(
    meter: &Meter,
    export: Arc<Export>,
    place: u32,
    (name, unit, description): Named,
    look: impl Fn(&Pool, &mut dyn FnMut(i64, &[KeyValue])) + Send + Sync + 'static,
) {
    let observe = move |instrument: &dyn AsyncInstrument<i64>| {
        let mut tell = |value, attributes: &[KeyValue]| instrument.observe(value, attributes);
        export.each(place, |pool| look(pool, &mut tell));
    };
    let _instrument = meter
        .i64_observable_up_down_counter(format!("db.client.connection.{name}"))
        .with_unit(unit)
        .with_description(description)
        .with_callback(observe)
        .build();
}

/// What the callbacks of all instruments share.
struct Export {
    monitor: WeakMonitor,
    create_time: Histogram<f64>,
    wait_time: Histogram<f64>,
    use_time: Histogram<f64>,
    operation: Histogram<f64>,
    reading: Mutex<Reading>,
}

/// The pools as they were read last. A collection calls the callbacks one after the other and names no
/// number of its own; so whichever instrument comes back before the others reads anew.
#[derive(Default)]
struct Reading {
    at: Option<Instant>,
    seen_by: u32,
    pools: Vec<Pool>,
    statements: Vec<(Ends, Told<Buckets>)>,
}

struct Pool {
    view: PoolView,
    /// Else it is only kept for what it was told: it may be watched again.
    is_watched: bool,
    name: String,
    attribute: KeyValue,
    now: Snapshot,
    create: Told<pool_core::Histogram>,
    wait: Told<pool_core::Histogram>,
    usage: Told<pool_core::Histogram>,
}

impl Export {
    fn each(&self, place: u32, tell: impl FnMut(&Pool)) {
        let mut gone = Vec::new();
        let mut reading = lock(&self.reading);
        let is_fresh = reading.at.is_some_and(|at| at.elapsed() < FRESH);
        if !is_fresh || reading.seen_by & (1 << place) != 0 {
            gone = self.read(&mut reading);
        }
        reading.seen_by |= 1 << place;
        reading.pools.iter().filter(|pool| pool.is_watched).for_each(tell);
        drop(reading);
        drop(gone); // only now: a user's manager may end with it
    }

    /// Reads everything anew; gives back the pools that nobody will hear of again.
    fn read(&self, reading: &mut Reading) -> Vec<Pool> {
        (reading.at, reading.seen_by) = (Some(Instant::now()), 0);
        // Also those that are watched no longer: what they did until then is told.
        reading.pools.iter_mut().for_each(|pool| {
            pool.tell();
            pool.is_watched = false;
        });
        let Some(monitor) = self.monitor.upgrade() else {
            return std::mem::take(&mut reading.pools);
        };
        for (name, view) in monitor.pools().iter().flat_map(|watched| watched.views()) {
            let same = |pool: &&mut Pool| pool.name == name && pool.view.is_same(view);
            match reading.pools.iter_mut().find(same) {
                Some(pool) => pool.is_watched = true,
                None => reading.pools.push(self.pool(name, view)),
            }
        }
        for ends in monitor.statements_by_end() {
            let known = reading.statements.iter().position(|(other, _)| other.is_alike(&ends));
            let at = known.unwrap_or_else(|| {
                let told = Told::new(&self.operation, attributes_of(&ends));
                reading.statements.push((ends.clone(), told));
                reading.statements.len() - 1
            });
            reading.statements[at].1.tell(ends.took);
        }
        let is_over = |pool: &mut Pool| !pool.is_watched && pool.view.is_gone();
        reading.pools.extract_if(.., is_over).collect()
    }

    fn pool(&self, name: &str, view: &PoolView) -> Pool {
        let attribute = KeyValue::new(super::POOL_NAME, name.to_owned());
        let told = |histogram| Told::new(histogram, vec![attribute.clone()]);
        let (create, wait) = (told(&self.create_time), told(&self.wait_time));
        let (name, usage) = (name.to_owned(), told(&self.use_time));
        let (view, now) = (view.clone(), view.snapshot());
        let mut pool = Pool { view, is_watched: true, name, now, create, wait, usage, attribute };
        pool.tell();
        pool
    }
}

impl Pool {
    fn tell(&mut self) {
        let Statistics { snapshot, connect, wait, usage, .. } = self.view.statistics();
        self.now = snapshot;
        self.create.tell(connect);
        self.wait.tell(wait);
        self.usage.tell(usage);
    }
}

fn attributes_of(ends: &Ends) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(super::SYSTEM, ends.backend.clone())];
    attributes.extend(ends.operation.map(|name| KeyValue::new(super::OPERATION, name)));
    let error = ends.error.clone();
    attributes.extend(error.map(|code| KeyValue::new(super::ERROR_TYPE, code)));
    attributes
}
