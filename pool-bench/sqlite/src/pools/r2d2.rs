//! r2d2_sqlite: in the task, which then blocks its worker, or on a thread for such things.

use std::path::Path;

use pool_bench_sqlite_load::{Busy, CONNECTIONS};
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, Result};

use crate::driver::{Driver, or_busy, set_up};

#[derive(Clone)]
pub(crate) struct R2d2<const TEST: bool, const SPAWN: bool>(Pool<SqliteConnectionManager>);

impl<const TEST: bool, const SPAWN: bool> R2d2<TEST, SPAWN> {
    fn run<T>(&self, job: impl Fn(&mut Connection) -> Result<T>) -> Result<T, Busy> {
        let mut connection = self.0.get().expect("there is one");
        or_busy(job(&mut connection))
    }
}

impl<const TEST: bool, const SPAWN: bool> Driver for R2d2<TEST, SPAWN> {
    const NAME: &'static str = match (TEST, SPAWN) {
        (true, false) => "r2d2_sqlite",
        (false, false) => "r2d2_sqlite without its test",
        (true, true) => "r2d2_sqlite, spawn_blocking",
        (false, true) => "r2d2_sqlite without its test, spawn_blocking",
    };

    async fn open(path: &Path) -> Self {
        let manager = SqliteConnectionManager::file(path).with_init(set_up);
        let builder = Pool::builder().max_size(CONNECTIONS).test_on_check_out(TEST);
        Self(builder.build(manager).expect("the file can be opened"))
    }

    async fn read<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        if SPAWN {
            let pool = self.clone();
            tokio::task::spawn_blocking(move || pool.run(job)).await.expect("no panic")
        } else {
            self.run(job)
        }
    }
}
