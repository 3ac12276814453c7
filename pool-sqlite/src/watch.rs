//! The seam for tracing and metrics: what the observers are told of a statement.

use std::sync::Arc;

use pool_sql::{ErrorCode, Outcome, Statement};
use tokio::time::Instant;

use crate::common::Common;
use crate::error::SqliteError;

/// Tells the observers how a statement ended; dropped before, that it was cancelled. Nothing if
/// nobody looks.
pub(crate) struct Watch(Option<Begun>);

struct Begun {
    shared: Arc<Common>,
    operation: Option<&'static str>,
    at: Instant,
}

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(shared: &Arc<Common>, operation: Option<&'static str>) -> Self {
        if shared.observers.is_empty() {
            return Self(None);
        }
        let begun = Begun { shared: shared.clone(), operation, at: Instant::now() };
        begun.shared.observers.started(&begun.statement());
        Self(Some(begun))
    }

    /// The statement ended so. Names the database in its error.
    pub(crate) fn done<T>(
        mut self,
        shared: &Common,
        done: Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let done = done.map_err(|error| error.of(&shared.database));
        self.tell(done.as_ref().err().map(SqliteError::observed));
        done
    }

    fn tell(&mut self, error: Option<ErrorCode>) {
        let Some(begun) = self.0.take() else { return };
        let outcome = Outcome::new(begun.at.elapsed());
        let outcome = match error {
            Some(code) => outcome.with_error(code),
            None => outcome,
        };
        begun.shared.observers.finished(&begun.statement(), &outcome);
    }
}

impl Begun {
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
