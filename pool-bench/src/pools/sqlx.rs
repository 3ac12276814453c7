//! sqlx. Its pool takes no manager, so these are connections to a SQLite database in memory, which
//! nothing is asked; the test at checkout, a statement in the database's thread, is off.

use std::time::Duration;

use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use super::{Pool, Settings};
use crate::server::Server;

#[derive(Clone)]
pub(crate) struct Sqlx(SqlitePool);

impl Pool for Sqlx {
    const NAME: &'static str = "sqlx without its test";
    type Guard = sqlx::pool::PoolConnection<sqlx::Sqlite>;

    async fn new(_: &Server, settings: Settings) -> Self {
        let options = SqlitePoolOptions::new()
            .max_connections(settings.max)
            .min_connections(settings.min)
            .acquire_timeout(settings.timeout)
            .acquire_slow_threshold(Duration::from_secs(3600))
            .test_before_acquire(false);
        Self(options.connect("sqlite::memory:").await.expect("memory is there"))
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.acquire().await.ok()
    }
}
