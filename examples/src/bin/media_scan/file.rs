//! The file of an SQLite database: where it is, opening it, and one scan at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use pool_any::AnyError;
use pool_config::Loaded;
use pool_core::PoolConfig;
use pool_metrics::Monitor;
use pool_sqlite::{SqliteBuilder, SqlitePool};

use crate::database::DbError;
use crate::fault::{Fault, Shown};

/// What stands at the end of the lock file's name. SQLite's own files have these names too.
const LOCK: &str = "-scan";
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", LOCK];

/// The file, by its full path, in a folder that exists.
///
/// # Errors
/// There is no such folder, or something else in the file's place.
pub(crate) fn locate(given: Option<&Path>) -> Result<PathBuf, Fault> {
    let wanted = match given {
        Some(path) => path.to_owned(),
        None => standard()?,
    };
    let shown = Shown(&wanted);
    if fs::metadata(&wanted).is_ok_and(|found| !found.is_file()) {
        return Err(Fault::new(format!(
            "the database {shown} is a folder or device: name a file in a folder with --db"
        )));
    }
    // A link to the file is followed, so that SQLite's other files stand where it expects them.
    if let Ok(path) = fs::canonicalize(&wanted) {
        return Ok(path);
    }
    let Some(name) = wanted.file_name() else {
        return Err(Fault::new(format!("{shown} names no database file: name one with --db")));
    };
    let folder = match wanted.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(folder).map_err(|error| {
        Fault::new(format!(
            "the database {shown} cannot be made, as its folder cannot be entered: make the \
             folder, or choose another with --db ({error})"
        ))
    })?;
    Ok(folder.join(name))
}

/// In the user's data folder, which is made.
fn standard() -> Result<PathBuf, Fault> {
    let Some(data) = dirs::data_dir() else {
        return Err(Fault::new("you have no data folder: name the database file with --db"));
    };
    let folder = data.join("media_scan");
    fs::create_dir_all(&folder).map_err(|error| {
        let shown = Shown(&folder);
        Fault::new(format!(
            "the folder {shown} cannot be made: name a database file elsewhere with --db ({error})"
        ))
    })?;
    Ok(folder.join("media.db"))
}

/// The database's own files: they change while it is scanned, and are no part of a collection.
pub(crate) fn own_files(database: &Path) -> Vec<PathBuf> {
    let mut files = vec![database.to_owned()];
    files.extend(BESIDE.iter().map(|end| beside(database, end)));
    files
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// The page cache of the connection that writes, in KiB: room for the indices of a collection, whose
/// entries come in any order. An even share of the pool's budget would be 2.6 MiB.
const WRITER_CACHE: u32 = 32 * 1024;

/// Opens the database by its path, with the pool's defaults for a server: WAL, `synchronous` normal.
///
/// # Errors
/// The settings make no sense; or it cannot be opened, written or understood, or stays locked.
pub(crate) async fn open(
    database: &Path,
    settings: impl FnOnce(PoolConfig) -> Result<Loaded, AnyError>,
    monitor: Option<&Monitor>,
) -> Result<SqlitePool, DbError> {
    let mut config = PoolConfig::default();
    let builder = set_up(SqlitePool::builder(database)).config(|base| {
        config = base.clone();
        base
    });
    let config = settings(config)?.config;
    let name = config.name.clone();
    let builder = builder.config(|_| config);
    let Some(monitor) = monitor else {
        return Ok(builder.build().await?);
    };
    let builder = builder.metrics(monitor.metrics()).observer(monitor.statements_observer());
    let pool = builder.build().await?;
    monitor.watch(name, pool.views());
    Ok(pool)
}

/// What every connection to a file gets.
pub(crate) fn set_up(builder: SqliteBuilder) -> SqliteBuilder {
    builder.set_up(|c| match c.is_readonly("main")? {
        true => Ok(()),
        false => c.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE)),
    })
}

/// Held while a scan writes to a database: two at once would each remove what only the other saw.
///
/// The system gives it back when the process ends, however it ends; the empty file stays.
#[derive(Debug)]
pub(crate) struct OnlyScan(#[expect(dead_code, reason = "it is the lock")] Option<File>);

impl OnlyScan {
    /// Takes it, or says that somebody has it.
    ///
    /// # Errors
    /// Another scan writes to the database, or the lock file cannot be made.
    pub(crate) fn begin(database: &Path) -> Result<Self, Fault> {
        let path = beside(database, LOCK);
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|error| unlockable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(Fault::new(format!(
                "another scan is writing to the database {}: wait until it is done, or choose \
                 another file with --db",
                Shown(database)
            ))),
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                Ok(Self(None))
            }
            Err(TryLockError::Error(error)) => Err(unlockable(&path, &error)),
        }
    }
}

fn unlockable(path: &Path, error: &io::Error) -> Fault {
    Fault::new(format!(
        "the lock file {} cannot be made: choose a database in a folder that you may write to with \
         --db ({error})",
        Shown(path)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_new_file_is_its_folder_s() {
        let dir = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(dir.path()).unwrap();
        assert_eq!(locate(Some(&dir.path().join("x.db"))).unwrap(), folder.join("x.db"));
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(locate(Some(Path::new(":memory:"))).unwrap(), here.join(":memory:"));
    }

    #[test]
    fn what_cannot_be_a_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| locate(Some(path)).unwrap_err().to_string();
        assert!(said(dir.path()).contains("is a folder"), "{}", said(dir.path()));
        assert!(said(&dir.path().join("none/x.db")).contains("make the folder"));
        assert!(said(Path::new("")).contains("names no database"));
    }

    #[test]
    fn there_is_one_scan_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("x.db");
        let first = OnlyScan::begin(&database).unwrap();
        let refused = OnlyScan::begin(&database).unwrap_err().to_string();
        assert!(refused.starts_with("another scan is writing"), "{refused}");
        drop(first);
        OnlyScan::begin(&database).unwrap();
    }
}
