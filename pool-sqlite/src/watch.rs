//! The seam for tracing and metrics: what the observers are told of a statement.

use std::sync::Arc;

use pool_sql::{ErrorCode, Outcome, Statement};
use tokio::time::Instant;

use crate::common::Common;
use crate::error::SqliteError;

/// Tells the observers how a statement ended; dropped before, that it was cancelled.
pub(crate) struct Watch {
    shared: Arc<Common>,
    operation: Option<&'static str>,
    /// None if nobody looks.
    begun: Option<Instant>,
}

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(shared: Arc<Common>, operation: Option<&'static str>) -> Self {
        let begun = (!shared.observers.is_empty()).then(Instant::now);
        let watch = Self { shared, operation, begun };
        watch.shared.observers.started(&watch.statement());
        watch
    }

    /// The statement ended so. Names the database in its error.
    pub(crate) fn done<T>(mut self, done: Result<T, SqliteError>) -> Result<T, SqliteError> {
        let done = done.map_err(|error| error.of(&self.shared.database));
        self.tell(done.as_ref().err().map(SqliteError::observed));
        done
    }

    fn tell(&mut self, error: Option<ErrorCode>) {
        let Some(begun) = self.begun.take() else { return };
        let outcome = Outcome::new(begun.elapsed());
        let outcome = match error {
            Some(code) => outcome.with_error(code),
            None => outcome,
        };
        self.shared.observers.finished(&self.statement(), &outcome);
    }

    fn statement(&self) -> Statement<'static> {
        let statement = Statement::new("sqlite");
        match self.operation {
            Some(operation) => statement.with_operation(operation),
            None => statement,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(Some(ErrorCode::new("cancelled")));
    }
}
