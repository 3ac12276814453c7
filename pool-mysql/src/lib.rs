//! A MySQL and MariaDB pool: right answers only, and alive before wait_timeout.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code)] // while it grows

mod error;

pub use error::{MySqlError, MySqlErrorKind};
pub use mysql_async;
pub use pool_core;
pub use pool_sql;
