//! [`Faults`]: a plan of how the calls of a manager go, and a count of how they went.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use pool_core::ErrorClass;
use tokio::time::sleep;

/// What a pool asks of its manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Op {
    /// [`Manager::connect`](pool_core::Manager::connect).
    Connect,
    /// [`Manager::ping`](pool_core::Manager::ping).
    Ping,
    /// [`Manager::reset`](pool_core::Manager::reset).
    Reset,
    /// [`Manager::close`](pool_core::Manager::close); it cannot fail.
    Close,
    /// [`Manager::condition`](pool_core::Manager::condition); it can only pass, fail (the
    /// connection is broken) or panic.
    Condition,
    /// [`Manager::classify`](pool_core::Manager::classify); it can only pass or panic.
    Classify,
    /// [`Manager::limits`](pool_core::Manager::limits); it can only pass or panic.
    Limits,
    /// The drop of a connection; it can only pass or panic.
    Drop,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Ping,
        Self::Reset,
        Self::Close,
        Self::Condition,
        Self::Classify,
        Self::Limits,
        Self::Drop,
    ];
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Behaviour {
    /// It succeeds at once.
    Ok,
    /// It succeeds after this time.
    Slow(Duration),
    /// It fails, with an error of this class where that matters.
    Fail(ErrorClass),
    /// It fails after this time.
    FailAfter(Duration, ErrorClass),
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
}

/// A plan of how calls go. Every clone is the same plan.
///
/// What is said about a call for the first of these counts: [`next`](Self::next), then
/// [`at`](Self::at) and [`from`](Self::from), then [`sometimes`](Self::sometimes), then
/// [`always`](Self::always); else it passes.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    next: BTreeMap<Op, VecDeque<Behaviour>>,
    nth: Vec<Nth>,
    sometimes: Vec<Sometimes>,
    rng: Option<fastrand::Rng>,
    always: BTreeMap<Op, Behaviour>,
    calls: BTreeMap<Op, u64>,
    fired: u64,
}

#[derive(Clone, Copy, Debug)]
struct Nth {
    op: Op,
    n: u64,
    lasting: bool,
    behaviour: Behaviour,
}

#[derive(Clone, Copy, Debug)]
struct Sometimes {
    op: Op,
    one_in: u32,
    behaviour: Behaviour,
}

impl Faults {
    /// No faults: every call passes.
    pub fn none() -> Self {
        Self::default()
    }

    /// How the next calls of an operation go, one each.
    pub fn next(&self, op: Op, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.plan().next.entry(op).or_default().extend(behaviours);
    }

    /// How the `n`th call of an operation goes, counted from 0 since the plan was made.
    pub fn at(&self, op: Op, n: u64, behaviour: Behaviour) {
        self.plan().nth.push(Nth { op, n, lasting: false, behaviour });
    }

    /// How the `n`th call of an operation and all later ones go.
    pub fn from(&self, op: Op, n: u64, behaviour: Behaviour) {
        self.plan().nth.push(Nth { op, n, lasting: true, behaviour });
    }

    /// How one in so many calls of an operation goes, at random. Of several such plans for an
    /// operation each has its own chance, in their order.
    pub fn sometimes(&self, op: Op, one_in: u32, behaviour: Behaviour) {
        let mut plan = self.plan();
        plan.sometimes.push(Sometimes { op, one_in, behaviour });
        plan.rng.get_or_insert_with(fastrand::Rng::new);
    }

    /// Where the chances of [`sometimes`](Self::sometimes) begin, so that they come out alike.
    pub fn seed(&self, seed: u64) {
        self.plan().rng = Some(fastrand::Rng::with_seed(seed));
    }

    /// How calls of an operation go from now on, where nothing else is said about them.
    pub fn always(&self, op: Op, behaviour: Behaviour) {
        self.plan().always.insert(op, behaviour);
    }

    /// From now on every call passes. The counts stay.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.next.clear();
        plan.nth.clear();
        plan.sometimes.clear();
        plan.always.clear();
    }

    /// How often an operation was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.plan().calls.get(&op).copied().unwrap_or_default()
    }

    /// How many calls did not simply pass.
    pub fn fired(&self) -> u64 {
        self.plan().fired
    }

    /// Counts a call and says how it is to go.
    pub fn call(&self, op: Op) -> Behaviour {
        let mut guard = self.plan();
        let plan = &mut *guard;
        let calls = plan.calls.entry(op).or_default();
        let n = *calls;
        *calls += 1;
        let next = plan.next.get_mut(&op).and_then(VecDeque::pop_front);
        let nth = |nth: &&Nth| nth.op == op && (nth.n == n || nth.lasting && nth.n < n);
        let behaviour = next
            .or_else(|| plan.nth.iter().find(nth).map(|nth| nth.behaviour))
            .or_else(|| plan.chance(op))
            .or_else(|| plan.always.get(&op).copied())
            .unwrap_or(Behaviour::Ok);
        plan.fired += u64::from(behaviour != Behaviour::Ok);
        behaviour
    }

    /// Counts a call and lets it go as planned.
    ///
    /// # Errors
    /// Where the plan says so.
    ///
    /// # Panics
    /// Where the plan says so.
    pub async fn act(&self, op: Op) -> Result<(), Injected> {
        match self.call(op) {
            Behaviour::Ok => Ok(()),
            Behaviour::Slow(time) => {
                sleep(time).await;
                Ok(())
            }
            Behaviour::Fail(class) => Err(Injected { op, class }),
            Behaviour::FailAfter(time, class) => {
                sleep(time).await;
                Err(Injected { op, class })
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("{}", panic_text(op)),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn chance(&mut self, op: Op) -> Option<Behaviour> {
        let rng = self.rng.as_mut()?;
        let hit = |chance: &&Sometimes| chance.op == op && rng.u32(..chance.one_in) == 0;
        self.sometimes.iter().find(hit).map(|chance| chance.behaviour)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan().fmt(f)
    }
}

/// How the text of every injected panic begins.
const INJECTED: &str = "injected panic";

/// What an injected panic says.
pub(crate) fn panic_text(op: Op) -> String {
    format!("{INJECTED} in {op:?}")
}

/// From now on panics whose text begins with `injected panic` are not printed, since thousands of
/// them would drown everything else. They panic all the same.
pub fn hush_injected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.starts_with(INJECTED)) {
                usual(info);
            }
        }));
    });
}

/// What an injected failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    pub(crate) op: Op,
    pub(crate) class: ErrorClass,
}

impl Injected {
    /// Its class.
    pub fn class(&self) -> ErrorClass {
        self.class
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            ErrorClass::Permanent => "permanent",
            ErrorClass::Saturated => "saturated",
            _ => "transient",
        };
        write!(f, "injected: failed {:?} ({class})", self.op)
    }
}

impl std::error::Error for Injected {}
