//! A PostgreSQL pool: nothing inherited, nothing hidden, no round trip to know it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
