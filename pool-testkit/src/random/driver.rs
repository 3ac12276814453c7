//! [`Driver`]: does to a pool what operations say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::{
    AcquireError, CloseReport, ErrorClass, ManagedGuard, ManagedPool, Manager, Snapshot,
};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::model::Model;
use super::operation::{End, Event, Left, Operation};
use crate::poll_times;
use crate::{Behaviour, Faults, FaultyManager, Op};

/// How long everything may take to come right once nothing goes wrong any more: the minimums alone
/// stay away from a server that has refused for good for half a minute.
const HEALING: Duration = Duration::from_secs(40);

/// Applies operations to a pool, on a runtime of one thread whose clock is paused.
pub struct Driver<M: Manager> {
    pool: ManagedPool<FaultyManager<M>>,
    faults: Faults,
    soil: Soil<M::Connection>,
    asked: u64,
    asking: BTreeMap<u64, JoinHandle<()>>,
    answers: Answers<M>,
    held: Vec<Guard<M>>,
}

/// Leaves something in a connection that has to be cleaned up.
type Soil<C> = Box<dyn FnMut(&mut C) + Send>;
type Guard<M> = ManagedGuard<FaultyManager<M>>;
/// What came of an acquire; `None` if it was dropped.
type Answer<M> = Option<Result<Guard<M>, AcquireError>>;
/// The answers that nobody has looked at, in order.
type Answers<M> = Arc<Mutex<Vec<(u64, Answer<M>)>>>;

impl<M: Manager> Driver<M> {
    /// Drives a pool whose manager has these faults. `soil` leaves something in a connection that
    /// has to be cleaned up.
    pub fn new(
        pool: ManagedPool<FaultyManager<M>>,
        faults: Faults,
        soil: impl FnMut(&mut M::Connection) + Send + 'static,
    ) -> Self {
        let (asking, answers) = (BTreeMap::new(), Arc::default());
        Self { pool, faults, soil: Box::new(soil), asked: 0, asking, answers, held: Vec::new() }
    }

    /// The pool at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }

    /// Does this, lets everybody run until they wait, and tells what came of it, in order.
    pub async fn apply(&mut self, operation: &Operation) -> Vec<Event> {
        let mut events = Vec::new();
        match operation {
            Operation::Acquire { patience, cut } => {
                let (number, pool, answers) = (self.asked, self.pool.clone(), self.answers.clone());
                let (patience, cut) = (*patience, *cut);
                let task = tokio::spawn(async move {
                    let acquire = pool.acquire().within(patience).into_future();
                    let answer = match cut {
                        Some(cut) => poll_times(acquire, cut.polls, cut.at_once).await,
                        None => Some(acquire.await),
                    };
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((number, answer));
                });
                self.asked += 1;
                self.asking.insert(number, task);
                events.push(Event::Asked(number));
            }
            Operation::Cancel(which) => {
                let numbers: Vec<u64> = self.asking.keys().copied().collect();
                if let Some(number) = pick(&numbers, *which) {
                    let task = self.asking.remove(&numbers[number]).expect("listed");
                    task.abort();
                    let _ = task.await;
                    events.push(Event::Ended(numbers[number], End::Cancelled));
                }
            }
            Operation::Release(which, left) => {
                if let Some(which) = pick(&self.held, *which) {
                    let guard = self.held.swap_remove(which);
                    self.give_back(guard, *left);
                    events.push(Event::Returned);
                }
            }
            Operation::Pass(time) => sleep(*time).await,
            Operation::Resize(sizes) => drop(self.pool.resize(sizes)),
            Operation::Reconfigure(settings) => drop(self.pool.reconfigure(settings)),
            Operation::Suspend => self.pool.suspend(),
            Operation::Resume => self.pool.resume(),
            Operation::InvalidateAll => self.pool.invalidate_all(),
            Operation::Close => drop(self.pool.close(HEALING)),
        }
        for _ in 0..64 {
            yield_now().await;
        }
        self.collect(&mut events);
        events
    }

    /// From now on nothing goes wrong, everybody gives back what they hold or get, and the pool
    /// has time to come right.
    pub async fn heal(&mut self) -> Vec<Event> {
        self.faults.clear();
        let mut events = self.apply(&Operation::Resume).await;
        let begun = Instant::now();
        while begun.elapsed() < HEALING && !(self.held.is_empty() && self.asking.is_empty()) {
            while !self.held.is_empty() {
                events.extend(self.apply(&Operation::Release(0, Left::Clean)).await);
            }
            events.extend(self.apply(&Operation::Pass(Duration::from_millis(100))).await);
        }
        events.extend(self.apply(&Operation::Pass(HEALING)).await);
        events
    }

    /// Closes the pool and waits for that.
    pub async fn close(self) -> CloseReport {
        drop(self.held);
        self.pool.close(HEALING).await
    }

    fn give_back(&mut self, mut guard: Guard<M>, left: Left) {
        match left {
            Left::Clean => {}
            Left::Dirty => (self.soil)(&mut guard),
            // The next to be asked is this one.
            Left::Broken => {
                self.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
            }
            Left::Invalidated => return guard.invalidate(),
        }
        drop(guard);
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, answer) in answers.drain(..) {
            self.asking.remove(&number);
            let end = match answer {
                Some(Ok(guard)) => {
                    self.held.push(guard);
                    End::Acquired
                }
                Some(Err(error)) => End::Failed(error.kind()),
                None => End::Cancelled,
            };
            events.push(Event::Ended(number, end));
        }
    }
}

fn pick<T>(from: &[T], which: usize) -> Option<usize> {
    (!from.is_empty()).then(|| which % from.len())
}

/// A whole life: these operations, then a good end. The model looks at every step.
///
/// # Errors
/// With the first thing that the model finds wrong, and after which operation.
pub async fn live<M: Manager>(
    mut driver: Driver<M>,
    model: &mut Model,
    operations: &[Operation],
) -> Result<(), String> {
    for (n, operation) in operations.iter().enumerate() {
        let events = driver.apply(operation).await;
        let seen = model.step(operation, &events, &driver.snapshot());
        seen.map_err(|wrong| format!("after operation {n}, {operation:?}: {wrong}"))?;
    }
    let events = driver.heal().await;
    model.healed(&events, &driver.snapshot()).map_err(|wrong| format!("healed: {wrong}"))?;
    let report = driver.close().await;
    model.closed(&report).map_err(|wrong| format!("closed: {wrong}"))
}

impl<M: Manager> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("pool", &self.pool).finish_non_exhaustive()
    }
}
