//! A connection pool engine: strict FIFO, safe to cancel anywhere, bounded in everything, and able
//! to explain itself.
//!
//! ```
//! use pool_core::{ConnectContext, ManagedPool, Manager};
//!
//! struct Files(&'static str);
//!
//! impl Manager for Files {
//!     type Connection = std::fs::File;
//!     type Error = std::io::Error;
//!
//!     async fn connect(&self, _: &ConnectContext) -> Result<std::fs::File, Self::Error> {
//!         std::fs::File::open(self.0)
//!     }
//!     async fn ping(&self, file: &mut std::fs::File) -> Result<(), Self::Error> {
//!         file.metadata().map(drop)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = ManagedPool::builder(Files("/dev/null")).max_size(4).build()?;
//! let file = pool.acquire().operation("read").await?;
//! assert!(file.metadata()?.len() == 0);
//! drop(file); // back in the pool
//! assert_eq!(pool.snapshot().idle, 1);
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! Each rule has a name; tests are called by it.
//!
#![doc = include_str!("../RULES.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
pub mod duration;
mod error;
mod foreign;
mod histogram;
mod holders;
mod hooks;
mod managed;
mod manager;
mod metrics;
mod pool;
mod reconfigured;
mod snapshot;
mod sync;
mod view;

pub use config::{ConfigError, ConfigFault, PoolConfig, Reuse, Validation};
pub use error::{AcquireError, AcquireErrorKind, Phase};
pub use histogram::Histogram;
pub use holders::Holder;
pub use hooks::BoxFuture;
pub use managed::{
    Acquire, AcquireFuture, Blocking, Builder, CloseReport, ManagedGuard, ManagedPool, Recording,
    on_async_worker,
};
pub use manager::{
    Activity, BoxError, Busy, Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, Reset,
};
pub use metrics::{
    AcquireFailed, Acquired, Closed, ConnectFailed, Connected, Leaked, Metrics, Released,
    ResetDone, Stalled, Validated,
};
pub use pool::{Guarded, Pool, PoolExt, PoolGuard, Request};
pub use reconfigured::Reconfigured;
pub use snapshot::{CloseReason, Counts, Ended, Snapshot, Statistics};
pub use view::PoolView;
