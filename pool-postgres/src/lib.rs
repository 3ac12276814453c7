//! A PostgreSQL pool: nothing inherited, nothing hidden, no round trip to know it.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pool_postgres::PgPool;
//!
//! let url = "postgres://app:secret@db.example.org/media?sslmode=verify-full";
//! let pool = PgPool::builder(url)?.max_size(20).build().await?;
//!
//! let mut connection = pool.acquire().operation("add a film").await?;
//! let film = connection
//!     .query_one("INSERT INTO film (title) VALUES ($1) RETURNING id", &[&"Alien"])
//!     .await?;
//!
//! let tx = connection.transaction().await?;
//! tx.execute("INSERT INTO seen (film) VALUES ($1)", &[&film.get::<_, i64>(0)]).await?;
//! tx.commit().await?; // dropped instead, it is rolled back at once
//! drop(connection); // back in the pool
//!
//! pool.close(std::time::Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! What the engine promises (order, deadlines, cancellation, diagnosis) is in [`pool_core`]. What
//! PostgreSQL adds:
//!
//! * **The wire is followed.** Whether a connection is in a transaction, runs something that nobody
//!   waits for, or had its session changed is read off the protocol as it goes by. A clean connection
//!   is handed on at once, without a round trip; any other is cleared first, in the background. See
//!   [`ResetLevel`] for what that means and what can remain.
//! * **Cancellation.** A dropped future gives its statement up: it is ended by a cancel request, and
//!   no innocent statement is hit by one. See [`PgConnection`].
//! * **Statements** are prepared once per connection, kept in a bounded cache, and prepared anew when
//!   the server has forgotten them or their table has changed.
//! * **Connecting** as libpq does: several hosts, roles, unix sockets, all six sslmodes, channel
//!   binding; credentials asked for at each connect. See [`url`] and [`PgOptions`].
//! * **Poolers** in between (PgBouncer, Supavisor, PgCat) have a [`Profile`] of their own, and a wrong
//!   one is said.
//! * **The server's limits** are read at connect: a pool that does not fit is told so, with the
//!   arithmetic ([`PgPool::shortage`]); a connection is not kept idle for longer than the server
//!   lets it be.
//! * **Notifications** come to a [`PgListener`], beside the pool and across restarts.
//! * **Statements with values**: see [`pool_sql::Queries`], and **batches**: see [`pool_sql::Batch`].
//!   [`PgConnection`] and [`PgTransaction`] implement both.
//!
//! # Values
//!
//! A value goes into a column or a parameter of the type that the server has there, if nothing is
//! lost by it:
//!
//! | value | goes into | comes back as |
//! |---|---|---|
//! | `Bool` | `bool` | the same |
//! | `I64`, `U64` | `int2`, `int4`, `int8`, `oid`, `numeric`; `float4` and `float8` if exact | `I64` |
//! | `F64` | `float8`, `float4` (rounded), `numeric` | `F64` |
//! | `Decimal` | `numeric` | the same, with its digits |
//! | `Text` | text of all kinds, enums, `xml`, `uuid`, `json`, `jsonb` | `Text` |
//! | `Bytes` | `bytea`; 16 of them `uuid` | the same |
//! | `Uuid` | `uuid` | the same |
//! | `Timestamp` | `timestamptz`, and `timestamp` as UTC; the first and the last are infinite | the same |
//! | `Date`, `Time` | `date`, `time` | the same |
//! | `Json` | `json`, `jsonb` | the same |
//!
//! A parameter whose type the server cannot tell from the statement it takes for text: `SELECT $1`
//! takes no number, `SELECT $1::int8` does. A column of another type (arrays, intervals, networks) is
//! an error that says so; cast it to text.
//!
//! Behind a pooler ([`Profile::Pooler`]) a statement with values takes one round trip and is not
//! prepared: the types of its parameters are not known here. So values other than `Bool`, `Bytes` and
//! `Uuid` go as text, which the server reads as the type that it has there. What is refused elsewhere
//! may then be taken, if it reads as such: `Text("7")` as a number, `I64` as text, a `Timestamp` as a
//! `date`. Bytes go into `bytea` only. A column of a type that is not built in (an enum) costs a
//! round trip more, and with very many rows it hangs: cast it to text. Batches are prepared there too.
//!
//! Rows, parameters and types are [`tokio_postgres`]' own; its features (`with-uuid-1`,
//! `with-chrono-0_4`, ..) add types. It logs parameters at level `debug`, by the `log` crate.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod builder;
mod cache;
mod common;
mod connection;
mod copy;
mod driver;
mod error;
mod front;
mod infer;
mod listener;
mod manager;
mod options;
mod pool;
mod returning;
mod rows;
mod server;
mod session;
mod statements;
mod text;
mod tls;
mod transaction;
mod transport;
pub mod url;
mod values;
mod watch;
mod wire;

pub use builder::PgBuilder;
pub use common::{Profile, ResetLevel};
pub use connection::{PgCancelToken, PgConnection};
pub use copy::{PgCopyIn, PgCopyOut};
pub use error::{PgError, PgErrorKind};
pub use listener::{Heard, PgListener};
pub use manager::{PgCredentials, PgManager};
pub use options::{
    ChannelBinding, PgHost, PgOptions, RootCert, SslMode, SslNegotiation, TargetSessionAttrs,
};
pub use pool::{PgGuard, PgPool};
pub use pool_core;
pub use pool_sql;
pub use rows::PgRowStream;
pub use scoped_futures::ScopedFutureExt;
pub use server::{PgServer, PgShortage};
pub use statements::{PgStatement, Query};
pub use tokio_postgres;
pub use transaction::{PgPortal, PgTransaction, PgTransactionBuilder};
