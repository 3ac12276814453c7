//! deadpool-sqlite. It tests a connection each time, and cannot be told not to.

use std::path::Path;

use deadpool_sqlite::{Config, Hook, HookError, Pool, PoolConfig, Runtime};
use pool_bench_sqlite_load::{Busy, CONNECTIONS};
use rusqlite::{Connection, Result};

use crate::driver::{Driver, or_busy, set_up};

#[derive(Clone)]
pub(crate) struct Deadpool(Pool);

impl Driver for Deadpool {
    const NAME: &'static str = "deadpool-sqlite";

    async fn open(path: &Path) -> Self {
        let mut config = Config::new(path);
        config.pool = Some(PoolConfig::new(CONNECTIONS as usize));
        let builder = config.builder(Runtime::Tokio1).expect("the settings are valid");
        let hook = Hook::async_fn(|connection, _| {
            Box::pin(async move {
                let set_up = connection.interact(set_up).await;
                let set_up = set_up.map_err(|error| HookError::message(error.to_string()))?;
                set_up.map_err(HookError::Backend)
            })
        });
        let pool = builder.post_create(hook).build().expect("the settings are valid");
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(pool.get().await.expect("the file can be opened"));
        }
        Self(pool)
    }

    async fn read<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        let connection = self.0.get().await.expect("there is one");
        or_busy(connection.interact(job).await.expect("no panic"))
    }
}
