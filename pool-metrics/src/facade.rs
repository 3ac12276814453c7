//! The [families](crate::Families) for whichever exporter an application has behind the `metrics` facade.
//!
//! Counters and gauges are set by [`publish`], once each second with [`run`]; histograms are recorded as
//! things happen, by an observer ([`Facade`]) that looks its handles up once. Install the recorder
//! first: who looks a handle up before records into nothing.

use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Histogram, Label, counter, gauge, histogram};
use pool_core::{Acquired, Connected, Metrics, Released};
use pool_sql::{Outcome, Statement, StatementObserver};
use tokio::time::{MissedTickBehavior, interval};

use crate::families::{Kind, Value};
use crate::monitor::Monitor;
use crate::table::Table;

/// Records waits, uses, connects and statements: for the `metrics` and the `observer` of a pool's
/// builder.
///
/// ```
/// use std::sync::Arc;
/// use pool_metrics::{Monitor, facade::{self, Facade}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let monitor = Monitor::new();
/// let recorded = Arc::new(Facade::new(&monitor));
/// # fn builder(_: Arc<dyn pool_core::Metrics>, _: Arc<dyn pool_sql::StatementObserver>) {}
/// builder(recorded.clone(), recorded);
/// tokio::spawn(facade::run(&monitor));
/// # }
/// ```
pub struct Facade {
    acquire_duration: String,
    waits: Table<OnceLock<(Histogram, Histogram)>>,
    uses: Table<OnceLock<Histogram>>,
    connects: Table<OnceLock<Histogram>>,
    statements: Table<OnceLock<Histogram>>,
}

impl Facade {
    /// With the names of this monitor.
    pub fn new(monitor: &Monitor) -> Self {
        Self {
            acquire_duration: monitor.own_name("acquire_duration_seconds"),
            waits: Table::new(),
            uses: Table::new(),
            connects: Table::new(),
            statements: Table::new(),
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
        let (wait, acquire) = self.waits.of(event.pool, event.operation).get_or_init(|| {
            let pool = Label::new("pool", event.pool.to_owned());
            let operation = Label::from_static_parts("operation", event.operation.unwrap_or(""));
            let wait = histogram!("db_client_connection_wait_time_seconds", vec![pool.clone()]);
            (wait, histogram!(self.acquire_duration.clone(), vec![pool, operation]))
        });
        wait.record(event.waited);
        acquire.record(event.waited);
    }

    fn released(&self, event: &Released<'_>) {
        let handle = self.uses.of(event.pool, None);
        let name = "db_client_connection_use_time_seconds";
        handle.get_or_init(|| histogram!(name, "pool" => event.pool.to_owned())).record(event.held);
    }

    fn connected(&self, event: &Connected<'_>) {
        let handle = self.connects.of(event.pool, None);
        let name = "db_client_connection_create_time_seconds";
        handle.get_or_init(|| histogram!(name, "pool" => event.pool.to_owned())).record(event.took);
    }
}

impl StatementObserver for Facade {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let handle = self.statements.of(statement.backend, statement.operation);
        let (system, operation) = (statement.backend, statement.operation.unwrap_or(""));
        let name = "db_client_operation_duration_seconds";
        let handle =
            handle.get_or_init(|| histogram!(name, "system" => system, "operation" => operation));
        handle.record(outcome.took);
    }
}

/// Sets all counters and gauges to what they are now.
pub fn publish(monitor: &Monitor) {
    for family in monitor.families().iter().filter(|family| family.kind != Kind::Histogram) {
        for sample in &family.samples {
            let labels: Vec<Label> = sample
                .labels
                .iter()
                .map(|(name, value)| Label::new(*name, value.clone()))
                .collect();
            match sample.value {
                Value::Count(count) => counter!(family.name.clone(), labels).absolute(count),
                Value::Number(number) => gauge!(family.name.clone(), labels).set(number),
                Value::Durations { .. } => {}
            }
        }
    }
}

/// [`publish`]es once each second, until every handle to this monitor is gone.
pub fn run(monitor: &Monitor) -> impl Future<Output = ()> + Send + use<> {
    let monitor = monitor.downgrade();
    async move {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while let Some(monitor) = monitor.upgrade() {
            publish(&monitor);
            drop(monitor);
            tick.tick().await;
        }
    }
}
