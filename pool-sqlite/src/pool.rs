//! [`SqlitePool`]: one writer and many readers of one database.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pool_core::{Acquire, CloseReport, ManagedGuard, ManagedPool, Snapshot};
use tokio::time::Instant;

use crate::builder::SqliteBuilder;
use crate::error::{SqliteError, SqliteErrorKind};
use crate::manager::SqliteManager;

/// A connection taken from a [`SqlitePool`]; dropping it gives it back.
pub type SqliteGuard = ManagedGuard<SqliteManager>;

/// A pool of connections to one SQLite database: one writer, and as many readers as are worth
/// having. Cheap to clone.
///
/// Writers queue for the one writing connection in the order in which they come, so none of them
/// ever meets `SQLITE_BUSY`; in WAL mode readers never wait for it. Where several connections make
/// no sense (`max_size` 1, a database in memory, another journal mode) reads and writes share one.
#[derive(Clone, Debug)]
pub struct SqlitePool {
    pub(crate) writer: ManagedPool<SqliteManager>,
    pub(crate) readers: Option<ManagedPool<SqliteManager>>,
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

    /// The engine's pool behind [`write`](Self::write), for everything it can do besides.
    pub fn writer(&self) -> &ManagedPool<SqliteManager> {
        &self.writer
    }

    /// The engine's pool behind [`read`](Self::read): the writer's, where there is no other.
    pub fn readers(&self) -> &ManagedPool<SqliteManager> {
        self.readers.as_ref().unwrap_or(&self.writer)
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

    /// Copies the database, as it is at one moment, into a new file. Readers go on; writers wait.
    ///
    /// # Errors
    /// If the file is there already or cannot be written. Nothing half-copied is left behind.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), SqliteError> {
        let to: PathBuf = to.into();
        if to.exists() {
            let text = format!("{} exists already; name a new file", to.display());
            return Err(SqliteError::text(SqliteErrorKind::CannotOpen, text));
        }
        let mut part = to.clone().into_os_string();
        part.push(".part");
        let part = Partial(PathBuf::from(part));
        // From the writer: a write by another connection would make the copy start over.
        let mut writer = self.write().operation("backup").await?;
        let file = part.0.clone();
        writer
            .call(move |c| c.backup("main", &file, None::<fn(rusqlite::backup::Progress)>))
            .await?;
        std::fs::rename(&part.0, &to)
            .map_err(|error| SqliteError::new(SqliteErrorKind::Io, crate::error::Source::Io(error)))
    }

    /// Closes the pool: readers first, so that the writer, as the last, folds the write-ahead log
    /// into the database and removes it. See [`ManagedPool::close`].
    pub fn close(
        &self,
        within: Duration,
    ) -> impl Future<Output = SqliteCloseReport> + Send + 'static {
        let (writer, readers) = (self.writer.clone(), self.readers.clone());
        let begun = Instant::now();
        let reading = readers.map(|readers| readers.close(within));
        async move {
            let read = match reading {
                Some(reading) => Some(reading.await),
                None => None,
            };
            let write = writer.close(within.saturating_sub(begun.elapsed())).await;
            SqliteCloseReport { write, read }
        }
    }
}

/// A file that is removed unless it was renamed meanwhile.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
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
