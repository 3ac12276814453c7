//! A MySQL and MariaDB pool: right answers only, and alive before `wait_timeout`.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pool_mysql::MySqlPool;
//!
//! let url = "mysql://app:secret@db.example.org/media?ssl-mode=verify-identity";
//! let pool = MySqlPool::builder(url)?.max_size(20).build().await?;
//!
//! let mut connection = pool.acquire().operation("add a film").await?;
//! connection.exec_drop("INSERT INTO film (title) VALUES (?)", ("Alien",)).await?;
//! let film = connection.last_insert_id();
//!
//! let mut tx = connection.transaction().await?;
//! tx.exec_drop("INSERT INTO seen (film) VALUES (?)", (film,)).await?;
//! tx.commit().await?; // dropped instead, it is rolled back
//! drop(connection); // back in the pool
//!
//! pool.close(std::time::Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! What the engine promises (order, deadlines, cancellation, diagnosis) is in [`pool_core`]. What
//! MySQL adds:
//!
//! * **Right answers only.** After a dropped future this protocol gives the old answer to the next
//!   question, and nothing shows it, not even a ping. Such a connection is latched: it takes no
//!   further call, and it is closed when it comes back. What still runs on it is ended by `KILL`. See
//!   [`MySqlConnection`].
//! * **Alive before `wait_timeout`.** It is read at connect, and no connection is kept idle for as
//!   long; a setting that would is corrected, with the arithmetic
//!   ([`MySqlBuilder::on_warning`], [`MySqlPool::warnings`]).
//! * **Returned clean**, mostly without a round trip: the last answer tells whether a transaction is
//!   open, the text of what went by whether the session was changed. See [`ResetLevel`].
//! * **Transactions** that end behind their user's back, by a deadlock or a `CREATE TABLE`, refuse
//!   what comes next, instead of committing it piece by piece. See [`MySqlTransaction`].
//! * **Statements** are prepared once per connection and kept, within what the server keeps for all.
//! * **Connecting** by TCP or unix socket, with five ssl modes; credentials asked for at each
//!   connect; set-up statements in the order written. See [`url`] and [`MySqlOptions`].
//! * **Statements with values**: see [`pool_sql::Queries`], which [`MySqlConnection`] and
//!   [`MySqlTransaction`] implement.
//! * **Batches**: see [`pool_sql::Batch`], which both implement too. All or nothing, in chunks of fixed
//!   sizes, in bulk on MariaDB; an error says which row it was ([`MySqlError::rows`]).
//!
//! ```no_run
//! # async fn f(conn: &mut pool_mysql::MySqlConnection) -> Result<(), pool_mysql::MySqlError> {
//! use pool_mysql::pool_sql::{Batch, Insert, OnConflict, SelectByIds, Update, Value};
//!
//! let films = [(1_u64, "Alien"), (2, "Aliens")];
//! let rows = films.map(|(id, title)| [Value::from(id), Value::from(title)]);
//! let insert = Insert::into("film")?.columns(["id", "title"])?;
//! let insert = insert.on_conflict(OnConflict::update(["id"])?)?;
//! let report = conn.insert_many(&insert, rows, |so_far| println!("{}", so_far.rows_done)).await?;
//! assert_eq!(report.rows, 2);
//!
//! let update = Update::table("film")?.key("id")?.columns(["title"])?;
//! let mut tx = conn.transaction().await?;
//! tx.update_many(&update, rows, |_| ()).await?; // a savepoint of its own
//! tx.commit().await?;
//!
//! let select = SelectByIds::from("film")?.id_column("id")?.columns(["title"])?;
//! let found = conn.select_by_ids(&select, &films.map(|(id, _)| Value::from(id))).await?;
//! println!("{} found, {} missing", found.rows.len(), found.missing.len());
//! # Ok(()) }
//! ```
//!
//! # Values
//!
//! | value | goes into | comes back from |
//! |---|---|---|
//! | `Bool` | `BOOL` (`TINYINT`), `BIT` | `I64`, of `BIT` `U64`: both read as `bool` |
//! | `I64`, `U64` | integers, `BIT` | `I64`; `U64` of `BIGINT UNSIGNED` and `BIT` |
//! | `F64` | `DOUBLE`, `FLOAT`; not NaN or infinity, which no column stores | `F64` |
//! | `Text`, `Bytes`, `Decimal` | text, `BINARY` and `BLOB`, `DECIMAL` | the same |
//! | `Json` | `JSON` | `Json`; of MariaDB, where `JSON` is text, `Text` |
//! | `Uuid` | `BINARY(16)`, as its 16 bytes | `Bytes`, which read as `[u8; 16]` |
//! | `Timestamp` | `DATETIME`, as UTC | `Timestamp` |
//! | `Date`, `Time` | `DATE`, `TIME`; MySQL's ends at 838:59:59, MariaDB's within that second | the same |
//!
//! A `TIMESTAMP` column is converted by the server from the session's time zone: set
//! [`time_zone`](MySqlOptions::time_zone) to `+00:00`, or moments that a change of clocks skips
//! or repeats are stored as others. A column of type `DATETIME` keeps whole seconds, `DATETIME(6)`
//! microseconds. What does not fit a column is an error in the strict `sql_mode`, which is the
//! servers' default; in another the server changes it silently, as everywhere.
//!
//! A statement's parameters are `?`, and values go by the types of the binary protocol. To MySQL (not
//! to MariaDB) an `F64` goes as text: a statement that is prepared once keeps the types of its first
//! values there, and a decimal that comes later would be rounded to a double. So `SELECT ?` gives
//! text back for it. What the server does not prepare goes without values, by `query_drop`.
//!
//! Rows, parameters and values are [`mysql_async`]'s own; its features (`chrono`, `rust_decimal`, ..)
//! add types.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod builder;
mod cache;
mod call;
mod common;
mod connection;
mod error;
mod front;
mod link;
mod manager;
mod options;
mod pool;
mod returning;
mod rows;
mod server;
mod statements;
mod text;
mod tls;
mod transaction;
pub mod url;
mod values;

pub use builder::MySqlBuilder;
pub use common::ResetLevel;
pub use connection::MySqlConnection;
pub use error::{MySqlError, MySqlErrorKind};
pub use manager::{MySqlCredentials, MySqlManager};
pub use mysql_async;
pub use options::{MySqlOptions, RootCert, SslMode};
pub use pool::{MySqlGuard, MySqlPool};
pub use pool_core;
pub use pool_sql;
pub use rows::MySqlRows;
pub use scoped_futures::ScopedFutureExt;
pub use server::{MySqlServer, MySqlWarning};
pub use statements::MySqlStatement;
pub use transaction::{MySqlTransaction, MySqlTransactionBuilder};
