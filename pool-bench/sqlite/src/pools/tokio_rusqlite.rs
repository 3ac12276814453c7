//! tokio-rusqlite: no pool, but one connection on a thread of its own, for all tasks.

use std::path::Path;

use pool_bench_sqlite_load::Busy;
use rusqlite::{Connection, Result};
use tokio_rusqlite::Error;

use crate::driver::{Driver, or_busy, set_up};

#[derive(Clone)]
pub(crate) struct TokioRusqlite(tokio_rusqlite::Connection);

impl Driver for TokioRusqlite {
    const NAME: &'static str = "tokio-rusqlite";

    async fn open(path: &Path) -> Self {
        let connection = tokio_rusqlite::Connection::open(path).await;
        let connection = connection.expect("the file can be opened");
        connection.call(set_up).await.expect("the settings are valid");
        Self(connection)
    }

    async fn read<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        or_busy(self.0.call(job).await.map_err(|error| match error {
            Error::Error(error) => error,
            other => panic!("{other}"),
        }))
    }
}
