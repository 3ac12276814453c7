//! The conformance suite on SQLite connections: files, threads and the real clock.

use std::fs;
use std::panic::panic_any;

use pool_sqlite::pool_core::BoxError;
use pool_sqlite::rusqlite::{self, Connection};
use pool_sqlite::{SqliteConnection, SqliteManager};
use pool_testkit::conformance::Harness;

use crate::Place;

struct Sqlite(Place);

impl Harness for Sqlite {
    type Manager = SqliteManager;

    async fn new() -> Self {
        Self(Place::new())
    }

    fn manager(&self) -> SqliteManager {
        self.0.builder().manager().unwrap()
    }

    async fn query(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        connection.call(look).await.map_err(Into::into)
    }

    async fn break_connection(&self, connection: &mut SqliteConnection) {
        connection.call(end_the_thread).await.unwrap_err();
    }

    async fn open_connections(&self) -> usize {
        open_logs(&self.0)
    }

    async fn begin(&self, connection: &mut SqliteConnection) {
        connection.call(|c| c.execute_batch("BEGIN IMMEDIATE")).await.unwrap();
    }

    async fn in_transaction(&self, connection: &mut SqliteConnection) -> bool {
        connection.inline(|c| Ok(!c.is_autocommit())).await.unwrap()
    }

    async fn leave_state(&self, connection: &mut SqliteConnection) {
        connection.call(|c| c.execute_batch("CREATE TEMP TABLE left_behind (x)")).await.unwrap();
    }

    async fn has_state(&self, connection: &mut SqliteConnection) -> bool {
        let tables = "SELECT count(*) > 0 FROM sqlite_temp_schema";
        connection.call(|c| c.query_row(tables, [], |row| row.get(0))).await.unwrap()
    }
}

fn look(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// A panic in a closure is caught on the connection's thread. What it is a panic with is dropped
/// there, and takes the thread along if it panics in its turn.
fn end_the_thread(_: &mut Connection) -> rusqlite::Result<()> {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("and again");
        }
    }
    panic_any(Again)
}

/// How many connections of this process have the database open. SQLite may keep a database file
/// open for the next connection when one is closed, but never the log.
fn open_logs(place: &Place) -> usize {
    let log = place.file("test.db-wal");
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|file| fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|to| to == log))
        .count()
}

#[cfg(target_os = "linux")]
pool_testkit::conformance!(Sqlite);
#[cfg(not(target_os = "linux"))]
pool_testkit::conformance!(Sqlite, without(open_connections = "no /proc to count open files in"));
