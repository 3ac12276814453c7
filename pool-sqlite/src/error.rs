//! [`SqliteError`]: what went wrong, in which database, and what would help.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use pool_core::{AcquireError, ConfigError, ErrorClass};
use pool_sql::{ErrorCode, PlanError};
use rusqlite::ffi;

/// What a SQLite pool or connection fails with. One word wide and cheap to clone.
///
/// Its `Display` is one sentence: the database, the problem, and what would help.
#[derive(Clone)]
pub struct SqliteError(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: SqliteErrorKind,
    database: Option<Arc<str>>,
    source: Source,
}

#[derive(Debug)]
pub(crate) enum Source {
    Sqlite(rusqlite::Error),
    Plan(PlanError),
    Acquire(AcquireError),
    Io(std::io::Error),
    Text(String),
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqliteErrorKind {
    /// Another process or connection holds the lock.
    Busy,
    /// It conflicts with what the same connection does, or with a newer state of the database.
    Conflict,
    /// The database or its folder cannot be written.
    ReadOnly,
    /// The disk, or the database's own limit, is full.
    Full,
    /// The file is damaged.
    Corrupt,
    /// The file is something else.
    NotADatabase,
    /// The file cannot be opened or made.
    CannotOpen,
    /// Reading or writing the file failed.
    Io,
    /// A constraint of the schema.
    Constraint,
    /// The transaction had ended before: SQLite rolled it back (an interrupted write, a full disk),
    /// or a statement ended it. What came next would have been on its own, so nothing of it is kept.
    TransactionOver,
    /// A value that SQLite does not have, or text that is no UTF-8.
    Type,
    /// Another number of values than placeholders.
    Params,
    /// The statement was interrupted.
    Interrupted,
    /// The code that used the connection panicked.
    Panicked,
    /// The connection is gone: its thread has ended.
    Closed,
    /// The pool's settings make no sense.
    Config,
    /// A batch's plan or rows do not fit.
    Plan,
    /// The pool had no connection.
    Acquire,
    /// Anything else SQLite says: syntax, a missing table, a wrong type.
    Sql,
}

impl SqliteError {
    pub(crate) fn new(kind: SqliteErrorKind, source: Source) -> Self {
        Self(Arc::new(Inner { kind, database: None, source }))
    }

    pub(crate) fn text(kind: SqliteErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Source::Text(text.into()))
    }

    /// The same, with the database it happened in.
    pub(crate) fn of(self, database: &Arc<str>) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(inner) if inner.database.is_none() => {
                Self(Arc::new(Inner { database: Some(database.clone()), ..inner }))
            }
            Ok(inner) => Self(Arc::new(inner)),
            Err(shared) => Self(shared),
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> SqliteErrorKind {
        self.0.kind
    }

    /// SQLite's extended result code, if SQLite said it.
    pub fn code(&self) -> Option<i32> {
        match &self.0.source {
            Source::Sqlite(error) => error.sqlite_error().map(|error| error.extended_code),
            _ => None,
        }
    }

    /// Whether a lock was in the way, so that the same may succeed in a moment.
    pub fn is_busy(&self) -> bool {
        self.0.kind == SqliteErrorKind::Busy
    }

    /// Whether the whole transaction may succeed if it is run again: a stale snapshot is a new one
    /// then.
    pub fn is_worth_a_new_transaction(&self) -> bool {
        self.is_busy() || self.code() == Some(ffi::SQLITE_BUSY_SNAPSHOT)
    }

    pub(crate) fn class(&self) -> ErrorClass {
        match self.0.kind {
            SqliteErrorKind::ReadOnly
            | SqliteErrorKind::Corrupt
            | SqliteErrorKind::NotADatabase
            | SqliteErrorKind::CannotOpen
            | SqliteErrorKind::Config
            | SqliteErrorKind::Panicked
            | SqliteErrorKind::Full
            | SqliteErrorKind::Sql => ErrorClass::Permanent,
            _ => ErrorClass::Transient,
        }
    }

    /// The code as observers see it.
    pub(crate) fn observed(&self) -> ErrorCode {
        match self.code() {
            Some(code) => ErrorCode::new(code.to_string()),
            None => ErrorCode::new(match self.0.kind {
                SqliteErrorKind::Panicked => "panicked",
                SqliteErrorKind::Plan => "plan",
                SqliteErrorKind::Closed => "closed",
                SqliteErrorKind::TransactionOver => "transaction_over",
                SqliteErrorKind::Type => "type",
                SqliteErrorKind::Params => "params",
                _ => "other",
            }),
        }
    }

    fn help(&self) -> &'static str {
        match self.0.kind {
            SqliteErrorKind::Busy => {
                "it is locked by another process or connection; wait until that is done, or \
                 raise busy_timeout"
            }
            SqliteErrorKind::Conflict => {
                "another statement of this connection, or a newer state of the database, is in \
                 the way; finish that statement, or begin the transaction again"
            }
            SqliteErrorKind::ReadOnly => {
                "it cannot be written: the connection is one for reading (`write()` has the other), \
                 or the database was opened so, or the file and its folder do not permit it"
            }
            SqliteErrorKind::Full => "there is no room left; free some space",
            SqliteErrorKind::Corrupt => {
                "the file is damaged; restore a backup, or salvage it with sqlite3's .recover"
            }
            SqliteErrorKind::NotADatabase => "this file is no SQLite database; name another",
            SqliteErrorKind::CannotOpen => {
                "it cannot be opened; check that its folder exists and may be written"
            }
            SqliteErrorKind::Io => "the file cannot be read or written; check the disk",
            _ => "",
        }
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.0.database {
            write!(f, "{database}: ")?;
        }
        match self.help() {
            "" => write!(f, "{}", self.0.source),
            help => write!(f, "{help} ({})", self.0.source),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Its own text would quote the SQL, and with it perhaps values.
            Self::Sqlite(rusqlite::Error::SqlInputError { msg, .. }) => f.write_str(msg),
            Self::Sqlite(error) => write!(f, "{error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::Acquire(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteError")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .finish()
    }
}

impl StdError for SqliteError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Source::Sqlite(error) => Some(error),
            Source::Plan(error) => Some(error),
            Source::Acquire(error) => Some(error),
            Source::Io(error) => Some(error),
            Source::Text(_) => None,
        }
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        use ffi::ErrorCode as Code;
        let extended = error.sqlite_error().map(|error| error.extended_code);
        let kind = match error.sqlite_error_code() {
            Some(Code::DatabaseLocked) => SqliteErrorKind::Conflict,
            _ if extended == Some(ffi::SQLITE_BUSY_SNAPSHOT) => SqliteErrorKind::Conflict,
            Some(Code::DatabaseBusy) => SqliteErrorKind::Busy,
            Some(Code::ReadOnly) => SqliteErrorKind::ReadOnly,
            Some(Code::DiskFull) => SqliteErrorKind::Full,
            Some(Code::DatabaseCorrupt) => SqliteErrorKind::Corrupt,
            Some(Code::NotADatabase) => SqliteErrorKind::NotADatabase,
            Some(
                Code::CannotOpen | Code::PermissionDenied | Code::AuthorizationForStatementDenied,
            ) => SqliteErrorKind::CannotOpen,
            Some(Code::SystemIoFailure) => SqliteErrorKind::Io,
            Some(Code::ConstraintViolation) => SqliteErrorKind::Constraint,
            Some(Code::OperationInterrupted) => SqliteErrorKind::Interrupted,
            None if matches!(error, rusqlite::Error::InvalidParameterCount(..)) => {
                SqliteErrorKind::Params
            }
            None if matches!(error, rusqlite::Error::Utf8Error(..)) => SqliteErrorKind::Type,
            _ => SqliteErrorKind::Sql,
        };
        Self::new(kind, Source::Sqlite(error))
    }
}

impl From<PlanError> for SqliteError {
    fn from(error: PlanError) -> Self {
        Self::new(SqliteErrorKind::Plan, Source::Plan(error))
    }
}

impl From<ConfigError> for SqliteError {
    fn from(error: ConfigError) -> Self {
        Self::text(SqliteErrorKind::Config, error.to_string())
    }
}

impl From<AcquireError> for SqliteError {
    /// The connect error behind it, if that is what it was about.
    fn from(error: AcquireError) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<Self>()).cloned();
        cause.unwrap_or_else(|| Self::new(SqliteErrorKind::Acquire, Source::Acquire(error)))
    }
}
