//! [`SqliteOptions`]: how connections are opened, with the pragmas as named options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

/// How the connections of a pool are opened.
///
/// The defaults suit a server. Where they differ from what is often recommended:
///
/// * *Shared cache* is refused: SQLite discourages it, and with it a reader fails at once with
///   `SQLITE_LOCKED` that no busy timeout waits out. WAL gives readers and the writer what it was
///   for.
/// * *Memory mapping* is off: an I/O error in a mapped page is a signal that ends the process.
/// * The *busy timeout* is 5 s rather than 30: within the pool nobody runs into it, since there is
///   one writer; what is left are other processes.
/// * The *cache* is a budget for the whole pool, not a size for each connection: half of it is the
///   writer's, the other half is split over the readers.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    pub(crate) database: Database,
    /// Default: WAL.
    pub journal_mode: JournalMode,
    /// Default: `Normal`: with WAL nothing is lost when the process dies, the last commits perhaps
    /// when the power fails. `Full` loses nothing then.
    pub synchronous: Synchronous,
    /// Whether foreign keys are enforced. Default: yes.
    pub foreign_keys: bool,
    /// How long a statement waits for a lock that another process holds. Default: 5 s.
    pub busy_timeout: Duration,
    /// The page cache of all connections together, in KiB. Default: 65,536 (64 MiB).
    pub cache_budget: u32,
    /// How much of the file is mapped into memory, in bytes. Default: 0.
    pub mmap_size: u64,
    /// Where temporary tables and indices live. Default: in memory.
    pub temp_store: TempStore,
    /// The size to which the WAL file is cut when it starts over, in bytes. Default: 64 MiB.
    pub journal_size_limit: u64,
    /// How much the write-ahead log may grow, in bytes, before a checkpoint runs in the background: once
    /// the writer has rested for 20 ms, or when it comes back and the log has grown by 12 times as
    /// much. Within one checkout, commits checkpoint by themselves where the log is 16 times as long
    /// (and at least 1,000 pages). Default: 4 MiB.
    pub checkpoint_at: u64,
    /// How often `PRAGMA optimize` runs in the background, once the writer rests or with a checkpoint
    /// (zero: never), and in any case at close.
    /// Default: 2 h.
    pub optimize_every: Duration,
    /// How many prepared statements each connection keeps. Default: 128.
    pub statement_cache: usize,
    /// Allows several connections in WAL mode with a SQLite before 3.51.3, which can lose committed
    /// pages when two of them checkpoint and write at the same moment (the "WAL reset" bug,
    /// <https://sqlite.org/wal.html>). Default: no.
    pub allow_wal_reset_bug: bool,
    pub(crate) set_up: Option<SetUp>,
}

pub(crate) type SetUp = Arc<dyn Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync>;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    File {
        path: PathBuf,
        read_only: bool,
        create: bool,
    },
    /// Memory that connections of this process share by name.
    Memory {
        name: String,
    },
}

impl Database {
    /// The database as errors name it.
    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::File { path, .. } => path.display().to_string().into(),
            Self::Memory { .. } => ":memory:".into(),
        }
    }
}

macro_rules! pragma_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The word as SQLite writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn parse(word: &str) -> Result<Self, String> {
                match word.to_ascii_lowercase().as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("want one of {}", [$($text),*].join(", "))),
                }
            }
        }
    };
}

pragma_enum! {
    /// How changes are made safe.
    JournalMode {
        /// A write-ahead log: readers and the writer do not wait for each other.
        Wal = "wal",
        /// A rollback journal that is deleted: for file systems without shared memory. The pool is
        /// then one connection.
        Delete = "delete",
        /// A rollback journal that is cut. As `Delete`.
        Truncate = "truncate",
        /// A rollback journal that stays. As `Delete`.
        Persist = "persist",
    }
}

pragma_enum! {
    /// When SQLite waits for the disk.
    Synchronous {
        /// Never.
        Off = "off",
        /// At checkpoints.
        Normal = "normal",
        /// At every commit.
        Full = "full",
        /// At every commit, the folder too.
        Extra = "extra",
    }
}

pragma_enum! {
    /// Where temporary tables and indices live.
    TempStore {
        /// Where SQLite was built to put them.
        Default = "default",
        /// In files.
        File = "file",
        /// In memory.
        Memory = "memory",
    }
}

impl SqliteOptions {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            journal_mode: JournalMode::Wal,
            synchronous: Synchronous::Normal,
            foreign_keys: true,
            busy_timeout: Duration::from_secs(5),
            cache_budget: 65_536,
            mmap_size: 0,
            temp_store: TempStore::Memory,
            journal_size_limit: 64 << 20,
            checkpoint_at: 4 << 20,
            optimize_every: Duration::from_secs(2 * 3600),
            statement_cache: 128,
            allow_wal_reset_bug: false,
            set_up: None,
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.database, Database::File { .. })
    }

    /// Whether readers beside the writer make sense.
    pub(crate) fn shares(&self) -> bool {
        match self.database {
            Database::Memory { .. } => true,
            Database::File { .. } => self.journal_mode == JournalMode::Wal,
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self.database, Database::File { read_only: true, .. })
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("database", &self.database)
            .field("journal_mode", &self.journal_mode)
            .field("synchronous", &self.synchronous)
            .field("busy_timeout", &self.busy_timeout)
            .finish_non_exhaustive()
    }
}
