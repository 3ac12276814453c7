//! The seam for tracing and metrics: what the observers are told of a statement.

use pool_sql::Statement;

use crate::common::Common;
use crate::error::PgError;

/// Tells the observers how a statement ended.
pub(crate) struct Watch(pool_sql::Watch);

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(
        common: &Common,
        operation: Option<&'static str>,
        sql: Option<&str>,
    ) -> Self {
        let mut statement = Statement::new("postgresql");
        (statement.operation, statement.sql) = (operation, sql);
        Self(pool_sql::Watch::begin(&common.observers, statement))
    }

    /// The statement ended so.
    pub(crate) fn done<T>(self, done: Result<T, PgError>) -> Result<T, PgError> {
        self.0.end(done.as_ref().err().map(PgError::observed));
        done
    }
}
