//! The tables, and the plans for writing and finding their rows.

use pool_sql::{Insert, OnConflict, PlanError, SelectByIds, Update, Value};
use pool_sqlite::rusqlite::{self, Transaction};

use crate::kind::Kind;
use crate::path_text::PathText;
use crate::stamp::Stamp;

/// Tells our databases from those of other programs: "MdSc".
const APPLICATION: i64 = 0x4d64_5363;
const VERSION: i64 = 1;

/// Times are microseconds since 1970, UTC.
///
/// `path` is unlike any other file's (`path_text` says how); `hash` is xxh3 of the first 64 KiB, as
/// a signed number, and NULL where the file could not be read. `generation` is the last scan that
/// saw the file, in `scans`, where `finished` is NULL for one that was cut short.
const TABLES: &str = "
    CREATE TABLE scans (
        generation INTEGER PRIMARY KEY AUTOINCREMENT,
        root       TEXT NOT NULL,
        started    INTEGER NOT NULL,
        finished   INTEGER
    ) STRICT;
    CREATE TABLE files (
        id         INTEGER PRIMARY KEY,
        path       TEXT NOT NULL UNIQUE,
        path_bytes BLOB,
        name       TEXT NOT NULL,
        type       TEXT NOT NULL,
        size       INTEGER NOT NULL,
        modified   INTEGER NOT NULL,
        created    INTEGER,
        hash       INTEGER,
        generation INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX files_by_name ON files (name COLLATE NOCASE);
    CREATE INDEX files_by_type ON files (type, size);
    CREATE INDEX files_by_age ON files (modified);
";

/// The columns that a scan writes, in the order of [`FileRow::values`].
pub(crate) const COLUMNS: [&str; 9] =
    ["path", "path_bytes", "name", "type", "size", "modified", "created", "hash", "generation"];

/// Makes the tables where there are none yet. Says whether the database is ours.
pub(crate) fn set_up(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    let number = |sql| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mark = number("PRAGMA application_id")?;
    if mark == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        tx.execute_batch(TABLES)?;
        tx.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
        ))?;
        return Ok(true);
    }
    Ok(mark == APPLICATION && number("PRAGMA user_version")? == VERSION)
}

/// A file as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct FileRow {
    pub(crate) path: PathText,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) stamp: Stamp,
    pub(crate) hash: Option<u64>,
}

impl FileRow {
    pub(crate) fn values(&self, generation: i64) -> [Value<'_>; COLUMNS.len()] {
        [
            Value::from(&self.path.text),
            Value::from(self.path.bytes.as_deref()),
            Value::from(&self.name),
            Value::from(self.kind.as_str()),
            Value::from(self.stamp.size),
            Value::from(self.stamp.modified),
            Value::from(self.stamp.created),
            Value::from(self.hash.map(u64::cast_signed)),
            Value::from(generation),
        ]
    }
}

/// Stores files; a path that is there already is overwritten.
pub(crate) fn upsert() -> Result<Insert, PlanError> {
    Insert::into("files")?.columns(COLUMNS)?.on_conflict(OnConflict::update(["path"])?)
}

/// Notes that files are still there, by id.
pub(crate) fn seen() -> Result<Update, PlanError> {
    Update::table("files")?.key("id")?.columns(["generation"])
}

/// What is known of files, by path.
pub(crate) fn known() -> Result<SelectByIds, PlanError> {
    SelectByIds::from("files")?
        .id_column("path")?
        .columns(["path", "id", "size", "modified", "hash"])
}

#[cfg(test)]
mod tests {
    use pool_sqlite::rusqlite::Connection;

    use super::*;

    fn set_up_in(connection: &mut Connection) -> bool {
        let tx = connection.transaction().unwrap();
        let ours = set_up(&tx).unwrap();
        tx.commit().unwrap();
        ours
    }

    #[test]
    fn the_tables_are_made_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(set_up_in(&mut connection));
        assert!(set_up_in(&mut connection));
    }

    #[test]
    fn another_program_s_database_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE files (x)").unwrap();
        assert!(!set_up_in(&mut connection));
        let mut newer = Connection::open_in_memory().unwrap();
        set_up_in(&mut newer);
        newer.execute_batch("PRAGMA user_version = 2").unwrap();
        assert!(!set_up_in(&mut newer));
    }

    #[test]
    fn the_plans_fit_the_tables() {
        let mut connection = Connection::open_in_memory().unwrap();
        set_up_in(&mut connection);
        let dialect = pool_sql::Dialect::Sqlite;
        for sql in [
            upsert().unwrap().sql(dialect, 2).unwrap(),
            seen().unwrap().sql(dialect, 2).unwrap(),
            known().unwrap().sql(dialect, 2).unwrap(),
        ] {
            connection.prepare(&sql).unwrap();
        }
    }
}
