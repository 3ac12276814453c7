//! What all connections of a pool have in common, and the upkeep of their database.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use pool_sql::Observers;
use rusqlite::{Connection, OpenFlags};

use crate::open::Role;
use crate::options::{Database, SqliteOptions};

pub(crate) struct Common {
    pub(crate) options: SqliteOptions,
    pub(crate) database: Arc<str>,
    pub(crate) observers: Observers,
    /// The page cache of a reader that is opened now.
    pub(crate) cache_kib: AtomicU32,
    pub(crate) writer_cache_kib: u32,
    /// Keeps a database in memory alive, whatever happens to the connections.
    pub(crate) _anchor: Option<Mutex<Connection>>,
    /// Where the write-ahead log is, once it was looked for.
    pub(crate) wal: OnceLock<PathBuf>,
    pub(crate) opens: Opens,
}

/// Attempts to open the database. A thread that is in one cannot be ended, only left behind; so there
/// is a limit to those that nobody waits for any more.
#[derive(Default)]
pub(crate) struct Opens {
    /// Shared by each thread that is in one.
    under_way: Arc<()>,
    /// Shared by each caller who waits for one.
    awaited: Arc<()>,
}

impl Opens {
    /// Threads that may be left behind in it, for all connections together.
    const LEFT_BEHIND: usize = 8;

    /// One more: what its thread keeps, and what its caller keeps. `None`: there are too many.
    pub(crate) fn begin(&self) -> Option<(Arc<()>, Arc<()>)> {
        let under_way = Arc::strong_count(&self.under_way);
        let left_behind = under_way.saturating_sub(Arc::strong_count(&self.awaited));
        (left_behind < Self::LEFT_BEHIND).then(|| (self.under_way.clone(), self.awaited.clone()))
    }
}

impl Common {
    pub(crate) fn cache_of(&self, role: Role) -> u32 {
        match role {
            Role::Writer => self.writer_cache_kib,
            Role::Reader => self.cache_kib.load(Ordering::Relaxed),
        }
    }

    /// How large the file of the write-ahead log is, in bytes.
    pub(crate) fn wal_size(&self) -> u64 {
        self.wal().and_then(|wal| std::fs::metadata(wal).ok()).map_or(0, |file| file.len())
    }

    /// Where the write-ahead log is, if the database is a file.
    pub(crate) fn wal(&self) -> Option<&Path> {
        let Database::File { path, .. } = &self.options.database else { return None };
        Some(self.wal.get_or_init(|| {
            // SQLite follows links, and does not care for a later change of folder.
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            let mut wal = path.into_os_string();
            wal.push("-wal");
            wal.into()
        }))
    }

    /// Folds the log into the database and removes it, once all connections are closed.
    pub(crate) fn fold(&self) {
        let Database::File { path, read_only: false, .. } = &self.options.database else { return };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if let Ok(last) = Connection::open_with_flags(path, flags) {
            let _ = last.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        }
    }
}
