//! The [families](crate::Families) for whichever exporter an application has behind the `metrics` facade.
//!
//! Counters and gauges are set by [`Facade::publish`], once each second with [`Facade::run`]; histograms
//! are recorded as things happen, by the same [`Facade`] as an observer, which looks its handles up once.
//! Install the recorder first: who looks a handle up before records into nothing.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use metrics::{Histogram, Label, counter, gauge, histogram};
use pool_core::{Acquired, Connected, Metrics, Released};
use pool_sql::{Outcome, Statement, StatementObserver};
use tokio::time::{MissedTickBehavior, interval};

use crate::families::{Kind, Value};
use crate::monitor::{Monitor, WeakMonitor, lock};
use crate::table::Table;

/// Records waits, uses, connects and statements: for the `metrics` and the `observer` of a pool's
/// builder, beside the monitor's own.
///
/// ```
/// use std::sync::Arc;
/// use pool_metrics::{Monitor, facade::Facade};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let monitor = Monitor::new();
/// let facade = Arc::new(Facade::new(&monitor));
/// # fn builder(_: Arc<dyn pool_core::Metrics>, _: Arc<dyn pool_sql::StatementObserver>) {}
/// builder(facade.clone(), facade.clone());
/// tokio::spawn(facade.run());
/// # }
/// ```
pub struct Facade {
    monitor: WeakMonitor,
    acquire_duration: String,
    waits: Table<OnceLock<(Histogram, Histogram)>>,
    uses: Table<OnceLock<Histogram>>,
    connects: Table<OnceLock<Histogram>>,
    statements: Table<OnceLock<Histogram>>,
    /// The gauges set the last time: one that is not there any more would stay as it was.
    gauges: Mutex<HashSet<Series>>,
}

type Series = (String, Vec<Label>);

impl Facade {
    /// What this monitor has to tell, under its names.
    pub fn new(monitor: &Monitor) -> Self {
        Self {
            monitor: monitor.downgrade(),
            acquire_duration: monitor.own_name("acquire_duration_seconds"),
            waits: Table::new(),
            uses: Table::new(),
            connects: Table::new(),
            statements: Table::new(),
            gauges: Mutex::default(),
        }
    }

    /// Sets all counters and gauges to what they are now; and to NaN the gauges of pools that are
    /// watched no longer.
    pub fn publish(&self) {
        if let Some(monitor) = self.monitor.upgrade() {
            self.publish_all(&monitor);
        }
    }

    fn publish_all(&self, monitor: &Monitor) {
        let mut gauges = HashSet::new();
        for family in monitor.families().iter().filter(|family| family.kind != Kind::Histogram) {
            for sample in &family.samples {
                let label =
                    |(name, value): &(&'static str, String)| Label::new(*name, value.clone());
                let (name, labels) =
                    (&family.name, sample.labels.iter().map(label).collect::<Vec<_>>());
                match sample.value {
                    Value::Count(count) => counter!(name.clone(), labels).absolute(count),
                    Value::Number(number) => {
                        gauge!(name.clone(), labels.clone()).set(number);
                        gauges.insert((name.clone(), labels));
                    }
                    Value::Durations { .. } => {}
                }
            }
        }
        let before = std::mem::replace(&mut *lock(&self.gauges), gauges.clone());
        for (name, labels) in before.difference(&gauges) {
            gauge!(name.clone(), labels.clone()).set(f64::NAN);
        }
    }

    /// [`publish`](Self::publish)es once each second, until every handle to the monitor is gone.
    pub fn run(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let facade = self.clone();
        async move {
            let mut tick = interval(Duration::from_secs(1));
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while let Some(monitor) = facade.monitor.upgrade() {
                facade.publish_all(&monitor);
                drop(monitor);
                tick.tick().await;
            }
        }
    }
}

impl fmt::Debug for Facade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facade").finish_non_exhaustive()
    }
}

impl Metrics for Facade {
    fn acquired(&self, event: &Acquired<'_>) {
        let entry = self.waits.of(event.pool, event.operation);
        let (wait, acquire) = entry.kept.get_or_init(|| {
            let pool = Label::new("pool", entry.of.clone());
            let operation = Label::from_static_parts("operation", entry.operation.unwrap_or(""));
            let wait = histogram!("db_client_connection_wait_time_seconds", vec![pool.clone()]);
            (wait, histogram!(self.acquire_duration.clone(), vec![pool, operation]))
        });
        wait.record(event.waited);
        acquire.record(event.waited);
    }

    fn released(&self, event: &Released<'_>) {
        let entry = self.uses.of(event.pool, None);
        let name = "db_client_connection_use_time_seconds";
        let handle = entry.kept.get_or_init(|| histogram!(name, "pool" => entry.of.clone()));
        handle.record(event.held);
    }

    fn connected(&self, event: &Connected<'_>) {
        let entry = self.connects.of(event.pool, None);
        let name = "db_client_connection_create_time_seconds";
        let handle = entry.kept.get_or_init(|| histogram!(name, "pool" => entry.of.clone()));
        handle.record(event.took);
    }
}

impl StatementObserver for Facade {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let entry = self.statements.of(statement.backend, statement.operation);
        let name = "db_client_operation_duration_seconds";
        let handle = entry.kept.get_or_init(|| {
            let operation = entry.operation.unwrap_or("");
            histogram!(name, "system" => entry.of.clone(), "operation" => operation)
        });
        handle.record(outcome.took);
    }
}
