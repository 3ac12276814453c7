//! The seam for tracing and metrics: what the observers are told of a statement.

use std::sync::Arc;

use pool_sql::{ErrorCode, Outcome, Statement};
use tokio::time::Instant;

use crate::common::Common;
use crate::error::PgError;

/// Tells the observers how a statement ended; dropped before, that it was cancelled. Nothing if
/// nobody looks.
pub(crate) struct Watch(Option<Begun>);

struct Begun {
    common: Arc<Common>,
    operation: Option<&'static str>,
    sql: Option<Box<str>>,
    at: Instant,
}

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(
        common: &Arc<Common>,
        operation: Option<&'static str>,
        sql: Option<&str>,
    ) -> Self {
        if common.observers.is_empty() {
            return Self(None);
        }
        let (common, sql) = (common.clone(), sql.map(Box::from));
        let begun = Begun { common, operation, sql, at: Instant::now() };
        begun.common.observers.started(&begun.statement());
        Self(Some(begun))
    }

    /// The statement ended so.
    pub(crate) fn done<T>(mut self, done: Result<T, PgError>) -> Result<T, PgError> {
        self.tell(done.as_ref().err().map(PgError::observed));
        done
    }

    fn tell(&mut self, error: Option<ErrorCode>) {
        let Some(begun) = self.0.take() else { return };
        let outcome = Outcome::new(begun.at.elapsed());
        let outcome = match error {
            Some(code) => outcome.with_error(code),
            None => outcome,
        };
        begun.common.observers.finished(&begun.statement(), &outcome);
    }
}

impl Begun {
    fn statement(&self) -> Statement<'_> {
        let mut statement = Statement::new("postgresql");
        if let Some(operation) = self.operation {
            statement = statement.with_operation(operation);
        }
        match &self.sql {
            Some(sql) => statement.with_sql(sql),
            None => statement,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(Some(ErrorCode::new("cancelled")));
    }
}
