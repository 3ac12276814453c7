//! The database of a scan: an SQLite file, or a PostgreSQL, MySQL or MariaDB server. All that differs
//! is behind here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pool_any::{AnyError, Backend};
use pool_config::Database as Named;
use pool_metrics::Monitor;
use pool_mysql::{MySqlError, MySqlErrorKind, MySqlGuard, MySqlPool};
use pool_postgres::{PgError, PgErrorKind, PgGuard, PgPool};
use pool_sql::{Batch as _, Row, SelectByIds, Value};
use pool_sqlite::{SqliteBuilder, SqliteError, SqliteGuard, SqlitePool, SqliteSnapshot};
use serde::Serialize;

use crate::args::Args;
use crate::fault::{Fault, In, Shown};
use crate::file::{self, OnlyScan};
use crate::root::Root;
use crate::{generation, mysql, postgres, settings};

/// How long another program may keep the database locked before the scan gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// An SQLite file, by its full path.
    File {
        path: PathBuf,
        /// It was named by a URL, which may have parameters.
        by_url: bool,
    },
    /// A database of a server, by its URL.
    Server(Named),
}

impl Place {
    /// A file by its path; without one a file in the user's data folder.
    ///
    /// # Errors
    /// There is no such folder, or something else in the file's place.
    pub(crate) fn file(given: Option<&Path>) -> Result<Self, Fault> {
        file::locate(given).map(|path| Self::File { path, by_url: false })
    }

    /// What a URL, or `SQLITE_DB_PATH`, names.
    ///
    /// # Errors
    /// As [`Place::file`]; a URL that makes no sense, or names no file.
    pub(crate) fn of(database: Named) -> Result<Self, Fault> {
        if database.backend != Backend::Sqlite {
            return Ok(Self::Server(database));
        }
        let builder = SqliteBuilder::url(database.url.expose());
        let builder = builder.map_err(|error| Fault::new(error.to_string()))?;
        let Some(path) = builder.path() else {
            return Err(Fault::new("a database in memory is gone after the scan: name a file"));
        };
        file::locate(Some(path)).map(|path| Self::File { path, by_url: true })
    }

    /// The database's own files: they are no part of a collection.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        match self {
            Self::File { path, .. } => file::own_files(path),
            Self::Server(_) => Vec::new(),
        }
    }

    /// The path, or the URL without what is secret.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.to_string_lossy().into_owned(),
            Self::Server(database) => without_secrets(database.url.expose()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => Shown(path).fmt(f),
            Self::Server(_) => write!(f, "{:?}", self.name()),
        }
    }
}

/// Without user, password and parameters.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{place}")
}

/// What a database answers when it does not do it.
#[derive(Debug)]
pub(crate) enum DbError {
    Sqlite(SqliteError),
    Postgres(PgError),
    MySql(MySqlError),
    /// What is said of the pool makes no sense.
    Settings(String),
}

impl DbError {
    /// Whether a lock or another transaction was in the way, so that the same may succeed soon.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.is_busy(),
            Self::Postgres(error) => {
                error.kind() == PgErrorKind::Locked || error.is_worth_a_new_transaction()
            }
            Self::MySql(error) => {
                error.kind() == MySqlErrorKind::Locked || error.is_worth_a_new_transaction()
            }
            Self::Settings(_) => false,
        }
    }
}

impl From<SqliteError> for DbError {
    fn from(error: SqliteError) -> Self {
        Self::Sqlite(error)
    }
}

impl From<PgError> for DbError {
    fn from(error: PgError) -> Self {
        Self::Postgres(error)
    }
}

impl From<MySqlError> for DbError {
    fn from(error: MySqlError) -> Self {
        Self::MySql(error)
    }
}

impl From<AnyError> for DbError {
    fn from(error: AnyError) -> Self {
        if let Some(error) = error.as_sqlite() {
            return Self::Sqlite(error.clone());
        }
        if let Some(error) = error.as_postgres() {
            return Self::Postgres(error.clone());
        }
        match error.as_mysql() {
            Some(error) => Self::MySql(error.clone()),
            None => Self::Settings(error.to_string()),
        }
    }
}

/// The pool in front of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// A connection that writes.
pub(crate) enum Writer {
    Sqlite(SqliteGuard),
    Postgres(PgGuard),
    MySql(MySqlGuard),
}

/// Held while a scan writes to a database: two at once would each remove what only the other saw.
pub(crate) enum Only {
    Sqlite(#[expect(dead_code, reason = "it is the lock")] OnlyScan),
    Postgres(#[expect(dead_code, reason = "its session has the lock")] PgGuard),
    MySql(#[expect(dead_code, reason = "its session has the lock")] MySqlGuard),
}

/// A pool at one moment.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Snapshot {
    Sqlite(Box<SqliteSnapshot>),
    Server(Box<pool_core::Snapshot>),
}

impl Database {
    /// Opens the pool with what the command line and the environment say of it.
    pub(crate) async fn open(
        place: &Place,
        args: &Args,
        monitor: Option<&Monitor>,
    ) -> Result<Self, DbError> {
        let builder = match place {
            Place::File { path, by_url: false } => {
                let loader = settings::loader(args, false).without_database();
                let loaded = |base| loader.load_onto(|_| base).map_err(AnyError::from);
                return Ok(Self::Sqlite(file::open(path, loaded, monitor).await?));
            }
            Place::File { .. } => settings::builder(args, false)?,
            Place::Server(_) => settings::builder(args, true)?,
        };
        let builder = match monitor {
            Some(monitor) => builder.monitor(monitor),
            None => builder,
        };
        let pool = builder.sqlite(file::set_up).build().await?;
        if let Some(pool) = pool.as_sqlite() {
            return Ok(Self::Sqlite(pool.clone()));
        }
        if let Some(pool) = pool.as_postgres() {
            return Ok(Self::Postgres(pool.clone()));
        }
        Ok(Self::MySql(pool.as_mysql().expect("there are three backends").clone()))
    }

    /// Whether it was closed within that time.
    pub(crate) async fn close(&self, within: Duration) -> bool {
        match self {
            Self::Sqlite(pool) => pool.close(within).await.is_complete(),
            Self::Postgres(pool) => pool.close(within).await.is_complete(),
            Self::MySql(pool) => pool.close(within).await.is_complete(),
        }
    }

    /// See [`crate::throttle`].
    pub(crate) fn pressure(&self) -> f64 {
        match self {
            Self::Sqlite(pool) => pool.pressure(),
            Self::Postgres(pool) => pool.pressure(),
            Self::MySql(pool) => pool.pressure(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        match self {
            Self::Sqlite(pool) => Snapshot::Sqlite(Box::new(pool.snapshot())),
            Self::Postgres(pool) => Snapshot::Server(Box::new(pool.snapshot())),
            Self::MySql(pool) => Snapshot::Server(Box::new(pool.snapshot())),
        }
    }

    /// Takes the lock, or says that somebody has it.
    ///
    /// # Errors
    /// Another scan writes to the database, or there is no telling.
    pub(crate) async fn only_scan(&self, place: &Place) -> Result<Only, Fault> {
        if let Place::File { path, .. } = place {
            return OnlyScan::begin(path).map(Only::Sqlite);
        }
        let taken = match self {
            Self::Sqlite(_) => Ok(None), // it is a file
            Self::Postgres(pool) => {
                let taken = postgres::only_scan(pool).await.map_err(DbError::from);
                taken.map(|taken| taken.map(Only::Postgres))
            }
            Self::MySql(pool) => {
                let taken = mysql::only_scan(pool).await.map_err(DbError::from);
                taken.map(|taken| taken.map(Only::MySql))
            }
        };
        taken.map_err(|error| In(place).fault(error))?.ok_or_else(|| {
            Fault::new(format!(
                "another scan is writing to the database {place}: wait until it is done, or choose \
                 another with --db"
            ))
        })
    }

    /// Begins a scan; makes the tables if need be. None if the database is another program's.
    pub(crate) async fn begin(&self, root: &Root) -> Result<Option<i64>, DbError> {
        Ok(match self {
            Self::Sqlite(pool) => generation::begin(pool, root).await?,
            Self::Postgres(pool) => postgres::begin(pool, root).await?,
            Self::MySql(pool) => mysql::begin(pool, root).await?,
        })
    }

    /// How many files the last scan of the root found; zero if none was ever complete.
    pub(crate) async fn expected(&self, root: &Root) -> Result<u64, DbError> {
        Ok(match self {
            Self::Sqlite(pool) => generation::expected(pool, root).await?,
            Self::Postgres(pool) => postgres::expected(pool, root).await?,
            Self::MySql(pool) => mysql::expected(pool, root).await?,
        })
    }

    /// How many rows are below the root.
    pub(crate) async fn rows(&self, root: &Root) -> Result<u64, DbError> {
        Ok(match self {
            Self::Sqlite(pool) => generation::rows(pool, root).await?,
            Self::Postgres(pool) => postgres::rows(pool, root).await?,
            Self::MySql(pool) => mysql::rows(pool, root).await?,
        })
    }

    /// Ends a scan whose walk was complete: removes the rows of what is gone, and says how many.
    pub(crate) async fn finish(&self, root: &Root, generation: i64) -> Result<usize, DbError> {
        Ok(match self {
            Self::Sqlite(pool) => generation::finish(pool, root, generation).await?,
            Self::Postgres(pool) => postgres::finish(pool, root, generation).await?,
            Self::MySql(pool) => mysql::finish(pool, root, generation).await?,
        })
    }

    /// Rows by their ids, on a connection that is given back at once.
    pub(crate) async fn look_up(
        &self,
        plan: &SelectByIds,
        ids: &[Value<'_>],
    ) -> Result<Vec<Row>, DbError> {
        let found = match self {
            Self::Sqlite(pool) => {
                let mut reader = acquired(pool.read().operation("look up").await)?;
                reader.select_by_ids(plan, ids).await?
            }
            Self::Postgres(pool) => {
                let mut reader =
                    pool.acquire().operation("look up").await.map_err(PgError::from)?;
                reader.select_by_ids(plan, ids).await?
            }
            Self::MySql(pool) => {
                let mut reader =
                    pool.acquire().operation("look up").await.map_err(MySqlError::from)?;
                reader.select_by_ids(plan, ids).await?
            }
        };
        Ok(found.rows)
    }

    pub(crate) async fn writer(&self, operation: &'static str) -> Result<Writer, DbError> {
        Ok(match self {
            Self::Sqlite(pool) => {
                Writer::Sqlite(acquired(pool.write().operation(operation).await)?)
            }
            Self::Postgres(pool) => {
                let writer = pool.acquire().operation(operation).await;
                Writer::Postgres(writer.map_err(PgError::from)?)
            }
            Self::MySql(pool) => {
                let writer = pool.acquire().operation(operation).await;
                Writer::MySql(writer.map_err(MySqlError::from)?)
            }
        })
    }
}

/// What the SQLite pool gave.
pub(crate) fn acquired(
    given: Result<SqliteGuard, pool_core::AcquireError>,
) -> Result<SqliteGuard, SqliteError> {
    given.map_err(SqliteError::from)
}

impl Writer {
    /// Counts paths, and all that is below them, as seen: they could not be looked at.
    pub(crate) async fn spare(
        &mut self,
        paths: Vec<PathBuf>,
        generation: i64,
    ) -> Result<(), DbError> {
        match self {
            Self::Sqlite(writer) => generation::spare_all(writer, paths, generation).await?,
            Self::Postgres(writer) => postgres::spare_all(writer, &paths, generation).await?,
            Self::MySql(writer) => mysql::spare_all(writer, &paths, generation).await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_config::Loader;

    fn place(url: &str) -> Place {
        Place::of(Loader::new().url(url).load().unwrap().database.unwrap()).unwrap()
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let place = place("postgres://me:p%40ss@db.example:5433/media?password=x");
        assert_eq!(place.name(), "postgres://db.example:5433/media");
        assert_eq!(place.to_string(), "\"postgres://db.example:5433/media\"");
        assert!(place.own_files().is_empty());
    }

    #[test]
    fn the_scheme_tells_the_kind_of_database() {
        for (scheme, backend) in [
            ("postgres", Backend::Postgres),
            ("postgresql", Backend::Postgres),
            ("mysql", Backend::MySql),
            ("mariadb", Backend::MySql),
        ] {
            let Place::Server(named) = place(&format!("{scheme}://me@h/x")) else { panic!() };
            assert_eq!(named.backend, backend);
        }
        let file = place("sqlite:media.db?synchronous=full&max_size=3");
        let Place::File { path, by_url: true } = file else { panic!() };
        assert!(path.is_absolute() && path.ends_with("media.db"));
    }

    #[test]
    fn a_database_in_memory_is_no_place_for_a_scan() {
        let named = Loader::new().url("sqlite::memory:").load().unwrap().database.unwrap();
        assert!(Place::of(named).unwrap_err().to_string().contains("name a file"));
    }
}
