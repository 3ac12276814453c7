//! Storing batches, through the connection that writes.

use std::sync::Arc;

use pool_sql::{Insert, Update, Value};
use tokio::time::Instant;

use crate::baseline;
use crate::database::{Database, DbError, PATIENCE, Place, Writer};
use crate::fault::{Fault, In};
use crate::prepare::Batch;
use crate::progress::Progress;
use crate::tally::Tally;

/// The writer's side of a scan.
#[derive(Debug)]
pub(crate) struct Store<'s> {
    pub(crate) database: &'s Database,
    pub(crate) place: &'s Place,
    pub(crate) generation: i64,
    pub(crate) upsert: Insert,
    pub(crate) seen: Update,
    /// One transaction for each file, for comparison.
    pub(crate) one_by_one: bool,
    pub(crate) tally: Arc<Tally>,
    pub(crate) progress: &'s Progress,
}

impl Store<'_> {
    /// Stores a batch: all of its new and changed files, or none.
    ///
    /// Storing it again changes nothing, so a batch that a lock was in the way of is tried again.
    ///
    /// # Errors
    /// The database's; or another program has kept it locked for too long.
    pub(crate) async fn store(&self, batch: &Batch) -> Result<(), Fault> {
        if self.one_by_one {
            baseline::store(self, batch).await?;
        } else {
            let writer = self.database.writer("store").await;
            let mut writer = writer.map_err(|error| In(self.place).fault(error))?;
            let begun = Instant::now();
            loop {
                match self.store_on(&mut writer, batch).await {
                    // Each attempt has waited for the lock already, as long as a statement does.
                    Err(error) if error.is_busy() && begun.elapsed() < PATIENCE => {}
                    done => break done.map_err(|error| In(self.place).fault(error))?,
                }
            }
            self.tally.in_database.add(begun.elapsed());
        }
        self.tally.files.add(batch.changed.len() + batch.unchanged.len());
        self.progress.stored(self.tally.files.read());
        Ok(())
    }

    async fn store_on(&self, writer: &mut Writer, batch: &Batch) -> Result<(), DbError> {
        match writer {
            Writer::Sqlite(writer) => self.write(&mut **writer, batch).await?,
            Writer::Postgres(writer) => self.write(&mut **writer, batch).await?,
            Writer::MySql(writer) => self.write(&mut **writer, batch).await?,
        }
        if batch.unreadable.is_empty() {
            return Ok(());
        }
        // What could not be looked at is taken to be still there.
        writer.spare(batch.unreadable.clone(), self.generation).await
    }

    /// The same for every database: what a batch is, the pools know.
    async fn write<C: pool_sql::Batch>(
        &self,
        writer: &mut C,
        batch: &Batch,
    ) -> Result<(), C::Error> {
        let before = self.tally.files.read();
        let rows = batch.changed.iter().map(|row| row.values(self.generation));
        let tell = |so_far: pool_sql::Progress| self.progress.stored(before + so_far.rows_done);
        writer.insert_many(&self.upsert, rows, tell).await?;

        let seen = batch.unchanged.iter().map(|id| [*id, self.generation].map(Value::from));
        writer.update_many(&self.seen, seen, |_| ()).await?;
        Ok(())
    }
}
