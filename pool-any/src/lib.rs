//! One pool for SQLite, PostgreSQL and MySQL or MariaDB: which it is, the URL says at run time.
//!
//! ```toml
//! pool-any = { version = "0.1", features = ["sqlite", "postgres"] }
//! ```
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
//! use pool_any::{AnyPool, Value};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = AnyPool::connect("sqlite::memory:").await?; // or AnyPool::from_env()
//!
//! let mut connection = pool.acquire().operation("add films").await?;
//! connection.execute_batch("CREATE TABLE film (id INTEGER PRIMARY KEY, title TEXT)").await?;
//!
//! let mut tx = connection.transaction().await?;
//! for (id, title) in [(1, "Alien"), (2, "Aliens")] {
//!     let values = [Value::from(id), Value::from(title)];
//!     tx.execute("INSERT INTO film (id, title) VALUES ($1, $2)", &values).await?;
//! }
//! tx.commit().await?; // dropped instead, it is rolled back
//!
//! let sql = "SELECT title FROM film WHERE id = $1";
//! let film = connection.query_one(sql, &[Value::from(2)]).await?;
//! assert_eq!(film.get::<&str>("title")?, "Aliens");
//! # drop(connection); pool.close(std::time::Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! What the engine promises (order, deadlines, cancellation, diagnosis) is in [`pool_core`]. What is
//! here goes to the backends as it is, by an enum: a connection is the backend's own, with its
//! rules, and `AnyConnection::as_postgres_mut` and its kin lead to it, and through it to the
//! driver's.
//!
//! * **Statements** have placeholders `$1`, `$2` on all databases, in any order and as often as needed
//!   (see [`placeholders`]). The rest of the SQL is the database's: see [`AnyPool::dialect`].
//! * **Values and rows** are [`Value`] and [`Row`]. What goes into which column, and what it comes back
//!   as, is the database's affair: the backends' crates say it in a table each. Of all of them,
//!   `I64`, `F64`, `Text` and `Bytes` come back as they are, and `bool`, `[u8; 16]` and `u64` read from
//!   what comes back instead.
//! * **Transactions** and savepoints, rolled back unless they are committed: [`AnyTransaction`].
//! * **Batches** of any number of rows: [`Batch`], on connections and transactions.
//! * **Errors** of one kind: [`AnyError::kind`].
//!
//! # Features
//!
//! `sqlite`, `postgres` and `mysql` each bring one backend, none is on by default; without any, this
//! crate compiles and can connect to nothing. The backends are here as `pool_any::sqlite`,
//! `pool_any::postgres` and `pool_any::mysql`, so that one dependency is enough. `serde` makes snapshots
//! serialize. `metrics` brings [`AnyBuilder`]`::monitor` and what the settings say of logging (`echo_pool`,
//! `log_level`), as events of `tracing`; without it those say nothing.
//!
//! # Cancel safety
//!
//! A dropped future gives its statement up, as each backend does: on SQLite it is interrupted, on
//! PostgreSQL cancelled, and on MySQL it is the connection's last. A dropped future in a transaction
//! may be the transaction's end: what follows in it then fails, and nothing of it is kept, unless it
//! was the commit that had begun.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without a backend there is nothing to do with what is given.
#![cfg_attr(
    not(any(feature = "mysql", feature = "postgres", feature = "sqlite")),
    allow(
        dead_code,
        unreachable_code,
        unused_assignments,
        unused_imports,
        unused_mut,
        unused_variables
    )
)]

#[macro_use]
mod each;

mod acquire;
mod batch;
mod builder;
mod connection;
mod error;
mod pool;
mod retry;
mod snapshot;
mod transaction;

pub use acquire::{AnyAcquire, AnyAcquireFuture};
pub use builder::AnyBuilder;
pub use connection::AnyConnection;
pub use error::{AnyError, AnyErrorKind};
pub use pool::AnyPool;
pub use pool_config::{self, Backend, Loader};
pub use pool_core::{self, AcquireError, AcquireErrorKind, CloseReport, Holder, Snapshot};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use pool_metrics as metrics;
#[cfg(feature = "mysql")]
pub use pool_mysql as mysql;
#[cfg(feature = "postgres")]
pub use pool_postgres as postgres;
pub use pool_sql::{
    self, Batch, BatchFuture, BatchReport, Dialect, Direction, Found, FromValue, Ident, Insert,
    OnConflict, OwnedValue, PlaceholderError, PlanError, Progress, Related, RelatedRows, Row,
    RowError, SelectByIds, TableName, Update, Value, ValueType, placeholders,
};
#[cfg(feature = "sqlite")]
pub use pool_sqlite as sqlite;
pub use scoped_futures::ScopedFutureExt;
pub use snapshot::{AnyCloseReport, AnySnapshot, Side};
pub use transaction::AnyTransaction;
