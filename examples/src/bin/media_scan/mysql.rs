//! What a scan says to MySQL and MariaDB: the tables, the generations, and one file at a time.
//!
//! The columns and what is in them are those of [`crate::schema`].

use std::path::PathBuf;
use std::time::SystemTime;

use pool_mysql::{MySqlConnection, MySqlError, MySqlGuard, MySqlPool};

use crate::baseline::Write;
use crate::path_text::{Below, PathText};
use crate::root::Root;
use crate::stamp::micros;

/// Tells our tables from those of other programs.
const MARK: &str = "media_scan 1";
/// The lock that one scan at a time has. Its name is the whole server's, in any case, and short.
const LOCK: &str =
    "SELECT GET_LOCK(CONCAT('media_scan ', LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 40)), 0)";
/// The session that has the lock says nothing all the while. In seconds; more no server takes that
/// runs on Windows.
const STAY: &str = "SET SESSION wait_timeout = 2147483";

/// Paths are compared byte by byte, with the spaces at their end, so that what is below a folder is a
/// range. One is too long for an index: what is unique is its hash, and what is indexed its beginning.
fn tables(is_mariadb: bool) -> [String; 2] {
    // The collation `utf8mb4_bin` ignores spaces at the end.
    let bytewise = if is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
    let options = format!(
        "ENGINE = InnoDB, DEFAULT CHARACTER SET utf8mb4 COLLATE {bytewise}, COMMENT = '{MARK}'"
    );
    [
        format!(
            "CREATE TABLE IF NOT EXISTS scans (
                generation bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                root       text NOT NULL,
                started    bigint NOT NULL,
                finished   bigint
            ) {options}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS files (
                id         bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                path       text NOT NULL,
                path_hash  binary(32) AS (unhex(sha2(path, 256))) STORED UNIQUE,
                path_bytes blob,
                name       text COLLATE utf8mb4_general_ci NOT NULL,
                type       varchar(16) NOT NULL,
                size       bigint NOT NULL,
                modified   bigint NOT NULL,
                created    bigint,
                hash       bigint,
                generation bigint NOT NULL,
                INDEX files_by_path (path(255)),
                INDEX files_by_name (name(100)),
                INDEX files_by_type (type, size),
                INDEX files_by_age (modified)
            ) {options}"
        ),
    ]
}

const UPSERT: &str = "
    INSERT INTO files
        (path, path_bytes, name, type, size, modified, created, hash, generation)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE
        path_bytes = VALUES(path_bytes), name = VALUES(name), type = VALUES(type),
        size = VALUES(size), modified = VALUES(modified), created = VALUES(created),
        hash = VALUES(hash), generation = VALUES(generation)";

/// The session that has the lock, as long as it is held. None if another scan has it.
pub(crate) async fn only_scan(pool: &MySqlPool) -> Result<Option<MySqlGuard>, MySqlError> {
    let mut guard = pool.acquire().operation("only scan").await?;
    guard.query_drop(STAY).await?;
    let is_taken: Option<Option<bool>> = guard.query_first(LOCK).await?;
    Ok((is_taken.flatten() == Some(true)).then_some(guard))
}

/// Begins a scan; makes the tables if need be. None if the tables are another program's.
pub(crate) async fn begin(pool: &MySqlPool, root: &Root) -> Result<Option<i64>, MySqlError> {
    let mut writer = pool.acquire().operation("begin").await?;
    if !set_up(&mut writer).await? {
        return Ok(None);
    }
    let (name, now) = (PathText::of(root.path()).text, micros(SystemTime::now()));
    writer.exec_drop("INSERT INTO scans (root, started) VALUES (?, ?)", (name, now)).await?;
    Ok(writer.last_insert_id().map(u64::cast_signed)) // there is one
}

/// Makes the tables where there are none yet. Says whether they are ours.
///
/// It cannot be one transaction. So each is made with all that belongs to it, and may be there
/// already: by a scan that was cut short, or by another one just now.
async fn set_up(writer: &mut MySqlConnection) -> Result<bool, MySqlError> {
    let sql = "SELECT table_comment FROM information_schema.tables
               WHERE table_schema = DATABASE() AND table_name IN ('files', 'scans')";
    let marks: Vec<String> = writer.query(sql).await?;
    if marks.iter().any(|mark| mark != MARK) {
        return Ok(false);
    }
    if marks.len() < 2 {
        for table in tables(writer.server().is_mariadb) {
            writer.query_drop(table).await?;
        }
    }
    Ok(true)
}

/// Ends a scan whose walk was complete: removes the rows of what is gone, and says how many.
pub(crate) async fn finish(
    pool: &MySqlPool,
    root: &Root,
    generation: i64,
) -> Result<usize, MySqlError> {
    let mut writer = pool.acquire().operation("finish").await?;
    let mut tx = writer.transaction().await?;
    let [a, b, c, d] = root.below().bounds();
    let sql = format!("DELETE FROM files WHERE {} AND generation < ?", below());
    tx.exec_drop(sql, (a, b, c, d, generation)).await?;
    let removed = tx.affected_rows();
    let (name, now) = (PathText::of(root.path()).text, micros(SystemTime::now()));
    let sql = "UPDATE scans SET finished = ? WHERE generation = ?";
    tx.exec_drop(sql, (now, generation)).await?;
    let sql = "DELETE FROM scans WHERE root = ? AND generation < ?";
    tx.exec_drop(sql, (name, generation)).await?;
    tx.commit().await?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Counts paths, and all that is below them, as seen.
pub(crate) async fn spare_all(
    writer: &mut MySqlConnection,
    paths: &[PathBuf],
    generation: i64,
) -> Result<(), MySqlError> {
    let mut tx = writer.transaction().await?;
    let sql = format!("UPDATE files SET generation = ? WHERE {} OR path = ?", below());
    for path in paths {
        let (below, path) = (Below::folder(path), PathText::of(path).text);
        let [a, b, c, d] = below.bounds();
        tx.exec_drop(&sql, (generation, a, b, c, d, path)).await?;
    }
    tx.commit().await
}

/// How many files the last scan of the root found; zero if none was ever complete.
pub(crate) async fn expected(pool: &MySqlPool, root: &Root) -> Result<u64, MySqlError> {
    let mut reader = pool.acquire().operation("last scan").await?;
    let name = PathText::of(root.path()).text;
    let sql = "SELECT generation FROM scans WHERE root = ? AND finished IS NOT NULL LIMIT 1";
    let scanned: Option<i64> = reader.exec_first(sql, (name,)).await?;
    drop(reader); // a pool of one has no second
    if scanned.is_some() { rows(pool, root).await } else { Ok(0) }
}

/// How many rows are below the root.
pub(crate) async fn rows(pool: &MySqlPool, root: &Root) -> Result<u64, MySqlError> {
    let mut reader = pool.acquire().operation("count rows").await?;
    let [a, b, c, d] = root.below().bounds();
    let sql = format!("SELECT count(*) FROM files WHERE {}", below());
    let count = reader.exec_first(sql, (a, b, c, d)).await?;
    Ok(count.unwrap_or_default()) // it is one row
}

/// Stores what is known of one file, in a transaction of its own.
pub(crate) async fn store_one(
    writer: &mut MySqlConnection,
    write: &Write,
    generation: i64,
) -> Result<(), MySqlError> {
    match write {
        Write::Unchanged(id) => {
            let sql = "UPDATE files SET generation = ? WHERE id = ?";
            writer.exec_drop(sql, (generation, id)).await
        }
        Write::Changed(row) => {
            let (path, stamp) = (&row.path, &row.stamp);
            let values = (
                &path.text,
                &path.bytes,
                &row.name,
                row.kind.as_str(),
                stamp.size,
                stamp.modified,
                stamp.created,
                row.hash.map(u64::cast_signed),
                generation,
            );
            writer.exec_drop(UPSERT, values).await
        }
    }
}

/// The condition of [`Below`], for a statement that binds its bounds one after the other.
fn below() -> String {
    Below::SQL.replace(|c: char| c.is_ascii_digit(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_no_numbers() {
        assert_eq!(below(), "(path >= ? AND path < ? OR path >= ? AND path < ?)");
    }
}
