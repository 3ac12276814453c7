//! The seam for tracing and metrics: what the observers are told of statements and transactions.

use pool_sql::{Statement, TransactionEnd, TransactionWatch};

use crate::common::Common;
use crate::error::{PgError, PgErrorKind};
use crate::session::Session;
use crate::wire::Transaction;

const BACKEND: &str = "postgresql";

/// Tells the observers how a statement ended.
pub(crate) struct Watch(pool_sql::Watch);

impl Watch {
    /// A statement begins.
    pub(crate) fn begin(
        common: &Common,
        operation: Option<&'static str>,
        sql: Option<&str>,
    ) -> Self {
        let mut statement = Statement::new(BACKEND);
        (statement.operation, statement.sql) = (operation, sql);
        Self(pool_sql::Watch::begin(&common.observers, statement))
    }

    /// The statement ended so.
    pub(crate) fn done<T>(self, done: Result<T, PgError>) -> Result<T, PgError> {
        self.0.end(done.as_ref().err().map(PgError::observed));
        done
    }
}

/// A transaction is about to begin.
pub(crate) fn transaction(session: &Session) -> TransactionWatch {
    let operation = session.activity.operation();
    TransactionWatch::begin(&session.common.observers, BACKEND, operation)
}

/// A transaction is left as it is, and what is sent for it, if anything, is a `ROLLBACK`.
pub(crate) fn left(watch: &mut TransactionWatch, session: &Session) {
    if session.is_lost() || session.wire.transaction() == Transaction::None {
        watch.in_doubt(); // a statement ended it, where the wire says that there is none
    }
}

/// What was sent to end a transaction has come to this; a commit, unless it `rolls_back`.
pub(crate) fn ended(
    watch: TransactionWatch,
    session: &Session,
    done: Result<(), &PgError>,
    rolls_back: bool,
) {
    let is_refused = |error: &PgError| {
        error.db().is_some() && error.kind() != PgErrorKind::Disconnected && !session.is_lost()
    };
    watch.end(match done {
        Ok(()) if !rolls_back => TransactionEnd::Committed,
        Ok(()) => TransactionEnd::RolledBack,
        Err(error) if is_refused(error) => TransactionEnd::RolledBack,
        Err(_) => TransactionEnd::Lost,
    });
}
