//! The seam for tracing and metrics: what the observers are told of a statement, and of a
//! transaction that runs in one job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_sql::{Statement, TransactionEnd, TransactionWatch};

use crate::common::Common;
use crate::error::SqliteError;
use crate::open::Opened;

/// What the observers know this database by.
pub(crate) const BACKEND: &str = "sqlite";

/// Tells the observers how a statement ended.
pub(crate) struct Watch(pool_sql::Watch);

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(shared: &Common, operation: Option<&'static str>) -> Self {
        let mut statement = Statement::new(BACKEND);
        statement.operation = operation;
        Self(pool_sql::Watch::begin(&shared.observers, statement))
    }

    /// The statement ended so. Names the database in its error.
    pub(crate) fn done<T>(
        self,
        shared: &Common,
        done: Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let done = done.map_err(|error| error.of(&shared.database));
        self.0.end(done.as_ref().err().map(SqliteError::observed));
        done
    }
}

/// Tells the observers how a transaction ended that begins and ends on the connection's thread.
///
/// What became of it there, the counts of the connection's hooks say: after an error, whether it
/// was rolled back; where nobody waited, whether a commit had begun. For that, the job has to be
/// given up before this is dropped.
#[derive(Default)]
pub(crate) struct JobWatch(Option<Job>);

struct Job {
    watch: TransactionWatch,
    commits: Count,
    rollbacks: Count,
}

impl JobWatch {
    /// A transaction is about to begin.
    pub(crate) fn begin(shared: &Common, operation: Option<&'static str>, opened: &Opened) -> Self {
        if shared.observers.is_empty() {
            return Self(None);
        }
        let watch = TransactionWatch::begin(&shared.observers, BACKEND, operation);
        let (commits, rollbacks) = (Count::of(&opened.commits), Count::of(&opened.rollbacks));
        Self(Some(Job { watch, commits, rollbacks }))
    }

    /// It could not be begun.
    pub(crate) fn not_begun(mut self) {
        if let Some(Job { watch, .. }) = self.0.take() {
            watch.not_begun();
        }
    }

    /// It has ended: well, or not.
    pub(crate) fn end(mut self, well: bool) {
        let Some(Job { watch, rollbacks, .. }) = self.0.take() else { return };
        watch.end(match well {
            true => TransactionEnd::Committed,
            false if rollbacks.has_moved() => TransactionEnd::RolledBack,
            // Its thread is gone; or a statement ended it that had nothing to commit.
            false => TransactionEnd::Lost,
        });
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        if let Some(Job { watch, commits, .. }) = &mut self.0
            && commits.has_moved()
        {
            watch.in_doubt();
        }
    }
}

/// A count of a connection's, and where it stood.
struct Count(Arc<AtomicU64>, u64);

impl Count {
    fn of(count: &Arc<AtomicU64>) -> Self {
        Self(count.clone(), count.load(Ordering::SeqCst))
    }

    fn has_moved(&self) -> bool {
        self.0.load(Ordering::SeqCst) != self.1
    }
}
