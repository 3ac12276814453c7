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
//! * **Upkeep.** Checkpoints and `PRAGMA optimize` run in the background when the writer rests, or
//!   cannot be put off any longer; [`SqlitePool::close`] leaves no `-wal` file behind.
//! * **Transactions** as a closure ([`SqliteConnection::transaction`]) or as a value
//!   ([`SqliteConnection::begin`]), which is rolled back unless it is committed.
//! * **Statements with values**: see [`pool_sql::Queries`], and **batches**: see [`pool_sql::Batch`].
//!   [`SqliteConnection`] and [`SqliteTransaction`] implement both.
//!
//! # Values
//!
//! SQLite has five types; a value becomes one of them, and comes back as that.
//!
//! | value | is stored as | comes back as |
//! |---|---|---|
//! | `Bool` | 0 or 1 | `I64`, which reads as `bool` |
//! | `I64`, `Timestamp`, `Date`, `Time` | an integer | `I64` |
//! | `U64` | an integer; above `i64::MAX` it is refused | `I64` |
//! | `F64` | a real; NaN is refused, since it would be NULL | `F64` |
//! | `Text`, `Decimal`, `Json` | text | `Text` |
//! | `Bytes`, `Uuid` | a blob | `Bytes`, which read as `[u8; 16]` |
//!
//! What is refused is an error of kind [`Type`](SqliteErrorKind::Type) that says where it stood, and
//! nothing of the statement or of the batch is stored.
//!
//! A column's affinity may make another one of it: a decimal in a `DECIMAL` or `NUMERIC` column is a
//! number of 64 bits. Declare it `TEXT` to keep all digits.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backup;
mod batch;
mod builder;
mod common;
mod connection;
mod error;
mod log;
mod manager;
mod open;
mod options;
mod pool;
mod returning;
mod transaction;
pub mod url;
mod values;
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
pub use transaction::SqliteTransaction;
