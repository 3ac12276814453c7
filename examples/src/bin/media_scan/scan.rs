//! A scan from beginning to end: the walk, the preparers, the writer and the page, side by side.
//!
//! ```text
//! walk (threads) --files--> preparers (look up, read) --batches--> writer
//!                bounded                               bounded
//! ```
//!
//! Each stage waits for the next, so memory does not grow with the collection. When the writer or a
//! preparer fails, its channel closes and the stages before it end. On Ctrl-C the preparers take no
//! more files; what they have in hand is stored.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use pool_metrics::Monitor;
use pool_sql::PlanError;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::args::Args;
use crate::database::{Database, Place};
use crate::fault::{Fault, In};
use crate::page::{self, Summary};
use crate::prepare::{Batch, Preparer};
use crate::progress::Progress;
use crate::report::Report;
use crate::root::Root;
use crate::schema;
use crate::stop::Stop;
use crate::store::Store;
use crate::tally::Tally;
use crate::walk::Walk;

/// Batches that may wait for the writer.
const READY: usize = 2;
/// How long closing may take: folding the log into the database is most of it.
const CLOSING: Duration = Duration::from_secs(30);

/// A scan about to begin.
#[derive(Debug)]
pub(crate) struct Scan<'s> {
    pub(crate) args: &'s Args,
    pub(crate) root: Root,
    pub(crate) place: &'s Place,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
}

impl Scan<'_> {
    /// Opens the pool.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn open(&self, monitor: Option<&Monitor>) -> Result<Database, Fault> {
        let database = Database::open(self.place, self.args, monitor).await;
        database.map_err(|error| In(self.place).fault(error))
    }

    /// Closes it, which is to be done in any case.
    ///
    /// # Errors
    /// It does not close.
    pub(crate) async fn close(&self, database: &Database) -> Result<(), Fault> {
        if database.close(CLOSING).await {
            return Ok(());
        }
        let (seconds, at) = (CLOSING.as_secs(), In(self.place));
        Err(at.sentence(format!(
            "could not be closed within {seconds} s: all is stored, but check the disk"
        )))
    }

    /// Scans, and reports.
    ///
    /// # Errors
    /// The database's. What was stored before is complete, and nothing was removed.
    pub(crate) async fn run_on(&self, database: &Database) -> Result<Report, Fault> {
        let _only = database.only_scan(self.place).await?;
        let at = In(self.place);
        let begun = Instant::now();
        let generation = database.begin(&self.root).await.map_err(|e| at.fault(e))?;
        let generation = generation.ok_or_else(|| {
            at.sentence("is another program's, or a newer version's: choose another with --db")
        })?;
        let expected = database.expected(&self.root).await.map_err(|e| at.fault(e))?;
        let progress = Progress::new(expected);

        let left = Stop::new();
        let page = tokio::spawn(page::visit(database.clone(), left.clone()));
        let stored = self.store_all(database, generation, &progress).await;
        let finished = match stored {
            Ok(true) => self.remove_gone(database, generation).await,
            Ok(false) => Ok(()),
            Err(fault) => Err(fault),
        };
        left.interrupt();
        let visits = page.await.map_err(|error| Fault::of_task(&error))?;
        finished?;
        let rows = database.rows(&self.root).await.map_err(|e| at.fault(e))?;
        drop(progress);
        Ok(self.report(rows, begun.elapsed(), visits.summary(), database))
    }

    /// Brings every file into the table. Says whether the walk was complete and all of it stored.
    async fn store_all(
        &self,
        database: &Database,
        generation: i64,
        progress: &Progress,
    ) -> Result<bool, Fault> {
        let size = usize::from(self.args.batch);
        let (found_sender, found) = mpsc::channel(size);
        let (ready, mut batches) = mpsc::channel::<Batch>(READY);

        let walk = Walk {
            root: self.root.path().to_owned(),
            except: self.place.own_files(),
            tally: self.tally.clone(),
            stop: self.stop.clone(),
        };
        let walk = spawn_blocking(move || walk.run(&found_sender));
        let preparer = Preparer {
            database: database.clone(),
            place: Arc::new(self.place.clone()),
            known: self.plan(schema::known())?,
            batch: size,
            tally: self.tally.clone(),
            stop: self.stop.clone(),
        };
        let found = Arc::new(Mutex::new(found));
        let mut preparers = JoinSet::new();
        for _ in 0..available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)) {
            preparers.spawn(preparer.clone().run(found.clone(), ready.clone()));
        }
        drop((ready, found)); // theirs alone: with the last of them the channels close
        let store = Store {
            database,
            place: self.place,
            generation,
            upsert: self.plan(schema::upsert())?,
            seen: self.plan(schema::seen())?,
            one_by_one: self.args.baseline,
            tally: self.tally.clone(),
            progress,
        };
        let mut outcome = Ok(());
        while let Some(batch) = batches.recv().await {
            outcome = store.store(&batch).await;
            if outcome.is_err() {
                self.stop.fail();
                break;
            }
        }
        drop(batches);
        while let Some(ended) = preparers.join_next().await {
            let ended = ended.map_err(|error| Fault::of_task(&error));
            outcome = outcome.and_then(|()| ended.and_then(|ended| ended));
        }
        let complete = walk.await.map_err(|error| Fault::of_task(&error))?;
        outcome.map(|()| complete && !self.stop.is_set())
    }

    async fn remove_gone(&self, database: &Database, generation: i64) -> Result<(), Fault> {
        let begun = Instant::now();
        let removed = database.finish(&self.root, generation).await;
        self.tally.in_database.add(begun.elapsed());
        self.tally.removed.add(removed.map_err(|error| In(self.place).fault(error))?);
        Ok(())
    }

    fn report(&self, rows: u64, took: Duration, queries: Summary, database: &Database) -> Report {
        let interrupted = self.stop.is_interrupted();
        let pool = database.snapshot();
        Report::new(&self.tally, rows, took, queries, pool, interrupted, self.place)
    }

    fn plan<T>(&self, plan: Result<T, PlanError>) -> Result<T, Fault> {
        plan.map_err(|error| Fault::new(error.to_string()))
    }
}
