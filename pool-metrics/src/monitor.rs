//! [`Monitor`]: the pools under watch, and the observers that it lends to them.
//!
//! It has no state of its own that a pool waits for: what is recorded as it happens is atomics and, for
//! rare events, one short lock. Locks: `pools` before one pool's own; none is held while a pool is read
//! or a caller's code runs.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use pool_core::{
    AcquireFailed, Acquired, Closed, ConnectFailed, Connected, Leaked, Metrics, PoolView,
    ResetDone, Stalled,
};
use pool_sql::{Outcome, Statement, StatementObserver};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::events::{Event, EventKind, Events};
use crate::families::Families;
use crate::health::{Health, Probe, Thresholds};
use crate::history::Point;
use crate::operations::{Operation, Operations};
use crate::statements::{SlowStatement, StatementReport, Statements};
use crate::watched::{Report, Watched};

/// How often [`Monitor::run`] takes a sample.
const TICK: Duration = Duration::from_secs(1);

/// Watches pools: is told what happens in them, reads what they count. Cheap to clone.
///
/// It holds no pool open.
#[derive(Clone)]
pub struct Monitor(Arc<Inner>);

struct Inner {
    thresholds: Thresholds,
    prefix: Option<String>,
    pools: Mutex<Vec<Arc<Watched>>>,
    statements_at_reset: Mutex<Vec<StatementReport>>,
    recorded: Arc<Recorded>,
}

/// What is recorded as it happens. Apart from the rest, since pools hold it, and the rest holds views
/// of pools: a ring would never be freed.
struct Recorded {
    operations: Operations,
    statements: Statements,
    events: Events,
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// Watches nothing yet.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// With other thresholds, or a prefix for names.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder { thresholds: Thresholds::default(), prefix: None }
    }

    /// Told of by a pool: for the `metrics` of its builder.
    pub fn metrics(&self) -> Arc<dyn Metrics> {
        self.0.recorded.clone()
    }

    /// Told of by connections: for the `observer` of a backend's builder.
    pub fn statements_observer(&self) -> Arc<dyn StatementObserver> {
        self.0.recorded.clone()
    }

    /// Watches the pools of a database under this name: `[pool.view()]`, or the `views()` of a pool
    /// with several sides. If another one is watched under it, this one's gets a number; which name it
    /// is comes back. A database is forgotten when the last handle to its pools is gone.
    ///
    /// Exported series are called by the pools' own names, with a number where there are two of a name.
    /// What pools tell as it happens, events and the waits of operations, cannot be told apart then:
    /// give pools names.
    ///
    /// # Panics
    /// If there is no view.
    pub fn watch(
        &self,
        name: impl Into<String>,
        views: impl IntoIterator<Item = PoolView>,
    ) -> String {
        let views: Vec<PoolView> = views.into_iter().collect();
        assert!(!views.is_empty(), "a database has at least one pool");
        self.take_out(Watched::is_gone); // their names are free
        let mut pools = lock(&self.0.pools);
        let name = free(name.into(), |name| pools.iter().any(|other| other.name == name));
        let mut sides: Vec<(String, PoolView)> = Vec::new();
        for view in views {
            let is_taken = |name: &str| {
                sides.iter().any(|(taken, _)| taken == name)
                    || pools.iter().any(|other| other.side_names().any(|taken| taken == name))
            };
            sides.push((free(view.name().to_owned(), is_taken), view));
        }
        pools.push(Arc::new(Watched::new(name.clone(), sides)));
        name
    }

    /// Watches a database no longer.
    pub fn forget(&self, name: &str) {
        self.take_out(|watched| watched.name == name);
    }

    /// All but those whose pools nobody has any more; these are forgotten.
    pub(crate) fn pools(&self) -> Vec<Arc<Watched>> {
        self.take_out(Watched::is_gone);
        lock(&self.0.pools).clone()
    }

    /// What is taken out is dropped when the lock is released: a pool, and what a user's manager does
    /// at its end, may go with it.
    fn take_out(&self, which: impl Fn(&Watched) -> bool) {
        let out: Vec<_> = lock(&self.0.pools).extract_if(.., |watched| which(watched)).collect();
        drop(out);
    }

    pub(crate) fn pool(&self, name: &str) -> Option<Arc<Watched>> {
        self.pools().into_iter().find(|watched| watched.name == name)
    }

    /// The names of all databases under watch.
    pub fn names(&self) -> Vec<String> {
        self.pools().iter().map(|watched| watched.name.clone()).collect()
    }

    /// Takes a sample of every database each second, until every handle to this monitor is gone:
    /// `tokio::spawn(monitor.run())`. Without it, and without a [`sample`](Self::sample) now and then,
    /// the window of [`health`](Self::health) is all the time of the watch.
    pub fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        let monitor = self.downgrade();
        async move {
            let mut tick = interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while let Some(monitor) = monitor.upgrade() {
                monitor.sample_what_is_due(TICK * 3 / 4); // another task may have done it
                drop(monitor);
                tick.tick().await;
            }
        }
    }

    /// For tasks that end with the monitor.
    pub(crate) fn downgrade(&self) -> WeakMonitor {
        WeakMonitor(Arc::downgrade(&self.0))
    }

    /// Takes a sample now.
    pub fn sample(&self) {
        self.sample_what_is_due(Duration::ZERO);
    }

    /// Of the pools whose last sample is as old as that.
    fn sample_what_is_due(&self, every: Duration) {
        let (window, now) = (self.0.thresholds.window, Instant::now());
        let pools = self.pools();
        let due = pools.iter().filter(|watched| watched.is_due(now, every));
        due.for_each(|watched| watched.sample(now, window));
    }

    /// The samples of a database, oldest first: the last 300.
    pub fn points(&self, name: &str) -> Vec<Point> {
        self.pool(name).map_or_else(Vec::new, |watched| watched.points())
    }

    /// Every database as it is now.
    pub fn reports(&self) -> Vec<Report> {
        self.pools().iter().map(|watched| watched.report(&self.0.thresholds)).collect()
    }

    /// One database as it is now; `None` if nothing is watched under this name.
    pub fn report(&self, name: &str) -> Option<Report> {
        Some(self.pool(name)?.report(&self.0.thresholds))
    }

    /// How all databases are together. Asks none of them.
    pub fn health(&self) -> Health {
        Health::of(self.reports().into_iter().flat_map(|report| report.health.reasons).collect())
    }

    /// Asks a database whether it answers, over each of its sides: takes a connection in turn with
    /// everybody and pings the server. At most once a second; whoever asks meanwhile gets the same
    /// answer. `None` if nothing is watched under this name.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn probe(&self, name: &str, within: Duration) -> Option<Probe> {
        Some(self.pool(name)?.probe(within).await)
    }

    /// How each operation's acquires went, by pool and name, since the monitor was made.
    pub fn operations(&self) -> Vec<Operation> {
        self.0.recorded.operations.read()
    }

    /// How each operation's statements did, by database and name, since the last
    /// [`reset`](Self::reset).
    pub fn statements(&self) -> Vec<StatementReport> {
        let at_reset = lock(&self.0.statements_at_reset);
        let since = |now: StatementReport| {
            let same = |then: &&StatementReport| {
                (&then.backend, then.operation) == (&now.backend, now.operation)
            };
            at_reset.iter().find(same).map_or_else(|| now.clone(), |then| now.since(then))
        };
        self.0.recorded.statements.read().into_iter().map(since).collect()
    }

    /// The ten slowest statements since the last [`reset`](Self::reset), slowest first.
    pub fn slowest(&self) -> Vec<SlowStatement> {
        self.0.recorded.statements.slowest()
    }

    /// The last events after this number, oldest first; 0 for all that are kept (200).
    pub fn events(&self, after: u64) -> Vec<Event> {
        self.0.recorded.events.after(after)
    }

    /// Lets the [`total`](Report::total) figures of [`reports`](Self::reports), and
    /// [`statements`](Self::statements), begin anew. The window and the health that follows from it go
    /// on. What pools count, and what is exported of it, goes on: counters of a metrics server never go
    /// back.
    pub fn reset(&self) {
        self.pools().iter().for_each(|watched| watched.reset());
        *lock(&self.0.statements_at_reset) = self.0.recorded.statements.read();
        self.0.recorded.statements.forget_slowest();
    }

    /// All metrics there are, as they are now.
    pub fn families(&self) -> Families {
        Families::read(self)
    }

    /// A name of ours, as it is exported.
    pub(crate) fn own_name(&self, name: &str) -> String {
        match &self.0.prefix {
            Some(prefix) => format!("{prefix}_db_pool_{name}"),
            None => format!("db_pool_{name}"),
        }
    }

    #[cfg(feature = "opentelemetry")]
    pub(crate) fn statements_by_end(&self) -> Vec<crate::statements::Ends> {
        self.0.recorded.statements.by_end()
    }

    pub(crate) fn statements_so_far(&self) -> Vec<StatementReport> {
        self.0.recorded.statements.read()
    }
}

/// A monitor, if it is there yet.
pub(crate) struct WeakMonitor(Weak<Inner>);

impl WeakMonitor {
    pub(crate) fn upgrade(&self) -> Option<Monitor> {
        self.0.upgrade().map(Monitor)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("pools", &self.names()).finish_non_exhaustive()
    }
}

/// A [`Monitor`] in the making.
#[derive(Clone, Debug)]
#[must_use]
pub struct MonitorBuilder {
    thresholds: Thresholds,
    prefix: Option<String>,
}

impl MonitorBuilder {
    /// From where on something is worth looking at.
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// What the names of our own metrics begin with: `shop` gives
    /// `shop_db_pool_connections_active`. Without it they begin with `db_pool`. Those of
    /// OpenTelemetry keep their names. All but letters, digits and `_` becomes `_`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut prefix: String = prefix.trim_end_matches('_').chars().map(plain).collect();
        if prefix.starts_with(|c: char| c.is_ascii_digit()) {
            prefix.insert(0, '_');
        }
        self.prefix = (!prefix.is_empty()).then_some(prefix);
        self
    }

    /// Makes the monitor.
    pub fn build(self) -> Monitor {
        Monitor(Arc::new(Inner {
            thresholds: self.thresholds,
            prefix: self.prefix,
            pools: Mutex::default(),
            statements_at_reset: Mutex::default(),
            recorded: Arc::new(Recorded {
                operations: Operations::new(),
                statements: Statements::new(),
                events: Events::default(),
            }),
        }))
    }
}

impl Metrics for Recorded {
    fn connected(&self, event: &Connected<'_>) {
        let text = format!("connection {} in {} ms", event.id, event.took.as_millis());
        self.events.push(event.pool, EventKind::Connected, text);
    }

    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        let text = format!("after {} ms: {}", event.took.as_millis(), event.error);
        self.events.push(event.pool, EventKind::ConnectFailed, text);
    }

    fn acquired(&self, event: &Acquired<'_>) {
        self.operations.acquired(event);
    }

    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        self.operations.failed(event);
        self.events.push_rarely(event.pool, EventKind::AcquireFailed, || {
            let (kind, waited) = (event.kind.as_str(), event.waited.as_millis());
            format!("{kind} after {waited} ms at {}", event.site)
        });
    }

    fn reset(&self, event: &ResetDone<'_>) {
        if !event.kept {
            let text = format!("after {} ms", event.took.as_millis());
            self.events.push(event.pool, EventKind::ResetFailed, text);
        }
    }

    fn closed(&self, event: &Closed<'_>) {
        let abandoned = if event.abandoned { ", without a goodbye" } else { "" };
        let (id, age) = (event.id, event.age.as_secs());
        let text = format!("connection {id} at {age} s: {}{abandoned}", event.reason);
        self.events.push(event.pool, EventKind::Closed, text);
    }

    fn stalled(&self, event: &Stalled<'_>) {
        let text = format!("a future made at {} was not polled", event.site);
        self.events.push(event.pool, EventKind::Stalled, text);
    }

    fn leaked(&self, event: &Leaked<'_>) {
        let text = format!("held for {} s at {}", event.held.as_secs(), event.site);
        self.events.push(event.pool, EventKind::Leaked, text);
    }
}

impl StatementObserver for Recorded {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        self.statements.finished(statement, outcome);
    }
}

/// The name, or the first like it with a number that is not taken.
fn free(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    numbered.into_iter().find(|name| !is_taken(name)).expect("numbers do not end")
}

/// Locks. What a panic of somebody else has left is no reason to panic here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
