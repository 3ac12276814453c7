//! Random lives of a pool, for property tests (feature `proptest`).
//!
//! [`operations`] makes up what users do to a pool, [`fault_plan`] what goes wrong meanwhile, and
//! [`settings`] the pool. A [`Driver`] applies the one to the other on a paused clock, and a
//! [`Model`] knows what must be true after every step. [`live`] is all of it:
//!
//! ```
//! use pool_core::ManagedPool;
//! use pool_testkit::random::{self, Driver, Model};
//! use pool_testkit::{FakeServer, FaultyManager};
//! use proptest::prelude::*;
//!
//! proptest! {
//! #   #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]
//!     # /*
//!     #[test]
//!     # */
//!     fn any_life_ends_well(
//!         settings in random::settings(),
//!         faults in random::fault_plan(),
//!         operations in random::operations(),
//!     ) {
//!         let mut runtime = tokio::runtime::Builder::new_current_thread();
//!         let runtime = runtime.enable_time().start_paused(true).build().unwrap();
//!         let ended = runtime.block_on(async {
//!             let manager = FaultyManager::new(FakeServer::new().manager(), faults.clone());
//!             let watch = manager.watch();
//!             let pool = ManagedPool::builder(manager).config(settings.clone()).seed(1);
//!             let driver = Driver::new(pool.build().unwrap(), faults, |connection| {
//!                 connection.begin(); // leaves something to clean up
//!             });
//!             let mut model = Model::new(&settings, watch).without_order();
//!             random::live(driver, &mut model, &operations).await
//!         });
//!         prop_assert_eq!(ended, Ok(()));
//!     }
//! }
//! # fn main() { any_life_ends_well() }
//! ```

mod driver;
mod model;
mod operation;
mod strategies;

pub use driver::{Driver, live};
pub use model::Model;
pub use operation::{Cut, End, Event, Left, Operation};
pub use strategies::{fault_plan, fault_plan_of, operations, settings};
