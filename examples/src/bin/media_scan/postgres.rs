//! What a scan says to PostgreSQL: the tables, the generations, and one file at a time.
//!
//! The columns and what is in them are those of [`crate::schema`].

use std::path::PathBuf;
use std::time::SystemTime;

use pool_postgres::{PgConnection, PgError, PgGuard, PgPool, PgTransaction};

use crate::baseline::Write;
use crate::path_text::{Below, PathText};
use crate::root::Root;
use crate::stamp::micros;

/// Tells our tables from those of other programs.
const MARK: &str = "media_scan 1";
/// "MdSc": the key of the lock that one scan at a time has.
const LOCK: i64 = 0x4d64_5363;

/// Paths are compared byte by byte, so that what is below a folder is a range.
const TABLES: &str = "
    CREATE TABLE scans (
        generation int8 PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        root       text NOT NULL,
        started    int8 NOT NULL,
        finished   int8
    );
    CREATE TABLE files (
        id         int8 PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        path       text COLLATE \"C\" NOT NULL UNIQUE,
        path_bytes bytea,
        name       text NOT NULL,
        type       text NOT NULL,
        size       int8 NOT NULL,
        modified   int8 NOT NULL,
        created    int8,
        hash       int8,
        generation int8 NOT NULL
    );
    CREATE INDEX files_by_name ON files ((lower(name) COLLATE \"C\"));
    CREATE INDEX files_by_type ON files (type, size);
    CREATE INDEX files_by_age ON files (modified);
    COMMENT ON TABLE files IS 'media_scan 1';
";

const UPSERT: &str = "
    INSERT INTO files
        (path, path_bytes, name, type, size, modified, created, hash, generation)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (path) DO UPDATE SET
        path_bytes = excluded.path_bytes, name = excluded.name, type = excluded.type,
        size = excluded.size, modified = excluded.modified, created = excluded.created,
        hash = excluded.hash, generation = excluded.generation";

/// The session that has the lock, as long as it is held. None if another scan has it.
pub(crate) async fn only_scan(pool: &PgPool) -> Result<Option<PgGuard>, PgError> {
    let guard = pool.acquire().operation("only scan").await?;
    let row = guard.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?;
    let is_taken: bool = row.try_get(0)?;
    Ok(is_taken.then_some(guard))
}

/// Begins a scan; makes the tables if need be. None if the tables are another program's.
pub(crate) async fn begin(pool: &PgPool, root: &Root) -> Result<Option<i64>, PgError> {
    let mut writer = pool.acquire().operation("begin").await?;
    let tx = writer.transaction().await?;
    if !set_up(&tx).await? {
        return Ok(None);
    }
    let (name, now) = (PathText::of(root.path()).text, micros(SystemTime::now()));
    let sql = "INSERT INTO scans (root, started) VALUES ($1, $2) RETURNING generation";
    let generation = tx.query_one(sql, &[&name, &now]).await?.try_get(0)?;
    tx.commit().await?;
    Ok(Some(generation))
}

/// Makes the tables where there are none yet. Says whether they are ours.
async fn set_up(tx: &PgTransaction<'_>) -> Result<bool, PgError> {
    let sql = "SELECT to_regclass('files') IS NULL AND to_regclass('scans') IS NULL,
               coalesce(obj_description(to_regclass('files'), 'pg_class'), '')";
    let row = tx.query_one(sql, &[]).await?;
    if row.try_get(0)? {
        tx.batch_execute(TABLES).await?;
        return Ok(true);
    }
    Ok(row.try_get::<_, &str>(1)? == MARK)
}

/// Ends a scan whose walk was complete: removes the rows of what is gone, and says how many.
pub(crate) async fn finish(pool: &PgPool, root: &Root, generation: i64) -> Result<usize, PgError> {
    let mut writer = pool.acquire().operation("finish").await?;
    let tx = writer.transaction().await?;
    let [a, b, c, d] = root.below().bounds();
    let sql = format!("DELETE FROM files WHERE {} AND generation < $5", below());
    let removed = tx.execute(&sql, &[&a, &b, &c, &d, &generation]).await?;
    let (name, now) = (PathText::of(root.path()).text, micros(SystemTime::now()));
    let sql = "UPDATE scans SET finished = $2 WHERE generation = $1";
    tx.execute(sql, &[&generation, &now]).await?;
    let sql = "DELETE FROM scans WHERE root = $1 AND generation < $2";
    tx.execute(sql, &[&name, &generation]).await?;
    tx.commit().await?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Counts paths, and all that is below them, as seen.
pub(crate) async fn spare_all(
    writer: &mut PgConnection,
    paths: &[PathBuf],
    generation: i64,
) -> Result<(), PgError> {
    let tx = writer.transaction().await?;
    let sql = format!("UPDATE files SET generation = $5 WHERE {} OR path = $6", below());
    for path in paths {
        let (below, path) = (Below::folder(path), PathText::of(path).text);
        let [a, b, c, d] = below.bounds();
        tx.execute(&sql, &[&a, &b, &c, &d, &generation, &path]).await?;
    }
    tx.commit().await
}

/// How many files the last scan of the root found; zero if none was ever complete.
pub(crate) async fn expected(pool: &PgPool, root: &Root) -> Result<u64, PgError> {
    let reader = pool.acquire().operation("last scan").await?;
    let name = PathText::of(root.path()).text;
    let sql = "SELECT count(*) > 0 FROM scans WHERE root = $1 AND finished IS NOT NULL";
    let scanned: bool = reader.query_one(sql, &[&name]).await?.try_get(0)?;
    drop(reader); // a pool of one has no second
    if scanned { rows(pool, root).await } else { Ok(0) }
}

/// How many rows are below the root.
pub(crate) async fn rows(pool: &PgPool, root: &Root) -> Result<u64, PgError> {
    let reader = pool.acquire().operation("count rows").await?;
    let [a, b, c, d] = root.below().bounds();
    let sql = format!("SELECT count(*) FROM files WHERE {}", below());
    let count: i64 = reader.query_one(&sql, &[&a, &b, &c, &d]).await?.try_get(0)?;
    Ok(count.unsigned_abs()) // a count is not negative
}

/// Stores what is known of one file, in a transaction of its own.
pub(crate) async fn store_one(
    writer: &PgConnection,
    write: &Write,
    generation: i64,
) -> Result<usize, PgError> {
    let done = match write {
        Write::Unchanged(id) => {
            let sql = "UPDATE files SET generation = $2 WHERE id = $1";
            writer.execute(sql, &[id, &generation]).await?
        }
        Write::Changed(row) => {
            let (path, kind, stamp) = (&row.path, row.kind.as_str(), &row.stamp);
            let hash = row.hash.map(u64::cast_signed);
            let (size, modified, created) = (&stamp.size, &stamp.modified, &stamp.created);
            writer
                .execute(
                    UPSERT,
                    &[
                        &path.text,
                        &path.bytes,
                        &row.name,
                        &kind,
                        size,
                        modified,
                        created,
                        &hash,
                        &generation,
                    ],
                )
                .await?
        }
    };
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}

/// The condition of [`Below`], for a statement that binds its bounds from `$1` on.
fn below() -> String {
    Below::SQL.replace('?', "$")
}
