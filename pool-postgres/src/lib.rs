//! A PostgreSQL pool: nothing inherited, nothing hidden, no round trip to know it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;

pub use error::{PgError, PgErrorKind};
pub use pool_core;
pub use pool_sql;
pub use tokio_postgres;
