//! Scenarios: rules of the contract as small files that anybody can read, and that run on any
//! manager and, as far as they need no controls of ours, on any pool.
//!
//! The files lie in `scenarios/`, one for each rule, and each is a case of the
//! [conformance suite](mod@crate::conformance). One of them, complete:
//!
//! ```toml
#![doc = include_str!("../../scenarios/r02.toml")]
//! ```
//!
//! # The format
//!
//! * `rule`, `about`: which rule, and what of it is shown. Both are required.
//! * `pool`: the settings, as [`PoolConfig`] reads them (`max_size = 1`,
//!   `acquire_timeout = "200ms"`). What is not set is as in [`Trial::config`].
//! * `needs`: what a pool of another make must have besides what the steps tell: names of
//!   [`Feature`]s in snake case, or `"managed"` for a rule that only our own pool promises.
//! * `faults`: how calls of the manager go, a list of `{ op, behaviour }` with `nth` (only that
//!   call, counted from 0) or `from` (that call and all later ones) or neither (every call). `op`
//!   is `connect`, `ping`, `reset`, `close`, `condition`, `classify`, `limits` or `drop`;
//!   `behaviour` is `"ok"`, `"hang"`, `"panic"`, `{ slow = "50ms" }`, `{ fail = "transient" }` or
//!   `{ fail_after = ["50ms", "permanent"] }`.
//! * `steps`: what happens, in order. A name stands for one acquire and for what it gets; where
//!   one name may stand, a list of names may.
//!
//! | Step | What it does |
//! |---|---|
//! | `acquire = "a"` | asks in the background; with `within = "50ms"` (or `"none"`) instead of the pool's time-out |
//! | `got = "a"` | waits until it has a connection, and asks the database something on it; with `after = "50ms"`: that long after it asked |
//! | `pending = "a"` | it still waits |
//! | `fails = "a"` | waits until its acquire fails; `with = "timed_out"` says how, `after` when, `says` and `lacks` what the error's text contains and what not |
//! | `cancel = "a"` | its acquire is dropped |
//! | `release = "a"` | it gives its connection back |
//! | `invalidate = "a"` | it gives its connection up |
//! | `break_connection = "a"` | its connection is ended from outside |
//! | `begin = "a"` | it opens a transaction |
//! | `no_transaction = "a"` | the database sees none open on its connection |
//! | `resize = { max_size = 2 }` | the pool's sizes change |
//! | `suspend = true`, `resume = true`, `invalidate_all = true` | the controls of those names |
//! | `close = "1s"` | the pool is closed, in the background |
//! | `closed = { abandoned = 0 }` | waits until that ends, leaving so many behind |
//! | `pass = "50ms"` | time passes |
//! | `heal = true` | from now on no call fails |
//! | `expect = { idle = 1, "counts.created" = "<= 2" }` | waits until this is so |
//! | `events = ["acquired a", "closed broken"]` | waits until this has happened, in this order, after the events of the last such step |
//!
//! What can be expected: a [`Snapshot`]'s gauges (`open` is their sum) and, under `counts.`, its
//! counts; under `calls.` how often an operation was asked of the manager; under `seen.` what the
//! [`Watch`] saw: `alive`, `peak`, `connecting`, `peak_connecting`, `violations`.
//!
//! The events are those of [`Metrics`]: `connected`, `connect_failed <class>`, `acquired <name>`,
//! `acquire_failed <name> <kind>`, `released <name>`, `reset kept` or `reset lost`,
//! `validated alive` or `validated dead`, `closed <reason>`, `stalled <name>`, `leaked <name>`.
//! Events the list does not name may lie between.
//!
//! A scenario has to hold on a real clock and a busy machine too: so it waits for states
//! (`expect`, `got`) instead of hoping that they have come about, and times are checked as
//! [`Trial::slack`] allows.
//!
//! # Rules without a file
//!
//! * R10: what a server allows is the manager's to read, and no harness can change it.
//! * R11: the wall clock is set when a pool is built, and no file can make it jump.
//! * R22: a case has one runtime; what happens when it is gone is tested with the engine.
//!
//! R15 is shown for panics of the manager only, since hooks and observers are code; R25 for the
//! text of a time-out, which must not show the connections themselves.
//!
//! [`PoolConfig`]: pool_core::PoolConfig
//! [`Snapshot`]: pool_core::Snapshot
//! [`Metrics`]: pool_core::Metrics
//! [`Watch`]: crate::Watch
//! [`Trial::config`]: crate::conformance::Trial::config
//! [`Trial::slack`]: crate::conformance::Trial::slack

mod parse;
mod record;
mod run;
mod words;

use std::fmt;
use std::time::Duration;

use pool_core::PoolConfig;

use crate::conformance::{Feature, Needs};
use crate::{Behaviour, Op};

pub use run::run;

/// A scenario, read from a file and found to make sense.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: String,
    rule: String,
    about: String,
    config: PoolConfig,
    /// The settings that the file says something about.
    set: Vec<String>,
    needs: Vec<Feature>,
    managed: bool,
    faults: Vec<Fault>,
    steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario. The file's name is what errors call it by.
    ///
    /// # Errors
    /// With what is wrong and what would be right.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        parse::parse(file, text)
    }

    /// The rule it shows, such as `"R2"`.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What of the rule it shows.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// What it needs of the harness.
    pub fn needs(&self) -> Needs {
        let any = |is: fn(&Do) -> bool| self.steps.iter().any(|step| is(&step.what));
        if any(|what| matches!(what, Do::BreakConnection(_))) {
            Needs::BreakConnection
        } else if any(|what| matches!(what, Do::Begin(_) | Do::NoTransaction(_))) {
            Needs::Transactions
        } else {
            Needs::Nothing
        }
    }
}

/// What is wrong with a scenario's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    file: String,
    /// Counted from 1.
    step: Option<usize>,
    what: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "{}, step {step}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for ScenarioError {}

/// How calls of an operation go.
#[derive(Clone, Copy, Debug)]
struct Fault {
    op: Op,
    which: Which,
    behaviour: Behaviour,
}

/// Which calls of an operation.
#[derive(Clone, Copy, Debug)]
enum Which {
    Nth(u64),
    From(u64),
    All,
}

/// One step, and how it is written.
#[derive(Clone, Debug)]
struct Step {
    text: String,
    what: Do,
}

/// A name lives for ever, since pools want them so: they are few and short.
type Name = &'static str;

/// What a step does.
#[derive(Clone, Debug)]
enum Do {
    Acquire { names: Vec<Name>, within: Option<Option<Duration>> },
    Got { names: Vec<Name>, after: Option<Duration> },
    Pending(Vec<Name>),
    Fails { names: Vec<Name>, how: Failure },
    Cancel(Vec<Name>),
    Release(Vec<Name>),
    Invalidate(Vec<Name>),
    BreakConnection(Vec<Name>),
    Begin(Vec<Name>),
    NoTransaction(Vec<Name>),
    Resize(PoolConfig),
    Suspend,
    Resume,
    InvalidateAll,
    Close(Duration),
    Closed { abandoned: u64 },
    Pass(Duration),
    Heal,
    Expect(Vec<Expected>),
    Events(Vec<String>),
}

/// How an acquire is to fail.
#[derive(Clone, Debug, Default)]
struct Failure {
    kind: Option<String>,
    after: Option<Duration>,
    says: Vec<String>,
    lacks: Vec<String>,
}

/// A figure that is to come about.
#[derive(Clone, Debug)]
struct Expected {
    key: String,
    relation: Relation,
    value: i64,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Exactly,
    AtMost,
    AtLeast,
}

impl Expected {
    fn holds(&self, seen: i64) -> bool {
        match self.relation {
            Relation::Exactly => seen == self.value,
            Relation::AtMost => seen <= self.value,
            Relation::AtLeast => seen >= self.value,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            Relation::Exactly => "",
            Relation::AtMost => "at most ",
            Relation::AtLeast => "at least ",
        };
        write!(f, "{relation}{}", self.value)
    }
}
