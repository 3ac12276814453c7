//! Ours: one connection that writes and seven that read.

use std::path::Path;
use std::sync::Arc;

use pool_bench_sqlite_load::{BUSY_TIMEOUT, Busy, CACHE_KIB, CONNECTIONS, Film, Pool};
use pool_sqlite::pool_sql::{Batch, Insert, Value};
use pool_sqlite::{SqliteError, SqlitePool};
use rusqlite::{Connection, Result};

use crate::driver::{Driver, Over};

/// Runs closures in place or on the connection's thread.
#[derive(Clone)]
pub(crate) struct Ours<const INLINE: bool>(SqlitePool);

impl<const INLINE: bool> Driver for Ours<INLINE> {
    const NAME: &'static str = if INLINE { "ours inline" } else { "ours call" };

    async fn open(path: &Path) -> Self {
        let builder = SqlitePool::builder(path)
            .max_size(CONNECTIONS)
            .config(|config| config.min_size(CONNECTIONS))
            .options(|options| options.busy_timeout = BUSY_TIMEOUT)
            // Ours is set for all connections together, and the writer's is larger.
            .set_up(|connection| {
                connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))
            });
        let pool = builder.build().await.expect("the file can be opened");
        pool.readers().ready().await.expect("the file can be opened");
        Self(pool)
    }

    async fn read<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        let mut reader = self.0.read().await.expect("there is one");
        or_busy(if INLINE { reader.inline(job).await } else { reader.call(job).await })
    }

    async fn write<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        let mut writer = self.0.write().await.expect("there is one");
        or_busy(if INLINE { writer.inline(job).await } else { writer.call(job).await })
    }
}

fn or_busy<T>(ran: Result<T, SqliteError>) -> Result<T, Busy> {
    ran.map_err(|error| if error.is_busy() { Busy } else { panic!("{error}") })
}

/// Inserts by its trait for batches.
#[derive(Clone)]
pub(crate) struct OursBatch(Over<Ours<false>>);

impl Pool for OursBatch {
    const NAME: &'static str = "ours";

    async fn open(path: &Path) -> Self {
        Self(Over::open(path).await)
    }
    async fn prepare(&mut self, statements: &'static str) {
        self.0.prepare(statements).await;
    }
    async fn select(&mut self, id: i64) -> i64 {
        self.0.select(id).await
    }
    async fn update(&mut self, id: i64) -> Result<(), Busy> {
        self.0.update(id).await
    }
    async fn insert(&mut self, films: Arc<Vec<Film>>) {
        let plan =
            Insert::into("film").and_then(|into| into.columns(["id", "title", "year", "seen"]));
        let plan = plan.expect("these are names");
        let rows = films.iter().map(|Film { id, title, year, seen }| {
            [Value::from(*id), Value::from(title), Value::from(*year), Value::from(*seen)]
        });
        let Over(Ours(pool)) = &self.0;
        let mut writer = pool.write().await.expect("there is one");
        writer.insert_many(&plan, rows, |_| ()).await.expect("nobody else is there");
    }
    async fn scan(&mut self) -> i64 {
        self.0.scan().await
    }
}
