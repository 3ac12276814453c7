//! Playing a scenario on a pool under test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pool_core::{CloseReport, ManagedPool, PoolConfig, PoolGuard, Request, Snapshot};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::record::Record;
use super::words;
use super::{Do, Expected, Failure, Name, Scenario, Which};
use crate::Op;
use crate::conformance::{
    Acquired, Cannot, Connection, Faulted, Harness, Outcome, PATIENCE, SharedPool, Trial, poll_once,
};

/// Plays a scenario.
///
/// # Errors
/// If it does not apply to the pool under test: why.
///
/// # Panics
/// If the rule does not hold: with the file, the step and what was seen.
pub async fn run<H: Harness>(trial: &Trial<H>, scenario: &Scenario) -> Outcome {
    let mut stage = Stage::set(trial, scenario).await?;
    for (n, step) in scenario.steps.iter().enumerate() {
        if let Err(what) = stage.play(&step.what).await {
            panic!("{}, step {} ({}): {what}", scenario.file, n + 1, step.text);
        }
    }
    Ok(())
}

/// The pool and those who use it.
struct Stage<'a, H: Harness> {
    trial: &'a Trial<H>,
    pool: SharedPool<H>,
    /// The same pool, where it is ours.
    managed: Option<ManagedPool<Faulted<H>>>,
    asking: BTreeMap<Name, JoinHandle<(Acquired<H>, Duration)>>,
    holding: BTreeMap<Name, PoolGuard<Connection<H>>>,
    closing: Option<JoinHandle<CloseReport>>,
    record: Arc<Record>,
    /// How many events have been looked at.
    told: usize,
}

impl<'a, H: Harness> Stage<'a, H> {
    async fn set(trial: &'a Trial<H>, scenario: &Scenario) -> Result<Self, Cannot> {
        for feature in &scenario.needs {
            trial.needs(*feature)?;
        }
        for fault in &scenario.faults {
            match fault.which {
                Which::Nth(n) => trial.faults.at(fault.op, n, fault.behaviour),
                Which::From(n) => trial.faults.from(fault.op, n, fault.behaviour),
                Which::All => trial.faults.always(fault.op, fault.behaviour),
            }
        }
        let (config, record) = (config(trial, scenario), Arc::new(Record::default()));
        let (pool, managed) = if scenario.managed {
            let builder = trial.managed(config)?.metrics(record.clone());
            let pool = builder.build().map_err(|error| Cannot(error.to_string()))?;
            (Arc::new(pool.clone()) as SharedPool<H>, Some(pool))
        } else {
            (trial.pool(config).await?, None)
        };
        let (asking, holding) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { trial, pool, managed, asking, holding, closing: None, record, told: 0 })
    }

    async fn play(&mut self, what: &Do) -> Result<(), String> {
        match what {
            Do::Acquire { names, within } => {
                for name in names {
                    self.acquire(name, *within).await;
                }
            }
            Do::Got { names, after } => {
                for name in names {
                    self.got(name, *after).await?;
                }
            }
            Do::Pending(names) => {
                self.trial.settle().await;
                for name in names {
                    if self.asked(name)?.is_finished() {
                        return Err(format!("{name} waits no more: {}", self.ended(name).await));
                    }
                }
            }
            Do::Fails { names, how } => {
                for name in names {
                    self.fails(name, how).await?;
                }
            }
            Do::Cancel(names) => {
                for name in names {
                    let asked = self.asking.remove(name).ok_or_else(|| asks_nothing(name))?;
                    asked.abort();
                    drop(asked.await); // a connection that it had just got goes back
                }
            }
            Do::Release(names) => {
                for name in names {
                    drop(self.take(name)?);
                }
            }
            Do::Invalidate(names) => {
                for name in names {
                    self.take(name)?.invalidate();
                }
            }
            Do::BreakConnection(names) => {
                for name in names {
                    let trial = self.trial;
                    trial.harness.break_connection(self.held(name)?).await;
                }
            }
            Do::Begin(names) => {
                for name in names {
                    let trial = self.trial;
                    trial.harness.begin(self.held(name)?).await;
                }
            }
            Do::NoTransaction(names) => {
                for name in names {
                    let trial = self.trial;
                    if trial.harness.in_transaction(self.held(name)?).await {
                        return Err(format!("{name}'s connection is in a transaction"));
                    }
                }
            }
            Do::Resize(sizes) => self.ours().resize(sizes).map_err(|error| error.to_string())?,
            Do::Suspend => self.ours().suspend(),
            Do::Resume => self.ours().resume(),
            Do::InvalidateAll => self.ours().invalidate_all(),
            Do::Close(within) => {
                let closing = tokio::spawn(self.pool.close(*within));
                self.closing = Some(closing);
                self.trial.settle().await;
            }
            Do::Closed { abandoned } => {
                let closing = self.closing.take().ok_or("nobody has closed the pool")?;
                let report = timeout(PATIENCE, closing).await;
                let report = report.map_err(|_| "closing does not end")?.expect("no panic");
                if report.abandoned as u64 != *abandoned {
                    return Err(format!("{abandoned} left behind was expected: {report}"));
                }
            }
            Do::Pass(time) => sleep(*time).await,
            Do::Heal => self.trial.faults.clear(),
            Do::Expect(figures) => self.expect(figures).await?,
            Do::Events(events) => self.events(events).await?,
        }
        Ok(())
    }

    /// Asks in a task of its own, and returns once that waits or has been answered.
    async fn acquire(&mut self, name: Name, within: Option<Option<Duration>>) {
        let mut request = Request::new().operation(name);
        if let Some(within) = within {
            request = request.within(within);
        }
        let (pool, (asked, first)) = (self.pool.clone(), oneshot::channel());
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            let mut acquire = pool.acquire_with(request);
            let polled = poll_once(&mut acquire).await;
            let _ = asked.send(());
            let acquired = match polled {
                Poll::Ready(acquired) => acquired,
                Poll::Pending => acquire.await,
            };
            (acquired, begun.elapsed())
        });
        let _ = first.await; // or it panicked, and whoever waits for it will hear that
        self.asking.insert(name, task);
    }

    async fn got(&mut self, name: Name, after: Option<Duration>) -> Result<(), String> {
        let (acquired, took) = self.answer(name).await?;
        let mut guard = acquired.map_err(|error| format!("{name} was refused: {error}"))?;
        self.in_time(took, after)?;
        let answered = self.trial.harness.query(&mut guard).await;
        answered.map_err(|error| format!("{name}'s connection does not work: {error}"))?;
        self.holding.insert(name, guard);
        Ok(())
    }

    async fn fails(&mut self, name: Name, how: &Failure) -> Result<(), String> {
        let (acquired, took) = self.answer(name).await?;
        let Err(error) = acquired else {
            return Err(format!("{name} got a connection"));
        };
        let (kind, text) = (error.kind().as_str(), error.to_string());
        if let Some(expected) = how.kind.as_ref().filter(|expected| *expected != kind) {
            return Err(format!("it failed with {kind}, not {expected}: {text}"));
        }
        if let Some(missing) = how.says.iter().find(|part| !text.contains(*part)) {
            return Err(format!("the error does not say {missing:?}: {text}"));
        }
        if let Some(secret) = how.lacks.iter().find(|part| text.contains(*part)) {
            return Err(format!("the error says {secret:?}: {text}"));
        }
        self.in_time(took, how.after)
    }

    /// What came of an acquire, and how long that took.
    async fn answer(&mut self, name: Name) -> Result<(Acquired<H>, Duration), String> {
        let asked = self.asking.remove(name).ok_or_else(|| asks_nothing(name))?;
        // Longer than the acquire itself may take.
        let patience = PATIENCE * 2;
        match timeout(patience, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(format!("{name}'s acquire panicked")),
            Err(_) => {
                let now = self.pool.snapshot();
                Err(format!("{name} still waits after {patience:?}: {}", gauges(&now)))
            }
        }
    }

    async fn ended(&mut self, name: Name) -> String {
        match self.answer(name).await {
            Ok((Ok(_), _)) => "it got a connection".into(),
            Ok((Err(error), _)) => format!("it was refused: {error}"),
            Err(what) => what,
        }
    }

    fn in_time(&self, took: Duration, expected: Option<Duration>) -> Result<(), String> {
        let Some(expected) = expected else { return Ok(()) };
        // A tick of the clock early is not early.
        let early = took + Duration::from_millis(2) < expected;
        if early || took > expected + self.trial.slack() {
            return Err(format!("it took {took:?}, not {expected:?}"));
        }
        Ok(())
    }

    /// Waits until all figures are as expected. `&mut`, since guards cannot be shared between
    /// threads, and the future should be able to move.
    async fn expect(&mut self, expected: &[Expected]) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.wrong(expected) {
                None => return Ok(()),
                Some(wrong) if begun.elapsed() > PATIENCE => return Err(wrong),
                Some(_) => sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Which figures are not as expected.
    fn wrong(&self, expected: &[Expected]) -> Option<String> {
        let wrong = expected.iter().map(|e| (e, self.figure(&e.key)));
        let wrong = wrong.filter(|(e, seen)| !e.holds(*seen));
        let wrong: Vec<_> =
            wrong.map(|(e, seen)| format!("`{}` is {seen}, not {e}", e.key)).collect();
        let all = || gauges(&self.pool.snapshot());
        (!wrong.is_empty()).then(|| format!("{}; {}", wrong.join(", "), all()))
    }

    fn figure(&self, key: &str) -> i64 {
        let (watch, faults) = (&self.trial.watch, &self.trial.faults);
        if let Some(op) = key.strip_prefix("calls.") {
            let op = Op::ALL.into_iter().find(|known| words::op_name(*known) == op);
            return number(faults.calls(op.expect("checked when it was read")));
        }
        if let Some(count) = key.strip_prefix("counts.") {
            let counts = words::counts(&self.pool.snapshot().counts);
            let found = counts.into_iter().find(|(name, _)| name == count);
            return found.expect("checked when it was read").1;
        }
        let now = self.pool.snapshot();
        match key {
            "seen.alive" => number(watch.alive()),
            "seen.peak" => number(watch.peak()),
            "seen.connecting" => number(watch.connecting()),
            "seen.peak_connecting" => number(watch.peak_connecting()),
            "seen.violations" => number(watch.violations().len()),
            "open" => number(now.open()),
            "idle" => number(now.idle),
            "in_use" => number(now.in_use),
            "connecting" => number(now.connecting),
            "validating" => number(now.validating),
            "resetting" => number(now.resetting),
            "closing" => number(now.closing),
            "waiting" => number(now.waiting),
            _ => number(now.max_size),
        }
    }

    /// Waits until these events have happened, in this order; others may lie between.
    async fn events(&mut self, expected: &[String]) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let happened = self.record.from(self.told);
            let (mut next, mut last) = (0, 0);
            for (n, event) in happened.iter().enumerate() {
                if expected.get(next) == Some(event) {
                    (next, last) = (next + 1, n + 1);
                }
            }
            let Some(missing) = expected.get(next) else {
                self.told += last;
                return Ok(());
            };
            if begun.elapsed() > PATIENCE {
                return Err(format!("`{missing}` has not happened in its turn, but {happened:?}"));
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn asked(&self, name: Name) -> Result<&JoinHandle<(Acquired<H>, Duration)>, String> {
        self.asking.get(name).ok_or_else(|| asks_nothing(name))
    }

    fn held(&mut self, name: Name) -> Result<&mut PoolGuard<Connection<H>>, String> {
        self.holding.get_mut(name).ok_or_else(|| holds_nothing(name))
    }

    fn take(&mut self, name: Name) -> Result<PoolGuard<Connection<H>>, String> {
        self.holding.remove(name).ok_or_else(|| holds_nothing(name))
    }

    fn ours(&self) -> &ManagedPool<Faulted<H>> {
        self.managed.as_ref().expect("scenarios with controls run on our own pool")
    }
}

fn asks_nothing(name: Name) -> String {
    format!("{name} waits for nothing any more: put this step before it got or failed")
}

fn holds_nothing(name: Name) -> String {
    format!("{name} holds nothing: put {{ got = \"{name}\" }} before, and no release between")
}

/// The settings of a scenario; where it says nothing, those that cases start from.
fn config<H: Harness>(trial: &Trial<H>, scenario: &Scenario) -> PoolConfig {
    let (mut config, start) = (scenario.config.clone(), trial.config(scenario.config.max_size));
    let says = |setting: &str| scenario.set.iter().any(|set| set == setting);
    if !says("acquire_timeout") {
        config.acquire_timeout = start.acquire_timeout;
    }
    if !says("backoff_base") && !says("backoff_cap") {
        (config.backoff_base, config.backoff_cap) = (start.backoff_base, start.backoff_cap);
    }
    config
}

fn gauges(now: &Snapshot) -> String {
    format!(
        "of {} connections {} are idle, {} in use, {} connecting, {} validating, {} resetting, \
         {} closing; {} wait",
        now.max_size,
        now.idle,
        now.in_use,
        now.connecting,
        now.validating,
        now.resetting,
        now.closing,
        now.waiting
    )
}

fn number(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}
