//! The conformance suite on SQLite connections to a real file, on a real clock.

use pool_core::BoxError;
use pool_sqlite::{SqliteConnection, SqliteManager, rusqlite};
use pool_testkit::conformance::Harness;

use crate::Place;

struct Sqlite(Place);

impl Harness for Sqlite {
    type Manager = SqliteManager;

    async fn new() -> Self {
        let place = Place::new();
        drop(place.pool().await.close(std::time::Duration::from_secs(10)).await); // makes the file
        Self(place)
    }

    fn manager(&self) -> SqliteManager {
        self.0.builder().manager().unwrap()
    }

    async fn query(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        let run = |c: &mut rusqlite::Connection| c.query_row("SELECT 1", [], |_| Ok(()));
        connection.call(run).await.map_err(Into::into)
    }

    async fn open_connections(&self) -> usize {
        let file = self.0.file("test.db");
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| *link == file).count()
    }

    async fn begin(&self, connection: &mut SqliteConnection) {
        connection.call(|c| c.execute_batch("BEGIN")).await.unwrap();
    }

    async fn in_transaction(&self, connection: &mut SqliteConnection) -> bool {
        connection.call(|c| Ok::<_, rusqlite::Error>(!c.is_autocommit())).await.unwrap()
    }

    async fn leave_state(&self, connection: &mut SqliteConnection) {
        connection.call(|c| c.execute_batch("CREATE TEMP TABLE left_behind (x)")).await.unwrap();
    }

    async fn has_state(&self, connection: &mut SqliteConnection) -> bool {
        let sql = "SELECT count(*) FROM sqlite_temp_schema WHERE name = 'left_behind'";
        let count = connection.call(move |c| c.query_row(sql, [], |row| row.get::<_, i64>(0)));
        count.await.unwrap() > 0
    }
}

pool_testkit::conformance!(
    Sqlite,
    without(break_connection = "a file has no peer that could cut a connection")
);
