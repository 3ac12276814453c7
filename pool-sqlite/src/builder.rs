//! [`SqliteBuilder`]: the settings of a pool.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use pool_core::{ManagedPool, Metrics, PoolConfig, Validation};
use pool_sql::{Observers, StatementObserver};
use rusqlite::Connection;

use crate::common::{Common, Opens};
use crate::error::{SqliteError, SqliteErrorKind};
use crate::manager::SqliteManager;
use crate::open::{Role, open_memory};
use crate::options::{Database, SqliteOptions};
use crate::pool::SqlitePool;

/// The least page cache of one connection: SQLite's own default.
const LEAST_CACHE_KIB: u32 = 2_000;
/// The first SQLite in which several connections may safely checkpoint in WAL mode.
const SAFE_WAL: i32 = 3_051_003;

/// A [`SqlitePool`] in the making.
#[derive(Debug)]
#[must_use = "nothing is opened until it is built"]
pub struct SqliteBuilder {
    config: PoolConfig,
    pub(crate) options: SqliteOptions,
    metrics: Vec<MetricsSeat>,
    observers: Observers,
}

struct MetricsSeat(Arc<dyn Metrics>);

impl std::fmt::Debug for MetricsSeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("metrics")
    }
}

impl SqliteBuilder {
    /// For a database file; it is made if it does not exist, its folder is not. `:memory:` is
    /// [`in_memory`](Self::in_memory).
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        if path.as_os_str() == ":memory:" {
            return Self::in_memory();
        }
        Self::new(Database::File { path, read_only: false, create: true })
    }

    /// For a database in memory, used through one connection. It lives as long as the pool.
    pub fn in_memory() -> Self {
        Self::in_shared_memory().max_size(1)
    }

    /// For a database in memory that several connections use. There is no WAL in memory: readers
    /// and the writer wait for each other.
    pub fn in_shared_memory() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::new(Database::Memory { name: format!("pool-{}-{number}", std::process::id()) })
    }

    /// By path or URL, with parameters: see [`crate::url`].
    ///
    /// # Errors
    /// All parameters that make no sense, with what would be right.
    pub fn url(url: &str) -> Result<Self, SqliteError> {
        crate::url::parse(url)
    }

    pub(crate) fn new(database: Database) -> Self {
        // Opening takes 0.1 ms and goes over no network: nothing to keep alive or to prove.
        let config = PoolConfig::new()
            .name("sqlite")
            .max_size(default_size())
            .max_lifetime(None)
            .max_connecting(4)
            .close_timeout(Duration::from_secs(10)) // the last one to close writes the log back
            .validation(Validation::Never);
        Self {
            config,
            options: SqliteOptions::new(database),
            metrics: Vec::new(),
            observers: Observers::default(),
        }
    }

    /// The database's file; none for a database in memory.
    ///
    /// ```
    /// let builder = pool_sqlite::SqliteBuilder::url("sqlite:a%20b.db?mode=ro").unwrap();
    /// assert_eq!(builder.path(), Some("a b.db".as_ref()));
    /// ```
    pub fn path(&self) -> Option<&Path> {
        match &self.options.database {
            Database::File { path, .. } => Some(path),
            Database::Memory { .. } => None,
        }
    }

    /// How many connections there are: one writes, the others read. 1 is a single connection for
    /// both. Default: 1 + twice the cores, from 5 to 9.
    pub fn max_size(mut self, max_size: u32) -> Self {
        self.set_max_size(max_size);
        self
    }

    pub(crate) fn set_max_size(&mut self, max_size: u32) {
        self.config.max_size = max_size;
    }

    /// How long an acquire takes at most. Default: 30 s.
    pub fn acquire_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.acquire_timeout(timeout))
    }

    /// Changes any setting of the readers' pool; its name and timeouts hold for the writer too.
    pub fn config(mut self, change: impl FnOnce(PoolConfig) -> PoolConfig) -> Self {
        self.config = change(self.config);
        self
    }

    /// Changes how connections are opened.
    pub fn options(mut self, change: impl FnOnce(&mut SqliteOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Opens the file for reading only; it must exist. All connections are readers, also
    /// [`write`](SqlitePool::write)'s. SQLite may make `-wal` and `-shm` files beside a file in WAL
    /// mode, and readers cannot remove them.
    pub fn read_only(mut self) -> Self {
        self.set_read_only();
        self
    }

    pub(crate) fn set_read_only(&mut self) {
        if let Database::File { read_only, .. } = &mut self.options.database {
            *read_only = true;
        }
    }

    pub(crate) fn set_create(&mut self, yes: bool) {
        if let Database::File { create, .. } = &mut self.options.database {
            *create = yes;
        }
    }

    /// Runs on every connection when it was opened, on its own thread: for functions, collations,
    /// pragmas of your own. The pool's authorizer, commit and rollback hooks, progress and busy
    /// handler come after it and take the place of any set here.
    pub fn set_up<F>(mut self, set_up: F) -> Self
    where
        F: Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        self.options.set_up = Some(Arc::new(set_up));
        self
    }

    /// Is told what happens in the pool. There may be several.
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics.push(MetricsSeat(metrics));
        self
    }

    /// Is told of every statement (`call`, `inline`, `transaction` and batches), and of the end of
    /// every transaction.
    pub fn observer(mut self, observer: Arc<dyn StatementObserver>) -> Self {
        self.observers = self.observers.with(observer);
        self
    }

    /// Opens the database: the writer first, which makes the file and switches it to WAL.
    ///
    /// # Errors
    /// If the settings make no sense, or the database cannot be opened within the
    /// `acquire_timeout` (if that is zero, the `connect_timeout`).
    pub async fn build(self) -> Result<SqlitePool, SqliteError> {
        self.check()?;
        let sides = Sides::new(&self.config, &self.options);
        let common = common(self.options, self.observers, sides.writers, sides.readers)?;
        let pool = |config: PoolConfig, role| {
            let name = config.name.clone();
            let manager = SqliteManager { role, shared: common.clone(), name };
            let builder = ManagedPool::builder(manager).config(config);
            let metrics = self.metrics.iter().map(|MetricsSeat(metrics)| metrics.clone());
            metrics.fold(builder, pool_core::Builder::metrics).build()
        };
        let writer = pool(sides.write, sides.role)?;
        writer.ready().await?;
        let readers = sides.read.map(|config| pool(config, Role::Reader)).transpose()?;
        let config = Arc::new(Mutex::new(Arc::new(self.config)));
        Ok(SqlitePool { writer, readers, config })
    }

    /// The manager alone: for a pool of your own over SQLite connections, see [`SqliteManager`]. Of
    /// what is set here, all that is about opening connections counts, and `max_size`: so many
    /// share the page cache. The rest (timeouts, metrics) is the other pool's.
    ///
    /// # Errors
    /// If the settings make no sense. Nothing is opened yet, but for a database in memory.
    pub fn manager(self) -> Result<SqliteManager, SqliteError> {
        self.check()?;
        let role = if self.options.is_read_only() { Role::Reader } else { Role::Writer };
        let PoolConfig { name, max_size, .. } = self.config;
        let shared = common(self.options, self.observers, max_size, max_size)?;
        Ok(SqliteManager { role, shared, name })
    }

    fn check(&self) -> Result<(), SqliteError> {
        check(&self.config, &self.options)
    }
}

pub(crate) fn check(config: &PoolConfig, options: &SqliteOptions) -> Result<(), SqliteError> {
    config.validate()?;
    if let Database::File { path, .. } = &options.database
        && path.as_os_str().is_empty()
    {
        // SQLite would make a private file for each connection, and delete it.
        return Err(SqliteError::text(
            SqliteErrorKind::Config,
            "the path of the database is empty",
        ));
    }
    let version = rusqlite::version_number();
    let affected = options.is_file() && options.shares() && config.max_size > 1;
    if affected && version < SAFE_WAL && !options.allow_wal_reset_bug {
        let text = format!(
            "SQLite {} can lose committed pages when several connections use WAL (fixed in \
             3.51.3): use the `bundled` feature, set max_size to 1, or accept it with \
             `allow_wal_reset_bug`",
            rusqlite::version()
        );
        return Err(SqliteError::text(SqliteErrorKind::Config, text));
    }
    Ok(())
}

/// What a pool's settings are for each of its sides.
pub(crate) struct Sides {
    pub(crate) write: PoolConfig,
    /// What those connections are for which there is only one side.
    role: Role,
    /// Where there are readers beside the writer.
    pub(crate) read: Option<PoolConfig>,
    /// Among as many the page cache is divided, for a connection of the one side or the other.
    writers: u32,
    readers: u32,
}

impl Sides {
    pub(crate) fn new(config: &PoolConfig, options: &SqliteOptions) -> Self {
        let several = config.max_size > 1 && options.shares();
        let read_only = options.is_read_only();
        let (name, max_size) = (&config.name, config.max_size);
        // Half of the cache is the writer's, who works through more of the file than any reader.
        let (writers, readers) = match (several, read_only) {
            (true, _) => (2, 2 * (max_size - 1)),
            (false, true) => (1, max_size),
            (false, false) => (1, 1),
        };
        if read_only {
            let write = config.clone().min_size(config.min_size.max(1));
            return Self { write, role: Role::Reader, read: None, writers, readers };
        }
        // The writer stays: without it the last reader to go would take the log along.
        let write = config.clone().max_size(1).min_size(1).min_idle(0).max_idle(None);
        let write = write.idle_timeout(None).name(format!("{name}-write"));
        let min_size = config.min_size.saturating_sub(1); // the writer is one of them
        let read = several.then(|| {
            let read = config.clone().max_size(max_size - 1).min_size(min_size);
            read.name(format!("{name}-read"))
        });
        Self { write, role: Role::Writer, read, writers, readers }
    }

    /// The page cache of a reader, in KiB.
    pub(crate) fn cache_kib(&self, options: &SqliteOptions) -> u32 {
        share(options, self.readers)
    }
}

fn share(options: &SqliteOptions, of: u32) -> u32 {
    (options.cache_budget / of).clamp(LEAST_CACHE_KIB, i32::MAX as u32)
}

/// What connections have in common of which so many share the page cache.
fn common(
    options: SqliteOptions,
    observers: Observers,
    writers: u32,
    readers: u32,
) -> Result<Arc<Common>, SqliteError> {
    Ok(Arc::new(Common {
        database: options.database.name(),
        writer_cache_kib: share(&options, writers),
        cache_kib: share(&options, readers).into(),
        observers,
        _anchor: match &options.database {
            Database::Memory { name } => Some(open_memory(name, Role::Writer)?.into()),
            Database::File { .. } => None,
        },
        wal: OnceLock::new(),
        opens: Opens::default(),
        options,
    }))
}

fn default_size() -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32);
    1 + (2 * cores).clamp(4, 8)
}
