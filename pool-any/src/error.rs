//! [`AnyError`]: what went wrong, in one vocabulary for all databases.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use pool_config::SettingsError;
use pool_core::{AcquireError, AcquireErrorKind, BoxError, ConfigError};
use pool_sql::{PlaceholderError, PlanError, RowError};

/// What a pool or a connection fails with.
///
/// Its `Display` is the backend's own sentence: where, what, and what would help. The backend's
/// error is reached by `as_postgres` and its kin. It holds no password; what a
/// server says of a failed statement may quote values.
#[derive(Clone)]
pub struct AnyError(Source);

#[derive(Clone, Debug)]
enum Source {
    #[cfg(feature = "sqlite")]
    Sqlite(pool_sqlite::SqliteError),
    #[cfg(feature = "postgres")]
    Postgres(pool_postgres::PgError),
    #[cfg(feature = "mysql")]
    MySql(pool_mysql::MySqlError),
    Acquire(AcquireError),
    Row(RowError),
    Application(Arc<dyn StdError + Send + Sync>),
    Settings(SettingsError),
    Reconfigure(ConfigError),
    Plan(PlanError),
    Params(PlaceholderError),
    Text(AnyErrorKind, Box<str>),
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnyErrorKind {
    /// A row with the same key is there already.
    Unique,
    /// Another constraint of the schema: a foreign key, `NOT NULL`, `CHECK`.
    Constraint,
    /// It conflicted with another transaction, or took part in a deadlock: the same may succeed if
    /// the whole transaction is run again.
    Conflict,
    /// A lock was held by somebody else for too long.
    Locked,
    /// The statement was cancelled, or took longer than a limit of the server.
    Cancelled,
    /// The transaction had ended or failed before: what was asked of it was not done. Nothing of it
    /// was kept, unless a statement in it had committed it.
    TransactionOver,
    /// It was to write where writing is not allowed.
    ReadOnly,
    /// The connection is lost, or not to be used again: acquire another.
    Disconnected,
    /// No server was reached, or no file opened.
    Unreachable,
    /// A file of SQLite's cannot be read or written, or is damaged.
    Storage,
    /// The user is not known, the password is wrong, or the user may not do that.
    Denied,
    /// The server has no room for another connection, or the disk is full.
    Saturated,
    /// No connection was free in time.
    TimedOut,
    /// The pool is closed.
    PoolClosed,
    /// The pool had no connection for another reason: suspended, too many waiting, no runtime.
    Acquire,
    /// Placeholders and values do not go together.
    Params,
    /// A value does not go where it stands, or a column does not read as a value.
    Type,
    /// Another number of rows than was asked for.
    Rows,
    /// The settings make no sense, or a feature is off.
    Config,
    /// A batch's plan or rows do not fit.
    Plan,
    /// Anything else the database says: syntax, a missing table.
    Sql,
    /// The application's own, see [`AnyError::application`].
    Application,
}

impl AnyError {
    /// An error of the application's own, to end a transaction with. It is what
    /// [`source`](StdError::source) gives.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use pool_any::{AnyError, AnyErrorKind};
    ///
    /// let error = AnyError::application("not enough on the account");
    /// assert_eq!((error.kind(), &*error.to_string()), (AnyErrorKind::Application, "not enough on the account"));
    /// assert!(error.source().is_some());
    /// ```
    pub fn application(error: impl Into<BoxError>) -> Self {
        Self(Source::Application(error.into().into()))
    }

    pub(crate) fn config(text: impl Into<Box<str>>) -> Self {
        Self(Source::Text(AnyErrorKind::Config, text.into()))
    }

    pub(crate) fn rows(found: usize, wanted: &str) -> Self {
        let text = format!("the query returned {found} rows, not {wanted}");
        Self(Source::Text(AnyErrorKind::Rows, text.into()))
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> AnyErrorKind {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Source::Sqlite(error) => of_sqlite(error),
            #[cfg(feature = "postgres")]
            Source::Postgres(error) => of_postgres(error),
            #[cfg(feature = "mysql")]
            Source::MySql(error) => of_mysql(error),
            Source::Acquire(error) => of_acquire(error),
            Source::Settings(_) | Source::Reconfigure(_) => AnyErrorKind::Config,
            Source::Row(_) => AnyErrorKind::Type,
            Source::Application(_) => AnyErrorKind::Application,
            Source::Plan(_) => AnyErrorKind::Plan,
            Source::Params(_) => AnyErrorKind::Params,
            Source::Text(kind, _) => *kind,
        }
    }

    /// Whether the whole transaction may succeed if it is run again: a conflict, a deadlock, and a
    /// lock of SQLite's or MySQL's that was waited for in vain.
    pub fn is_worth_a_new_transaction(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Source::Sqlite(error) => error.is_worth_a_new_transaction(),
            #[cfg(feature = "postgres")]
            Source::Postgres(error) => error.is_worth_a_new_transaction(),
            #[cfg(feature = "mysql")]
            Source::MySql(error) => error.is_worth_a_new_transaction(),
            _ => false,
        }
    }

    /// Why there was no connection, if that is what it is: who holds them, and what would help.
    pub fn as_acquire(&self) -> Option<&AcquireError> {
        match &self.0 {
            Source::Acquire(error) => Some(error),
            _ => None,
        }
    }

    /// All that is wrong with the settings, if that is what it is.
    pub fn as_settings(&self) -> Option<&SettingsError> {
        match &self.0 {
            Source::Settings(error) => Some(error),
            _ => None,
        }
    }

    downcasts! {
        /// The backend's own error, if it is that.
        Source, pool_sqlite::SqliteError, pool_postgres::PgError, pool_mysql::MySqlError
    }
}

#[cfg(feature = "sqlite")]
fn of_sqlite(error: &pool_sqlite::SqliteError) -> AnyErrorKind {
    use pool_sqlite::SqliteErrorKind as Of;
    use pool_sqlite::rusqlite::ffi;
    match error.kind() {
        Of::Constraint => match error.code() {
            Some(
                ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID,
            ) => AnyErrorKind::Unique,
            _ => AnyErrorKind::Constraint,
        },
        Of::Conflict => AnyErrorKind::Conflict,
        Of::Busy => AnyErrorKind::Locked,
        Of::Interrupted => AnyErrorKind::Cancelled,
        Of::TransactionOver => AnyErrorKind::TransactionOver,
        Of::ReadOnly => AnyErrorKind::ReadOnly,
        Of::Closed | Of::Panicked => AnyErrorKind::Disconnected,
        Of::CannotOpen | Of::NotADatabase => AnyErrorKind::Unreachable,
        Of::Corrupt | Of::Io => AnyErrorKind::Storage,
        Of::Full => AnyErrorKind::Saturated,
        Of::Acquire => of_cause(error),
        Of::Params => AnyErrorKind::Params,
        Of::Type => AnyErrorKind::Type,
        Of::Config => AnyErrorKind::Config,
        Of::Plan => AnyErrorKind::Plan,
        _ => AnyErrorKind::Sql,
    }
}

#[cfg(feature = "postgres")]
fn of_postgres(error: &pool_postgres::PgError) -> AnyErrorKind {
    use pool_postgres::PgErrorKind as Of;
    let code = error.code().map(|code| code.code());
    match error.kind() {
        Of::Constraint if code == Some("23505") => AnyErrorKind::Unique,
        Of::Constraint => AnyErrorKind::Constraint,
        Of::Serialization | Of::Deadlock => AnyErrorKind::Conflict,
        Of::Locked => AnyErrorKind::Locked,
        Of::Cancelled => AnyErrorKind::Cancelled,
        Of::RolledBack | Of::TransactionOver => AnyErrorKind::TransactionOver,
        // It takes nothing more, until it is rolled back.
        Of::Sql if code == Some("25P02") => AnyErrorKind::TransactionOver,
        Of::ReadOnly => AnyErrorKind::ReadOnly,
        Of::Disconnected | Of::OutOfStep => AnyErrorKind::Disconnected,
        Of::Unreachable | Of::Tls | Of::NotReady | Of::NoSuchRole => AnyErrorKind::Unreachable,
        Of::Authentication | Of::Database | Of::Denied => AnyErrorKind::Denied,
        Of::Saturated => AnyErrorKind::Saturated,
        Of::Acquire => of_cause(error),
        Of::Params => AnyErrorKind::Params,
        Of::Type => AnyErrorKind::Type,
        Of::Rows => AnyErrorKind::Rows,
        Of::Config | Of::Profile => AnyErrorKind::Config,
        Of::Plan => AnyErrorKind::Plan,
        _ => AnyErrorKind::Sql,
    }
}

#[cfg(feature = "mysql")]
fn of_mysql(error: &pool_mysql::MySqlError) -> AnyErrorKind {
    use pool_mysql::MySqlErrorKind as Of;
    match error.kind() {
        Of::Constraint => match error.code() {
            Some(1022 | 1062 | 1169 | 1557 | 1586 | 1761 | 1762) => AnyErrorKind::Unique,
            _ => AnyErrorKind::Constraint,
        },
        Of::Serialization | Of::Deadlock => AnyErrorKind::Conflict,
        Of::Locked => AnyErrorKind::Locked,
        Of::Cancelled => AnyErrorKind::Cancelled,
        Of::TransactionOver => AnyErrorKind::TransactionOver,
        Of::ReadOnly => AnyErrorKind::ReadOnly,
        Of::Disconnected | Of::Abandoned | Of::OutOfStep => AnyErrorKind::Disconnected,
        Of::Unreachable | Of::Tls => AnyErrorKind::Unreachable,
        Of::Authentication | Of::Database | Of::Denied => AnyErrorKind::Denied,
        Of::Saturated | Of::Prepared => AnyErrorKind::Saturated,
        Of::Acquire => of_cause(error),
        Of::Params => AnyErrorKind::Params,
        Of::Type | Of::TooLarge => AnyErrorKind::Type,
        Of::Config => AnyErrorKind::Config,
        Of::Plan => AnyErrorKind::Plan,
        _ => AnyErrorKind::Sql,
    }
}

/// Of what a backend could not acquire.
fn of_cause(error: &dyn StdError) -> AnyErrorKind {
    let acquire = error.source().and_then(|source| source.downcast_ref::<AcquireError>());
    acquire.map_or(AnyErrorKind::Acquire, of_acquire)
}

/// Of a connect that failed, what it failed with.
fn of_acquire(error: &AcquireError) -> AnyErrorKind {
    match error.kind() {
        AcquireErrorKind::TimedOut => AnyErrorKind::TimedOut,
        AcquireErrorKind::Closed => AnyErrorKind::PoolClosed,
        AcquireErrorKind::Connect => {
            let Some(cause) = error.source() else { return AnyErrorKind::Unreachable };
            #[cfg(feature = "sqlite")]
            if let Some(error) = cause.downcast_ref() {
                return of_sqlite(error);
            }
            #[cfg(feature = "postgres")]
            if let Some(error) = cause.downcast_ref() {
                return of_postgres(error);
            }
            #[cfg(feature = "mysql")]
            if let Some(error) = cause.downcast_ref() {
                return of_mysql(error);
            }
            AnyErrorKind::Unreachable
        }
        _ => AnyErrorKind::Acquire,
    }
}

/// As the error that it is.
macro_rules! as_it_is {
    ($source:expr, $error:ident => $do:expr, $text:ident => $other:expr) => {
        match $source {
            #[cfg(feature = "sqlite")]
            Source::Sqlite($error) => $do,
            #[cfg(feature = "postgres")]
            Source::Postgres($error) => $do,
            #[cfg(feature = "mysql")]
            Source::MySql($error) => $do,
            Source::Acquire($error) => $do,
            Source::Row($error) => $do,
            Source::Application($error) => $do,
            Source::Settings($error) => $do,
            Source::Reconfigure($error) => $do,
            Source::Plan($error) => $do,
            Source::Params($error) => $do,
            Source::Text(_, $text) => $other,
        }
    };
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        as_it_is!(&self.0, error => fmt::Display::fmt(error, f), text => f.write_str(text))
    }
}

impl fmt::Debug for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyError")
            .field("kind", &self.kind())
            .field("message", &self.to_string())
            .finish()
    }
}

impl StdError for AnyError {
    /// What the backend's error, whose words these are, came from.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Source::Application(error) => Some(&**error),
            other => as_it_is!(other, error => error.source(), _text => None),
        }
    }
}

#[cfg(feature = "sqlite")]
impl From<pool_sqlite::SqliteError> for AnyError {
    fn from(error: pool_sqlite::SqliteError) -> Self {
        Self(Source::Sqlite(error))
    }
}

#[cfg(feature = "postgres")]
impl From<pool_postgres::PgError> for AnyError {
    fn from(error: pool_postgres::PgError) -> Self {
        Self(Source::Postgres(error))
    }
}

#[cfg(feature = "mysql")]
impl From<pool_mysql::MySqlError> for AnyError {
    fn from(error: pool_mysql::MySqlError) -> Self {
        Self(Source::MySql(error))
    }
}

impl From<AcquireError> for AnyError {
    fn from(error: AcquireError) -> Self {
        Self(Source::Acquire(error))
    }
}

impl From<SettingsError> for AnyError {
    fn from(error: SettingsError) -> Self {
        Self(Source::Settings(error))
    }
}

impl From<ConfigError> for AnyError {
    fn from(error: ConfigError) -> Self {
        Self(Source::Reconfigure(error))
    }
}

impl From<PlanError> for AnyError {
    fn from(error: PlanError) -> Self {
        Self(Source::Plan(error))
    }
}

impl From<RowError> for AnyError {
    fn from(error: RowError) -> Self {
        Self(Source::Row(error))
    }
}

impl From<PlaceholderError> for AnyError {
    fn from(error: PlaceholderError) -> Self {
        Self(Source::Params(error))
    }
}
