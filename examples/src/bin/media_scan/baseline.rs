//! The comparison: each file stored by a statement of its own, in a transaction of its own.
//!
//! The statements are prepared once and run in place, without a hop to another thread, so that what
//! is compared is the batching alone.

use pool_sqlite::SqliteError;
use pool_sqlite::rusqlite::params;
use tokio::time::Instant;

use crate::fault::{Fault, In};
use crate::prepare::Batch;
use crate::schema::FileRow;
use crate::store::Store;

const UPSERT: &str = "
    INSERT INTO files
        (path, path_bytes, name, type, size, modified, created, hash, generation)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (path) DO UPDATE SET
        path_bytes = excluded.path_bytes, name = excluded.name, type = excluded.type,
        size = excluded.size, modified = excluded.modified, created = excluded.created,
        hash = excluded.hash, generation = excluded.generation";

const SEEN: &str = "UPDATE files SET generation = ?2 WHERE id = ?1";

/// Stores the files of a batch one by one.
///
/// # Errors
/// The database's; what was stored before stays.
pub(crate) async fn store(to: &Store<'_>, batch: &Batch) -> Result<(), Fault> {
    for row in &batch.changed {
        one(to, Write::Changed(row)).await?;
    }
    for id in &batch.unchanged {
        one(to, Write::Unchanged(*id)).await?;
    }
    if batch.unreadable.is_empty() {
        return Ok(());
    }
    let writer = to.pool.write().operation("spare").await;
    let mut writer = writer.map_err(|error| In(to.database).acquire(error))?;
    to.spare(&mut writer, batch).await.map_err(|error| In(to.database).fault(error))
}

#[derive(Clone, Copy)]
enum Write<'b> {
    Changed(&'b FileRow),
    Unchanged(i64),
}

/// Takes the connection for one file and gives it back: the pages want it too.
async fn one(to: &Store<'_>, write: Write<'_>) -> Result<(), Fault> {
    let writer = to.pool.write().operation("store one").await;
    let mut writer = writer.map_err(|error| In(to.database).acquire(error))?;
    let begun = Instant::now();
    let generation = to.generation;
    let done: Result<usize, SqliteError> = writer
        .inline(|c| match write {
            Write::Unchanged(id) => c.prepare_cached(SEEN)?.execute(params![id, generation]),
            Write::Changed(row) => c.prepare_cached(UPSERT)?.execute(params![
                row.path.text,
                row.path.bytes,
                row.name,
                row.kind.as_str(),
                row.stamp.size,
                row.stamp.modified,
                row.stamp.created,
                row.hash.map(u64::cast_signed),
                generation,
            ]),
        })
        .await;
    to.tally.in_database.add(begun.elapsed());
    done.map(drop).map_err(|error| In(to.database).fault(error))
}
