//! The seam for tracing, metrics and slow-query logs: who wants to know sees every statement go by.
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::transactions::TransactionEnded;

/// Is told when a statement starts and finishes, and how a transaction ended. Each method does
/// nothing unless written.
///
/// They run on the statement's path: they should be quick and not block. A panic in one is caught
/// and goes no further.
///
/// # Where they are called
///
/// In the caller's task: while his future is polled, or where it, or the transaction, is dropped.
/// So they find what is current there, such as the span of a trace; also on SQLite, whose
/// statements run on threads of the pool. What the pool does for itself is nobody's statement; where
/// it is told all the same (a ping, a hook that sets a connection up), that is in a task of the
/// pool.
///
/// ```
/// use pool_sql::{Observers, Outcome, Statement, StatementObserver};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// struct Slow;
/// impl StatementObserver for Slow {
///     fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
///         if outcome.took > Duration::from_millis(100) {
///             eprintln!("{:?} took {:?}", statement.operation, outcome.took);
///         }
///     }
/// }
///
/// let observers = Observers::default().with(Arc::new(Slow));
/// let statement = Statement::new("sqlite").with_operation("list_plots").with_sql("SELECT 1");
/// observers.started(&statement);
/// observers.finished(&statement, &Outcome::new(Duration::from_millis(250)).with_rows(1));
/// ```
pub trait StatementObserver: Send + Sync + 'static {
    /// A statement is about to be sent.
    fn started(&self, statement: &Statement<'_>) {
        let _ = statement;
    }

    /// A statement has been answered, or has failed, or was given up.
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let _ = (statement, outcome);
    }

    /// A transaction has ended: its commit or its rollback was answered, or its handle or its
    /// future was dropped. What a drop leaves open is rolled back after this.
    ///
    /// Told once for each that was begun by a method of a connection (a batch begins one too), and
    /// for each attempt of one that is run again. Not of savepoints, not where `BEGIN` failed, and
    /// not of those that begin and end by statements.
    ///
    /// ```
    /// use pool_sql::{StatementObserver, TransactionEnd, TransactionEnded};
    ///
    /// struct Kept;
    /// impl StatementObserver for Kept {
    ///     fn transaction_ended(&self, transaction: &TransactionEnded) {
    ///         if transaction.end != TransactionEnd::Committed {
    ///             eprintln!("{:?}: {}", transaction.operation, transaction.end);
    ///         }
    ///     }
    /// }
    /// ```
    fn transaction_ended(&self, transaction: &TransactionEnded) {
        let _ = transaction;
    }
}

/// A statement on its way. Its values are not here: they are nobody's business but the database's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement<'a> {
    /// Which database: `"sqlite"`, `"postgresql"`, `"mysql"`.
    pub backend: &'static str,
    /// What the application calls it.
    pub operation: Option<&'static str>,
    /// The text with its placeholders, where the backend knows it.
    pub sql: Option<&'a str>,
}

impl<'a> Statement<'a> {
    /// A statement for a database, nothing else known.
    pub fn new(backend: &'static str) -> Self {
        Self { backend, operation: None, sql: None }
    }

    /// With what the application calls it.
    #[must_use]
    pub fn with_operation(self, operation: &'static str) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// With its text.
    #[must_use]
    pub fn with_sql(self, sql: &'a str) -> Self {
        Self { sql: Some(sql), ..self }
    }
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// From start to finish.
    pub took: Duration,
    /// Rows returned or changed, where known.
    pub rows: Option<u64>,
    /// The error's code, if it failed.
    pub error: Option<ErrorCode>,
}

impl Outcome {
    /// A success; how many rows is not known.
    pub fn new(took: Duration) -> Self {
        Self { took, rows: None, error: None }
    }

    /// With the rows returned or changed.
    #[must_use]
    pub fn with_rows(self, rows: u64) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// As a failure.
    #[must_use]
    pub fn with_error(self, code: ErrorCode) -> Self {
        Self { error: Some(code), ..self }
    }
}

/// A database's error code: `23505`, `SQLITE_BUSY`, `1062`. Never a message, which may quote values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(Cow<'static, str>);

impl ErrorCode {
    /// Takes a code: up to 48 ASCII letters, digits, `_`, `-`, `.`. Anything else would be a message
    /// and becomes `other`.
    ///
    /// ```
    /// use pool_sql::ErrorCode;
    ///
    /// assert_eq!(ErrorCode::new("23505").as_str(), "23505");
    /// assert_eq!(ErrorCode::new("duplicate key (bob@example.org)").as_str(), "other");
    /// ```
    pub fn new(code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if (1..=48).contains(&code.len()) && code.bytes().all(plain) {
            Self(code)
        } else {
            Self("other".into())
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The observers of a pool, called in the order they were added; cheap to clone.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Arc<dyn StatementObserver>]>);

impl Observers {
    /// One observer more.
    #[must_use]
    pub fn with(self, observer: Arc<dyn StatementObserver>) -> Self {
        Self(self.0.iter().cloned().chain([observer]).collect())
    }

    /// Whether nobody looks; then a backend need not take the time.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells every observer that a statement starts.
    pub fn started(&self, statement: &Statement<'_>) {
        self.each(|observer| observer.started(statement));
    }

    /// Tells every observer how a statement ended.
    pub fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        self.each(|observer| observer.finished(statement, outcome));
    }

    /// Tells every observer how a transaction ended.
    pub fn transaction_ended(&self, transaction: &TransactionEnded) {
        self.each(|observer| observer.transaction_ended(transaction));
    }

    fn each(&self, tell: impl Fn(&dyn StatementObserver)) {
        for observer in &*self.0 {
            // Whatever state a panicking observer is left in is its own; we keep none of it.
            let _ = catch_unwind(AssertUnwindSafe(|| tell(&**observer)));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers[{}]", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl StatementObserver for Log {
        fn started(&self, statement: &Statement<'_>) {
            self.0.lock().unwrap().push(format!("start {}", statement.sql.unwrap_or("?")));
        }

        fn finished(&self, _: &Statement<'_>, outcome: &Outcome) {
            let error = outcome.error.as_ref().map_or("ok", ErrorCode::as_str);
            self.0.lock().unwrap().push(error.to_owned());
        }
    }

    struct Panics;

    impl StatementObserver for Panics {
        fn started(&self, _: &Statement<'_>) {
            panic!("an observer of the application's (expected in this test)");
        }
    }

    #[test]
    fn a_panicking_observer_stops_nobody() {
        let log = Arc::new(Log::default());
        let observers = Observers::default().with(Arc::new(Panics)).with(log.clone());
        assert!(!observers.is_empty() && Observers::default().is_empty());

        let statement = Statement::new("mysql").with_sql("SELECT ?");
        observers.started(&statement);
        let failed = Outcome::new(Duration::ZERO).with_error(ErrorCode::new("1062"));
        observers.clone().finished(&statement, &failed);
        assert_eq!(*log.0.lock().unwrap(), ["start SELECT ?", "1062"]);
    }

    #[test]
    fn a_message_is_no_code() {
        for message in ["", "no such table: x", "é", &"x".repeat(49)] {
            assert_eq!(ErrorCode::new(message.to_owned()).as_str(), "other");
        }
    }
}
