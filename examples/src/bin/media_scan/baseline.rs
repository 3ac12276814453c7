//! The comparison: each file stored by a statement of its own, in a transaction of its own.
//!
//! The statements are prepared once. With SQLite each runs on the connection's thread, as a commit
//! writes to the disk. So what a batch is compared with is the commit *and* the hop of each file; on a
//! busy machine the hop is the larger part. With a server it is the commit and a round trip.

use pool_sqlite::rusqlite::{self, Connection, params};
use tokio::time::Instant;

use crate::database::{DbError, Writer};
use crate::fault::{Fault, In};
use crate::prepare::Batch;
use crate::schema::FileRow;
use crate::store::Store;
use crate::{mysql, postgres};

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
        one(to, Write::Changed(row.clone())).await?;
    }
    for id in &batch.unchanged {
        one(to, Write::Unchanged(*id)).await?;
    }
    if batch.unreadable.is_empty() {
        return Ok(());
    }
    let spared = async {
        let mut writer = to.database.writer("spare").await?;
        writer.spare(batch.unreadable.clone(), to.generation).await
    };
    spared.await.map_err(|error| In(to.place).fault(error))
}

/// What is known of one file.
pub(crate) enum Write {
    Changed(FileRow),
    Unchanged(i64),
}

/// Takes the connection for one file and gives it back: the pages want it too.
async fn one(to: &Store<'_>, write: Write) -> Result<(), Fault> {
    let writer = to.database.writer("store one").await;
    let mut writer = writer.map_err(|error| In(to.place).fault(error))?;
    let generation = to.generation;
    let begun = Instant::now();
    let done: Result<_, DbError> = match &mut writer {
        Writer::Sqlite(c) => {
            c.call(move |c| write.run(c, generation)).await.map(drop).map_err(DbError::from)
        }
        Writer::Postgres(c) => {
            postgres::store_one(c, &write, generation).await.map(drop).map_err(DbError::from)
        }
        Writer::MySql(c) => mysql::store_one(c, &write, generation).await.map_err(DbError::from),
    };
    to.tally.in_database.add(begun.elapsed());
    done.map_err(|error| In(to.place).fault(error))
}

impl Write {
    fn run(&self, c: &Connection, generation: i64) -> rusqlite::Result<usize> {
        match self {
            Self::Unchanged(id) => c.prepare_cached(SEEN)?.execute(params![id, generation]),
            Self::Changed(row) => c.prepare_cached(UPSERT)?.execute(params![
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
        }
    }
}
