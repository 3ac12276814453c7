//! Generations in SQLite: each scan has a number, and a row has that of the last scan that saw its
//! file.
//!
//! When a walk was complete, what is below its root with an older number is gone.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pool_sqlite::rusqlite::{self, Transaction, params};
use pool_sqlite::{SqliteConnection, SqliteError, SqlitePool};

use crate::path_text::{Below, PathText};
use crate::root::Root;
use crate::schema;
use crate::stamp::micros;

/// Begins a scan; makes the tables if need be. None if the database is another program's.
pub(crate) async fn begin(pool: &SqlitePool, root: &Root) -> Result<Option<i64>, SqliteError> {
    let mut writer = pool.write().operation("begin").await?;
    let (name, now) = (PathText::of(root.path()).text, micros(SystemTime::now()));
    let begun = writer.transaction(move |tx| {
        if !schema::set_up(tx)? {
            return Ok(None);
        }
        tx.execute("INSERT INTO scans (root, started) VALUES (?1, ?2)", params![name, now])?;
        Ok(Some(tx.last_insert_rowid()))
    });
    begun.await
}

/// Ends a scan whose walk was complete: removes the rows of what is gone, and says how many.
pub(crate) async fn finish(
    pool: &SqlitePool,
    root: &Root,
    generation: i64,
) -> Result<usize, SqliteError> {
    let mut writer = pool.write().operation("finish").await?;
    let (below, name) = (root.below().clone(), PathText::of(root.path()).text);
    let finish = move |tx: &Transaction<'_>| {
        let removed = remove_older(tx, &below, generation)?;
        tx.execute(
            "UPDATE scans SET finished = ?2 WHERE generation = ?1",
            params![generation, micros(SystemTime::now())],
        )?;
        tx.execute(
            "DELETE FROM scans WHERE root = ?1 AND generation < ?2",
            params![name, generation],
        )?;
        Ok(removed)
    };
    writer.transaction(finish).await
}

fn remove_older(tx: &Transaction<'_>, below: &Below, generation: i64) -> rusqlite::Result<usize> {
    let [a, b, c, d] = below.bounds();
    let sql = format!("DELETE FROM files WHERE {} AND generation < ?5", Below::SQL);
    tx.execute(&sql, params![a, b, c, d, generation])
}

/// Counts paths, and all that is below them, as seen.
pub(crate) async fn spare_all(
    writer: &mut SqliteConnection,
    paths: Vec<PathBuf>,
    generation: i64,
) -> Result<(), SqliteError> {
    let spare_each = move |tx: &Transaction<'_>| {
        paths.iter().try_for_each(|path| spare(tx, path, generation).map(drop))
    };
    writer.transaction(spare_each).await
}

fn spare(tx: &Transaction<'_>, path: &Path, generation: i64) -> rusqlite::Result<usize> {
    let below = Below::folder(path);
    let [a, b, c, d] = below.bounds();
    let sql = format!("UPDATE files SET generation = ?5 WHERE {} OR path = ?6", Below::SQL);
    tx.execute(&sql, params![a, b, c, d, generation, PathText::of(path).text])
}

/// How many files the last scan of the root found; zero if none was ever complete.
pub(crate) async fn expected(pool: &SqlitePool, root: &Root) -> Result<u64, SqliteError> {
    let mut reader = pool.read().operation("last scan").await?;
    let name = PathText::of(root.path()).text;
    let sql = "SELECT count(*) > 0 FROM scans WHERE root = ?1 AND finished IS NOT NULL";
    let scanned = reader.call(move |c| c.query_row(sql, [name], |row| row.get(0))).await?;
    drop(reader); // a pool of one has no second
    if scanned { rows(pool, root).await } else { Ok(0) }
}

/// How many rows are below the root.
pub(crate) async fn rows(pool: &SqlitePool, root: &Root) -> Result<u64, SqliteError> {
    let mut reader = pool.read().operation("count rows").await?;
    let below = root.below().clone();
    let sql = format!("SELECT count(*) FROM files WHERE {}", Below::SQL);
    let count = reader.call(move |c| c.query_row(&sql, below.bounds(), |row| row.get::<_, i64>(0)));
    Ok(count.await?.unsigned_abs()) // a count is not negative
}

#[cfg(test)]
mod tests {
    use pool_sqlite::rusqlite::Connection;

    use super::*;

    fn with_files(paths: &[&str]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        let tx = connection.transaction().unwrap();
        schema::set_up(&tx).unwrap();
        for path in paths {
            tx.execute(
                "INSERT INTO files (path, name, type, size, modified, generation)
                 VALUES (?1, '', 'other', 0, 0, 1)",
                [path],
            )
            .unwrap();
        }
        tx.commit().unwrap();
        connection
    }

    fn paths(connection: &Connection) -> Vec<String> {
        let mut query = connection.prepare("SELECT path FROM files ORDER BY path").unwrap();
        let paths = query.query_map([], |row| row.get(0)).unwrap();
        paths.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn what_is_older_goes_but_only_below_the_root_and_not_what_was_spared() {
        let mut connection = with_files(&[
            "/a/gone",
            "/a/locked",
            "/a/locked-2",
            "/a/locked/x",
            "/ab/other root",
            "bytes:/a/gone%FF",
            "bytes:/a/locked/%FF",
            "bytes:/ab/%FF",
        ]);
        let tx = connection.transaction().unwrap();
        assert_eq!(spare(&tx, Path::new("/a/locked"), 2).unwrap(), 3);
        assert_eq!(remove_older(&tx, &Below::folder(Path::new("/a")), 2).unwrap(), 3);
        tx.commit().unwrap();
        let left =
            ["/a/locked", "/a/locked/x", "/ab/other root", "bytes:/a/locked/%FF", "bytes:/ab/%FF"];
        assert_eq!(paths(&connection), left);
    }

    #[test]
    fn rows_below_a_folder_are_found_by_the_index() {
        let connection = with_files(&[]);
        let sql = format!("EXPLAIN QUERY PLAN DELETE FROM files WHERE {}", Below::SQL);
        let mut query = connection.prepare(&sql).unwrap();
        let plan = query.query_map(["", "", "", ""], |row| row.get::<_, String>(3)).unwrap();
        let plan = plan.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ");
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}
