//! Fakes and faults for testing connection pools and their managers.
//!
//! [`FakeServer`] is a database server that exists only in memory and on tokio's clock: it connects,
//! pings, resets and closes as it is told to, it can die, go silent and come back, and it counts
//! what a server would see. With a paused clock (`#[tokio::test(start_paused = true)]`) hours pass
//! in milliseconds.
//!
//! ```
//! use std::time::Duration;
//! use pool_core::{ErrorClass, ManagedPool};
//! use pool_testkit::{Behaviour, FakeServer, Op};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let server = FakeServer::new();
//! server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient), Behaviour::Ok]);
//!
//! let pool = ManagedPool::builder(server.manager()).max_size(1).build().unwrap();
//! let connection = pool.acquire().await.unwrap(); // the second attempt
//! assert_eq!(server.calls(Op::Connect), 2);
//! assert_eq!(server.open(), 1);
//! # drop(connection); }
//! ```
//!
//! The feature `servers` (Linux) adds real servers that live as long as a test, in `servers`, and a
//! `FaultProxy` to put in front of them.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod conformance;
mod deadline;
mod fake;
mod faults;
mod faulty;
mod polls;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod proxy;
#[cfg(feature = "proptest")]
pub mod random;
pub mod scenario;
#[cfg(all(feature = "servers", target_os = "linux"))]
pub mod servers;
pub mod test_pools;

pub use deadline::hard_deadline;
pub use fake::{FakeConnection, FakeError, FakeManager, FakeServer};
pub use faults::{Behaviour, Faults, Injected, Op, hush_injected_panics};
pub use faulty::{FaultyConnection, FaultyError, FaultyManager, Watch};
pub use polls::poll_times;
#[cfg(all(feature = "servers", target_os = "linux"))]
pub use proxy::{Direction, Fault, FaultProxy, Target};
