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
    begun: Instant,
    over: bool,
}

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(shared: Arc<Common>, operation: Option<&'static str>) -> Self {
        let watch = Self { shared, operation, begun: Instant::now(), over: false };
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
        self.over = true;
        let outcome = Outcome::new(self.begun.elapsed());
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
        if !self.over {
            self.tell(Some(ErrorCode::new("cancelled")));
        }
    }
}
