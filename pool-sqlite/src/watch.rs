//! The seam for tracing and metrics: what the observers are told of a statement.

use pool_sql::Statement;

use crate::common::Common;
use crate::error::SqliteError;

/// Tells the observers how a statement ended.
pub(crate) struct Watch(pool_sql::Watch);

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(shared: &Common, operation: Option<&'static str>) -> Self {
        let mut statement = Statement::new("sqlite");
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
