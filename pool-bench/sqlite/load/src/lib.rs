//! What is asked of every SQLite pool, and how it is measured. The pools are in two programs, since
//! their drivers do not fit into one; both speak the protocol of [`serve`].

mod batch;
mod film;
mod mixed;
mod point;
mod serve;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use batch::{INSERT, SCAN};
pub use film::{Film, ROWS, sql};
pub use mixed::MIXED;
pub use point::{ONE, TASKS};
pub use serve::{Entry, enter, serve, version_in};

/// Connections of a pool: ours has one that writes among them.
pub const CONNECTIONS: u32 = 8;
/// Of each connection, in KiB: the whole table fits.
pub const CACHE_KIB: u32 = 16_384;
/// How long a statement waits for another's lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A figure, and what it is.
pub struct Figure {
    metric: &'static str,
    unit: &'static str,
    value: f64,
}

fn figure(metric: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { metric, unit, value }
}

/// Somebody else's lock lasted longer than the busy timeout.
#[derive(Debug)]
pub struct Busy;

/// A pool, and how its statements are run. Each task has a clone. Whatever fails otherwise than by
/// a lock ends the program.
pub trait Pool: Clone + Send + 'static {
    /// Begins with the package's name.
    const NAME: &'static str;

    /// Opens all connections.
    fn open(path: &Path) -> impl Future<Output = Self> + Send;
    /// Runs a statement that sets the stage.
    fn prepare(&mut self, statements: &'static str) -> impl Future<Output = ()> + Send;
    /// Runs [`sql::SELECT`].
    fn select(&mut self, id: i64) -> impl Future<Output = i64> + Send;
    /// Runs [`sql::UPDATE`], in a transaction of its own.
    fn update(&mut self, id: i64) -> impl Future<Output = Result<(), Busy>> + Send;
    /// Inserts all, or nothing.
    fn insert(&mut self, films: Arc<Vec<Film>>) -> impl Future<Output = ()> + Send;
    /// Runs [`sql::SCAN`] and sums up the years and the lengths of the titles.
    fn scan(&mut self) -> impl Future<Output = i64> + Send;
}

/// A pool over a database in a folder that goes with it.
struct Stage<P> {
    pool: P,
    _folder: TempDir,
}

impl<P: Pool> Stage<P> {
    async fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut pool = P::open(&folder.path().join("films.db")).await;
        pool.prepare(sql::SCHEMA).await;
        Self { pool, _folder: folder }
    }

    async fn full() -> Self {
        let mut stage = Self::empty().await;
        stage.pool.prepare(sql::FILL).await;
        stage.pool.prepare(sql::CHECKPOINT).await;
        stage
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be made")
}

fn any_id() -> i64 {
    fastrand::i64(1..=ROWS)
}

/// Thousands of these in a second.
fn k_per_s(count: u64, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64() / 1000.0
}
