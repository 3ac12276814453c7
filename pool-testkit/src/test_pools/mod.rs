//! Pools for the tests of code that uses a pool.
//!
//! * [`AssertingPool`] finds code that asks for a connection while it holds one.
//! * [`RollbackPool`] gives one test one transaction, and rolls it back at the end.
//!
//! Both are a [`Pool`](pool_core::Pool), so code that takes `Arc<dyn Pool<Connection = C>>` runs
//! on them as it is.

mod asserting;
mod rollback;

pub use asserting::AssertingPool;
pub use rollback::{InTransaction, NotRolledBack, RollbackPool, TransactionError};
