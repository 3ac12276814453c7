//! Real servers that live as long as a test: PostgreSQL, MariaDB and PgBouncer from the binaries
//! that are installed, without containers.
//!
//! Each server has a folder, a unix socket and a TCP port of its own on 127.0.0.1. It may be
//! stopped, killed, frozen and restarted, and tells how many connections it has. All of it is gone
//! when the value is dropped, and also when the process that started it ends in any way.
//!
//! ```
//! use pool_testkit::servers::Postgres;
//!
//! # fn main() {
//! // Panics with the line that installs it; with POOL_TEST_SKIP_SERVERS=1 says so and gives None.
//! let Some(server) = Postgres::builder().setting("max_connections", "20").for_test() else {
//!     return;
//! };
//! assert!(server.url().starts_with("postgres://test@127.0.0.1:"));
//! assert_eq!(server.connections().unwrap(), 0);
//! server.kill().unwrap(); // no goodbye to anybody
//! server.restart().unwrap(); // on the same port
//! # }
//! ```
//!
//! All calls block their thread, most for some milliseconds, starts and stops for some hundred. On
//! a current-thread runtime nothing else runs meanwhile; where that matters, use `spawn_blocking`:
//! servers are [`Sync`], and no thread owns them.
//!
//! The first start of a kind makes a template of its data in the temporary folder, which later
//! starts copy, also those of other processes within a day. The copies are in memory (`/dev/shm`)
//! if there is a gigabyte of room; with `TMPDIR` set they are there.

mod client;
mod error;
mod identity;
mod janitor;
mod kind;
mod mariadb;
mod pgbouncer;
mod pgwire;
mod place;
mod postgres;
mod process;
mod programs;
mod server;
mod template;
mod wait;

pub use error::{ServerError, or_skip};
pub use mariadb::{MariaDb, MariaDbBuilder};
pub use pgbouncer::{PgBouncer, PgBouncerBuilder};
pub use postgres::{Postgres, PostgresBuilder};
pub use server::Server;
