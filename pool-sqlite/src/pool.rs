//! [`SqlitePool`]: one writer and many readers of one database.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::{
    Acquire, CloseReport, ManagedGuard, ManagedPool, PoolConfig, PoolView, Reconfigured, Snapshot,
};
use tokio::time::Instant;

use crate::builder::{Sides, SqliteBuilder, check};
use crate::error::SqliteError;
use crate::manager::SqliteManager;
use crate::worker::Worker;

/// A connection taken from a [`SqlitePool`]; dropping it gives it back.
pub type SqliteGuard = ManagedGuard<SqliteManager>;

/// A pool of connections to one SQLite database: one writer, and as many readers as are worth
/// having. Cheap to clone.
///
/// Writers queue for the one writing connection in the order in which they come, so none of them
/// meets another's lock; in WAL mode readers never wait for it. What is left of `SQLITE_BUSY` are
/// other processes, which are waited for up to the busy timeout. Where several connections make
/// no sense (`max_size` 1, a database in memory, another journal mode) reads and writes share one.
#[derive(Clone, Debug)]
pub struct SqlitePool {
    pub(crate) writer: ManagedPool<SqliteManager>,
    pub(crate) readers: Option<ManagedPool<SqliteManager>>,
    /// What both sides go by; it says which was last where several are set at once.
    pub(crate) config: Arc<Mutex<Arc<PoolConfig>>>,
}

impl SqlitePool {
    /// Opens a database by path or URL: `media.db`, `sqlite://media.db?synchronous=full`,
    /// `sqlite::memory:`. See [`SqliteBuilder::url`] for the parameters.
    ///
    /// # Errors
    /// If the URL or a parameter makes no sense, or the database cannot be opened.
    pub async fn connect(url: &str) -> Result<Self, SqliteError> {
        SqliteBuilder::url(url)?.build().await
    }

    /// Starts the settings of a pool for a database file; it is made if it does not exist.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::file(path)
    }

    /// Takes a connection that reads. Where there are no separate readers, it is the writer.
    #[track_caller]
    pub fn read(&self) -> Acquire<'_, SqliteManager> {
        self.readers.as_ref().unwrap_or(&self.writer).acquire()
    }

    /// Takes the connection that writes; it reads too. Keep it for no longer than the write takes:
    /// there is one.
    #[track_caller]
    pub fn write(&self) -> Acquire<'_, SqliteManager> {
        self.writer.acquire()
    }

    /// The engine's pool behind [`write`](Self::write), for everything it can do besides. What its
    /// own `reconfigure` and `resize` change, [`config`](Self::config) does not know, and the next
    /// [`reconfigure`](Self::reconfigure) of this pool undoes.
    pub fn writer(&self) -> &ManagedPool<SqliteManager> {
        &self.writer
    }

    /// The engine's pool behind [`read`](Self::read): the writer's, where there is no other. Its own
    /// `reconfigure` and `resize` pass [`config`](Self::config) by, as those of the
    /// [`writer`](Self::writer) do.
    pub fn readers(&self) -> &ManagedPool<SqliteManager> {
        self.readers.as_ref().unwrap_or(&self.writer)
    }

    /// Both sides as others look at them, without holding the pool open: the writer's first.
    pub fn views(&self) -> Vec<PoolView> {
        [&self.writer].into_iter().chain(&self.readers).map(ManagedPool::view).collect()
    }

    /// Both sides at this moment.
    pub fn snapshot(&self) -> SqliteSnapshot {
        SqliteSnapshot {
            write: self.writer.snapshot(),
            read: self.readers.as_ref().map(ManagedPool::snapshot),
            wal_bytes: self.writer.manager().shared.wal_size(),
        }
    }

    /// How hard the pool is pressed, 0 to 1: the harder pressed of its two sides. See
    /// [`Snapshot::pressure`].
    pub fn pressure(&self) -> f64 {
        let read = self.readers.as_ref().map_or(0.0, ManagedPool::pressure);
        self.writer.pressure().max(read)
    }

    /// The settings by which the pool goes now, `max_size` being that of both sides together: those
    /// it was built with, and what [`reconfigure`](Self::reconfigure) has changed since.
    ///
    /// The one connection that reads and writes stays, so where there is no other its sizes and its
    /// `idle_timeout` are what the pool was built with, and of no matter.
    pub fn config(&self) -> Arc<PoolConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by other settings from now on, as [`ManagedPool::reconfigure`] has it: of one writer and
    /// `max_size` less one readers, as [`SqliteBuilder::max_size`] takes it. From one connection for
    /// everything to several, or back, needs a restart: the sizes stay, the rest holds. What is of no
    /// matter to a pool like this stays as it is too, and is not reported: the sizes and the
    /// `idle_timeout` of a single connection.
    ///
    /// Of several at once each changes what the one before has left, and the last holds.
    ///
    /// The page cache is divided anew for readers that open later; those that are open keep theirs.
    ///
    /// # Errors
    /// If settings make no sense, for a database like this; then nothing is changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pool_sqlite::SqliteError> {
    /// # use pool_core::PoolConfig;
    /// # use pool_sqlite::SqliteBuilder;
    /// let pool = SqliteBuilder::in_shared_memory().max_size(4).build().await?;
    /// let done = pool.reconfigure(&PoolConfig::clone(&pool.config()).max_size(9))?;
    /// assert_eq!(done.to_string(), "changed max_size");
    /// assert_eq!(pool.readers().snapshot().max_size, 8);
    ///
    /// let done = pool.reconfigure(&PoolConfig::clone(&pool.config()).max_size(1))?;
    /// assert_eq!(done.to_string(), "changed nothing; needs a restart: max_size");
    /// # Ok(()) }
    /// ```
    pub fn reconfigure(&self, new: &PoolConfig) -> Result<Reconfigured, SqliteError> {
        check(new, &self.writer.manager().shared.options)?;
        let (mut latest, done) = {
            let mut present = self.config.lock().unwrap_or_else(PoisonError::into_inner);
            let (next, done) = self.next(&present, new)?;
            *present = Arc::new(next);
            (present.clone(), done)
        };
        self.apply(&latest)?;
        // Where others came meanwhile, both sides end with the same ones.
        while !Arc::ptr_eq(&latest, &self.config()) {
            latest = self.config();
            self.apply(&latest)?;
        }
        Ok(done)
    }

    /// The settings that come after the present ones, where others are wanted, and what is said of
    /// that. They are valid for each side.
    fn next(
        &self,
        present: &PoolConfig,
        wanted: &PoolConfig,
    ) -> Result<(PoolConfig, Reconfigured), SqliteError> {
        let options = &self.writer.manager().shared.options;
        let restart = Sides::new(wanted, options).read.is_some() != self.readers.is_some();
        let is_alone = self.readers.is_none() && !options.is_read_only();
        let mut possible = wanted.clone();
        if restart || is_alone {
            possible = sizes_of(&possible, present);
        }
        if is_alone {
            possible = possible.idle_timeout(present.idle_timeout);
        }
        let (next, mut done) = Reconfigured::between(present, possible);
        if restart {
            done.needs_restart = next.differing(wanted); // what is of no matter here is then, too
        }
        let sides = Sides::new(&next, options);
        sides.write.validate()?;
        sides.read.map_or(Ok(()), |read| read.validate())?;
        Ok((next, done))
    }

    /// Hands each side its share of settings that are valid and need no restart.
    fn apply(&self, config: &PoolConfig) -> Result<(), SqliteError> {
        let shared = &self.writer.manager().shared;
        let sides = Sides::new(config, &shared.options);
        shared.cache_kib.store(sides.cache_kib(&shared.options), Ordering::Relaxed);
        self.writer.reconfigure(&sides.write)?;
        if let (Some(readers), Some(read)) = (&self.readers, &sides.read) {
            readers.reconfigure(read)?;
        }
        Ok(())
    }

    /// Copies the database, as it is at one moment, into a new file. Readers go on; writers wait.
    ///
    /// # Errors
    /// If the file is there already or cannot be written.
    ///
    /// # Cancel safety
    /// Dropping the future ends the copying. Whether or not it succeeds, nothing half-copied is
    /// left behind.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), SqliteError> {
        // From the writer: a write by another connection would make the copy start over.
        let mut writer = self.write().operation("backup").await?;
        writer.back_up(to.into()).await
    }

    /// Closes the pool, see [`ManagedPool::close`]; when both sides are closed in time, the
    /// write-ahead log is folded into the database and removed.
    pub fn close(
        &self,
        within: Duration,
    ) -> impl Future<Output = SqliteCloseReport> + Send + use<> {
        let begun = Instant::now();
        let shared = self.writer.manager().shared.clone();
        let reading = self.readers.as_ref().map(|readers| readers.close(within));
        let writing = self.writer.close(within);
        async move {
            let fold = reading.is_some();
            let read = match reading {
                Some(reading) => Some(reading.await),
                None => None,
            };
            let report = SqliteCloseReport { write: writing.await, read };
            if fold
                && report.is_complete()
                && let Ok(worker) = Worker::spawn("sqlite-close")
            {
                // With a reader as the last to close, the log is still there.
                let folded = worker.run(move || shared.fold());
                let left = within.saturating_sub(begun.elapsed());
                let _ = tokio::time::timeout(left, folded).await;
            }
            report
        }
    }
}

/// The same settings with the sizes of others.
fn sizes_of(config: &PoolConfig, other: &PoolConfig) -> PoolConfig {
    let config = config.clone().max_size(other.max_size).min_size(other.min_size);
    config.min_idle(other.min_idle).max_idle(other.max_idle)
}

/// A [`SqlitePool`] at one moment.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SqliteSnapshot {
    /// The side that writes.
    pub write: Snapshot,
    /// The side that reads, where it is another.
    pub read: Option<Snapshot>,
    /// The size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
}

/// How the closing of a [`SqlitePool`] went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteCloseReport {
    /// The side that writes.
    pub write: CloseReport,
    /// The side that reads, where it is another.
    pub read: Option<CloseReport>,
}

impl SqliteCloseReport {
    /// Whether everything was closed in time.
    pub fn is_complete(&self) -> bool {
        self.write.is_complete() && self.read.as_ref().is_none_or(CloseReport::is_complete)
    }
}
