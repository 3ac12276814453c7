//! A SQLite pool: one writer, many readers, no fighting over locks, safe to cancel.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?; let path = folder.path().join("media.db");
//! use pool_sqlite::SqlitePool;
//!
//! let pool = SqlitePool::builder(&path).max_size(5).build().await?;
//!
//! let mut writer = pool.write().await?;
//! writer.transaction(|tx| {
//!     tx.execute_batch("CREATE TABLE film (title TEXT); INSERT INTO film VALUES ('Alien');")
//! }).await?;
//! drop(writer); // back in the pool
//!
//! let mut reader = pool.read().operation("list films").await?;
//! let films: i64 = reader.inline(|c| c.query_row("SELECT count(*) FROM film", [], |r| r.get(0))).await?;
//! assert_eq!(films, 1);
//! # drop(reader);
//!
//! pool.close(std::time::Duration::from_secs(5)).await;
//! # assert!(!path.with_extension("db-wal").exists());
//! # Ok(()) }
//! ```
//!
//! What the engine promises (order, deadlines, cancellation, diagnosis) is in [`pool_core`]. What
//! SQLite adds:
//!
//! * **One writer.** SQLite has one write lock; connections that fight for it sleep and fail. Here
//!   writers queue for one connection, and its transactions begin `IMMEDIATE`.
//! * **Readers that cannot write**, each with a snapshot of its own in WAL mode.
//! * **Cancellation.** Dropping a future interrupts its statement, and only its own; see
//!   [`SqliteConnection`].
//! * **Upkeep.** Checkpoints and `PRAGMA optimize` run in the background when the writer comes
//!   back; [`SqlitePool::close`] leaves no `-wal` file behind.
//! * **Batches**: see [`pool_sql::Batch`], which [`SqliteConnection`] implements.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backup;
mod batch;
mod builder;
mod common;
mod connection;
mod error;
mod manager;
mod open;
mod options;
mod pool;
mod returning;
pub mod url;
mod watch;
mod worker;

pub use builder::SqliteBuilder;
pub use connection::SqliteConnection;
pub use error::{SqliteError, SqliteErrorKind};
pub use manager::SqliteManager;
pub use options::{JournalMode, SqliteOptions, Synchronous, TempStore};
pub use pool::{SqliteCloseReport, SqliteGuard, SqlitePool, SqliteSnapshot};
pub use pool_core;
pub use pool_sql;
pub use rusqlite;
