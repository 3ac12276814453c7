//! The conformance suite: one case for each rule of the contract and for each known way in which
//! pools have failed, to be run on any manager and any pool.
//!
//! Ten lines put a manager of your own through it:
//!
//! ```
//! use pool_testkit::conformance::Harness;
//! # use pool_testkit::{FakeManager as MyManager, FakeServer};
//!
//! struct Mine;
//!
//! impl Harness for Mine {
//!     type Manager = MyManager;
//!
//!     async fn new() -> Self {
//!         Self // start what the manager connects to, one for each case
//!     }
//!     fn manager(&self) -> MyManager {
//! #       if true { return FakeServer::new().manager() }
//! #       unreachable!()
//!         // MyManager::new("..")
//!     }
//! }
//!
//! # macro_rules! conformance { ($($t:tt)*) => {} }
//! conformance!(Mine, without(
//!     break_connection = "no way to cut a connection from outside",
//!     open_connections = "the server does not count",
//!     transactions = "it has none",
//!     session_state = "it has none",
//! ));
//! ```
//!
//! [`conformance!`](crate::conformance!) makes one `#[test]` of each case; what the harness cannot
//! do is named with its reason, and those cases are ignored with it. [`suite`] lists the cases for
//! other runners. New cases may come with any version: each is a bug report, not a break.
//!
//! # Rules for cases
//!
//! A case is an `async fn` that gets a [`Trial`]: a fresh harness, a plan of faults and pools made
//! to order. It proves one rule, its doc comment says which and where the bug comes from, and it
//! fails by panicking. It also has to hold on a real clock and a busy machine: it checks order,
//! counts and states, and times only with [`slack`](Trial::slack). What a pool under test does not
//! offer at all ends it with [`Cannot`].

mod harness;
mod list;
mod trial;

mod capacity;
mod demand;
mod failure;
mod fairness;
mod lifetime;
mod order;
mod scenarios;
mod size;
mod time;

mod cancel;
mod clean;
mod close;
mod controls;
mod counts;
mod insight;
mod panics;
mod proof;
mod restart;
mod runtime;
mod scenes;

pub use harness::{Cannot, Connection, Faulted, Feature, Harness, Outcome, SharedPool};
pub use list::{Case, Needs, Verdict, check, suite};
pub use trial::{Acquired, Trial};
pub(crate) use trial::{PATIENCE, poll_once};

/// The cases, by what they need of the harness.
pub mod cases {
    pub use super::capacity::*;
    pub use super::demand::*;
    pub use super::failure::*;
    pub use super::fairness::*;
    pub use super::lifetime::*;
    pub use super::order::*;
    pub use super::scenarios::*;
    pub use super::size::*;
    pub use super::time::*;

    pub use super::cancel::*;
    pub use super::clean::*;
    pub use super::close::*;
    pub use super::controls::*;
    pub use super::counts::*;
    pub use super::insight::*;
    pub use super::panics::*;
    pub use super::proof::*;
    pub use super::restart::*;
    pub use super::runtime::*;
}
