//! Ours: one connection that writes and seven that read.

use std::path::Path;
use std::sync::Arc;

use pool_bench_sqlite_load::{BUSY_TIMEOUT, Busy, CACHE_KIB, CONNECTIONS, Film};
use pool_sqlite::pool_sql::{Batch, Insert, Value};
use pool_sqlite::{SqliteError, SqlitePool};
use rusqlite::{Connection, Result};

use crate::driver::Driver;

/// Runs closures on the connection's thread.
pub(crate) const CALL: u8 = 0;
/// Runs closures in place.
pub(crate) const INLINE: u8 = 1;
/// Inserts by its trait for batches.
pub(crate) const BATCH: u8 = 2;

#[derive(Clone)]
pub(crate) struct Ours<const HOW: u8>(SqlitePool);

impl<const HOW: u8> Driver for Ours<HOW> {
    const NAME: &'static str = match HOW {
        INLINE => "ours inline",
        CALL => "ours call",
        _ => "ours",
    };

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
        or_busy(if HOW == INLINE { reader.inline(job).await } else { reader.call(job).await })
    }

    async fn write<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        let mut writer = self.0.write().await.expect("there is one");
        or_busy(if HOW == INLINE { writer.inline(job).await } else { writer.call(job).await })
    }

    async fn insert(&mut self, films: Arc<Vec<Film>>) -> Result<(), Busy> {
        let plan =
            Insert::into("film").and_then(|into| into.columns(["id", "title", "year", "seen"]));
        let plan = plan.expect("these are names");
        let rows = films.iter().map(|Film { id, title, year, seen }| {
            [Value::from(*id), Value::from(title), Value::from(*year), Value::from(*seen)]
        });
        let mut writer = self.0.write().await.expect("there is one");
        or_busy(writer.insert_many(&plan, rows, |_| ()).await.map(drop))
    }
}

fn or_busy<T>(ran: Result<T, SqliteError>) -> Result<T, Busy> {
    ran.map_err(|error| if error.is_busy() { Busy } else { panic!("{error}") })
}
