//! What the SQL pool backends share: values, names, batch plans and the seams around them. No driver in it.
//!
//! A backend crate (SQLite, PostgreSQL, MySQL) implements [`Batch`] for its connection: it asks a
//! plan for its SQL text, binds [`Value`]s and runs it. What can be decided without a server is
//! decided here, once: quoting, conflict clauses, chunk sizes, the order of the rows that come back.
//!
//! # Rooms
//!
//! | module      | what it holds |
//! |-------------|---------------|
//! | [`value`]   | [`Value`] (borrowed) and [`OwnedValue`]: what is bound and what comes back |
//! | [`row`]     | [`Row`]: typed access by column name, errors that name the column |
//! | [`ident`]   | [`Dialect`], [`Ident`], [`TableName`]: names parsed once and quoted per database |
//! | [`plan`]    | [`Insert`], [`Update`], [`SelectByIds`], [`Related`]: batch statements as text |
//! | [`chunk`]   | how many rows one statement takes, and the row counts a statement cache sees |
//! | [`batch`]   | the [`Batch`] trait, progress and reports |
//! | [`Queries`] | the trait for statements with values |
//! | [`placeholders`] | `$1` for all databases, as each of them has it |
//! | [`wanted`]  | the rows of a request put in its order or grouped by parent: [`Found`], [`RelatedRows`] |
//! | [`ServerUrl`] | the parts of a URL that names a server; [`Secret`], [`nearest`] |
//! | [`Retry`] | how often a transaction that conflicted is run again |
//! | [`observe`] | [`StatementObserver`]: the seam for tracing and metrics; [`Watch`], [`TransactionWatch`] |
//!
//! # Example
//!
//! ```
//! use pool_sql::{Dialect, Insert, OnConflict};
//!
//! let plan = Insert::into("files")?
//!     .columns(["path", "size"])?
//!     .on_conflict(OnConflict::update(["path"])?)?;
//!
//! assert_eq!(
//!     plan.sql(Dialect::Postgres, 2)?,
//!     r#"INSERT INTO "files" ("path", "size") VALUES ($1, $2), ($3, $4) "#.to_owned()
//!         + r#"ON CONFLICT ("path") DO UPDATE SET "size" = excluded."size""#,
//! );
//! # Ok::<(), pool_sql::PlanError>(())
//! ```
//!
//! Two rules hold throughout. SQL text is never built from values: names are quoted, values are
//! bound. And values never reach a log: `Debug` of a value or a row shows types and lengths only,
//! and no error of this crate quotes one.
#![forbid(unsafe_code)]

pub mod batch;
pub mod chunk;
pub mod ident;
mod nearest;
pub mod observe;
pub mod placeholders;
pub mod plan;
mod queries;
mod retry;
pub mod row;
mod secret;
mod server_url;
mod transactions;
pub mod value;
pub mod wanted;
mod watch;

pub use batch::{Batch, BatchFuture, BatchReport, Progress};
pub use chunk::{Chunker, split_tail};
pub use ident::{Dialect, Ident, TableName};
pub use nearest::nearest;
pub use observe::{ErrorCode, Observers, Outcome, Statement, StatementObserver};
pub use placeholders::PlaceholderError;
pub use plan::{Direction, Insert, OnConflict, PlanError, Related, SelectByIds, Update};
pub use queries::Queries;
pub use retry::Retry;
pub use row::{FromValue, Row, RowError};
pub use secret::Secret;
pub use server_url::ServerUrl;
pub use transactions::{TransactionEnd, TransactionEnded, TransactionWatch};
pub use value::{OwnedValue, Typed, Value, ValueType};
pub use wanted::{Found, RelatedRows, Wanted};
pub use watch::Watch;
