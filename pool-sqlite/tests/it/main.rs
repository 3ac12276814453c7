//! SQLite for real: files in a temporary folder, threads, cancellation. Every test ends by a hard
//! deadline; none depends on how fast the machine is.

mod alone;
mod batches;
mod cancelling;
mod closing;
mod conformance;
mod inheritance;
mod observing;
mod opening;
mod reconfiguring;
mod sharing;
mod transactions;
mod values;

use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::Duration;

use pool_sqlite::{SqliteBuilder, SqliteGuard, SqlitePool};

/// A folder of its own for a test, gone at its end, and the database in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn builder(&self) -> SqliteBuilder {
        SqlitePool::builder(self.file("test.db")).max_size(4)
    }

    async fn pool(&self) -> SqlitePool {
        self.builder().build().await.unwrap()
    }
}

/// A hang is a failure.
async fn soon<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("hangs")
}

async fn run(guard: &mut SqliteGuard, sql: &'static str) {
    guard.call(move |c| c.execute_batch(sql)).await.unwrap();
}

async fn number(guard: &mut SqliteGuard, sql: &'static str) -> i64 {
    guard.call(move |c| c.query_row(sql, [], |row| row.get(0))).await.unwrap()
}

/// Never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
