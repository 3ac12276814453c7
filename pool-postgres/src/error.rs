//! [`PgError`]: what went wrong, on which server, and what would help.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use pool_core::{AcquireError, ConfigError, ErrorClass};
use pool_sql::{ErrorCode, PlanError};
use tokio_postgres::error::SqlState;

/// What a PostgreSQL pool or connection fails with. One word wide and cheap to clone.
///
/// Its `Display` is one sentence: the server, the problem, and what would help. It holds no
/// password; what the server says of a failed statement may quote values in its
/// [`detail`](Self::db), which is not shown.
#[derive(Clone)]
pub struct PgError(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: PgErrorKind,
    /// Which server, where that is the question.
    server: Option<Arc<str>>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Driver(tokio_postgres::Error),
    Plan(PlanError),
    Acquire(AcquireError),
    Io(std::io::Error),
    Text(String),
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PgErrorKind {
    /// No server was reached: refused, no such name, a network that does not answer.
    Unreachable,
    /// The TLS handshake failed, or the server has no TLS where it was asked for.
    Tls,
    /// The server knows no such user, or the password is wrong.
    Authentication,
    /// There is no such database.
    Database,
    /// The user may not do that.
    Denied,
    /// The server has no room for another connection.
    Saturated,
    /// The server starts, stops or recovers.
    NotReady,
    /// None of the hosts is what `target_session_attrs` wants.
    NoSuchRole,
    /// The connection was lost.
    Disconnected,
    /// The statement was cancelled, or took longer than `statement_timeout`.
    Cancelled,
    /// A constraint of the schema.
    Constraint,
    /// It conflicted with another transaction; the same may succeed if it is run again.
    Serialization,
    /// It took part in a deadlock; the same may succeed if it is run again.
    Deadlock,
    /// A lock was held by somebody else.
    Locked,
    /// It was to write where writing is not allowed.
    ReadOnly,
    /// The transaction failed before, so its commit rolled it back.
    RolledBack,
    /// The transaction had ended before: a statement in it committed it or rolled it back. What came
    /// next would have been on its own.
    TransactionOver,
    /// A pooler between here and the server does not go together with the profile.
    Profile,
    /// A value does not convert to the type that the server has, or back.
    Type,
    /// Another number of values than the statement has parameters.
    Params,
    /// Another number of rows than was asked for.
    Rows,
    /// The driver and the server disagree about where in the protocol they are.
    OutOfStep,
    /// The settings make no sense.
    Config,
    /// A batch's plan or rows do not fit.
    Plan,
    /// The pool had no connection.
    Acquire,
    /// Anything else the server says: syntax, a missing table, a division by zero.
    Sql,
}

impl PgError {
    fn new(kind: PgErrorKind, source: Source) -> Self {
        Self(Arc::new(Inner { kind, server: None, source }))
    }

    pub(crate) fn text(kind: PgErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Source::Text(text.into()))
    }

    pub(crate) fn io(kind: PgErrorKind, error: std::io::Error) -> Self {
        Self::new(kind, Source::Io(error))
    }

    pub(crate) fn driver(kind: PgErrorKind, error: tokio_postgres::Error) -> Self {
        Self::new(kind, Source::Driver(error))
    }

    /// The same, with the server it is about.
    pub(crate) fn of(self, server: &Arc<str>) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(inner) if inner.server.is_none() => {
                Self(Arc::new(Inner { server: Some(server.clone()), ..inner }))
            }
            Ok(inner) => Self(Arc::new(inner)),
            Err(shared) => Self(shared),
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> PgErrorKind {
        self.0.kind
    }

    /// The SQLSTATE, if the server said one.
    pub fn code(&self) -> Option<&SqlState> {
        self.driver_error().and_then(tokio_postgres::Error::code)
    }

    /// What the server said: message, detail, hint, constraint. Detail and message may quote values.
    pub fn db(&self) -> Option<&tokio_postgres::error::DbError> {
        self.driver_error().and_then(tokio_postgres::Error::as_db_error)
    }

    /// Whether the whole transaction may succeed if it is run again: 40001 and 40P01.
    pub fn is_worth_a_new_transaction(&self) -> bool {
        matches!(self.0.kind, PgErrorKind::Serialization | PgErrorKind::Deadlock)
    }

    fn driver_error(&self) -> Option<&tokio_postgres::Error> {
        match &self.0.source {
            Source::Driver(error) => Some(error),
            _ => None,
        }
    }

    /// What a failed connect means for those who wait.
    pub(crate) fn class(&self) -> ErrorClass {
        match self.0.kind {
            PgErrorKind::Tls
            | PgErrorKind::Authentication
            | PgErrorKind::Database
            | PgErrorKind::Denied
            | PgErrorKind::Profile
            | PgErrorKind::Config => ErrorClass::Permanent,
            PgErrorKind::Saturated => ErrorClass::Saturated,
            // A setting that the server does not know, or does not take.
            PgErrorKind::Sql if self.code().is_some_and(is_refused_setting) => {
                ErrorClass::Permanent
            }
            _ => ErrorClass::Transient,
        }
    }

    /// The code as observers see it.
    pub(crate) fn observed(&self) -> ErrorCode {
        match self.code() {
            Some(code) => ErrorCode::new(code.code().to_owned()),
            None => ErrorCode::new(match self.0.kind {
                PgErrorKind::Disconnected => "disconnected",
                PgErrorKind::Plan => "plan",
                PgErrorKind::Type => "type",
                PgErrorKind::Params => "params",
                PgErrorKind::Rows => "rows",
                PgErrorKind::OutOfStep => "out_of_step",
                PgErrorKind::RolledBack => "rolled_back",
                PgErrorKind::TransactionOver => "transaction_over",
                _ => "other",
            }),
        }
    }

    fn help(&self) -> &'static str {
        match self.0.kind {
            PgErrorKind::Unreachable => {
                "no server was reached; check host and port, and that it runs"
            }
            PgErrorKind::Authentication => {
                "the server does not let this user in; check user, password and pg_hba.conf"
            }
            PgErrorKind::Saturated => {
                "the server has no room for another connection; lower max_size here or in other \
                 programs, or raise max_connections, or the limit of the role or database"
            }
            PgErrorKind::NotReady => "the server starts, stops or recovers; try again in a moment",
            _ => "",
        }
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.0.server {
            write!(f, "{server}: ")?;
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
            Self::Driver(error) => match error.as_db_error() {
                Some(said) => write!(f, "{} (SQLSTATE {})", said.message(), said.code().code()),
                None => {
                    write!(f, "{error}")?;
                    // The driver's words name the step, its source says what happened.
                    let mut source = error.source();
                    while let Some(cause) = source {
                        write!(f, ": {cause}")?;
                        source = cause.source();
                    }
                    Ok(())
                }
            },
            Self::Plan(error) => write!(f, "{error}"),
            Self::Acquire(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgError")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .finish()
    }
}

impl StdError for PgError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Source::Driver(error) => Some(error),
            Source::Plan(error) => Some(error),
            Source::Acquire(error) => Some(error),
            Source::Io(error) => Some(error),
            Source::Text(_) => None,
        }
    }
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        let kind = match error.code() {
            Some(code) => kind_of(code),
            None if error.is_closed() => PgErrorKind::Disconnected,
            None => kind_of_cause(&error),
        };
        Self::driver(kind, error)
    }
}

/// Of what the driver itself says.
fn kind_of_cause(error: &tokio_postgres::Error) -> PgErrorKind {
    let source = error.source();
    if source.is_some_and(|source| source.is::<std::io::Error>()) {
        return PgErrorKind::Disconnected;
    }
    // It tells its kinds apart by nothing but their texts.
    let text = error.to_string();
    if text.starts_with("error serializing parameter")
        || text.starts_with("error deserializing column")
        || text.starts_with("invalid column")
    {
        PgErrorKind::Type
    } else if text.starts_with("expected ") {
        PgErrorKind::Params // so many "parameters but got" so many
    } else if text.starts_with("query returned an unexpected number of rows") {
        PgErrorKind::Rows
    } else if text.starts_with("unexpected message from server")
        || text.starts_with("error parsing response from server")
    {
        PgErrorKind::OutOfStep
    } else if text.starts_with("authentication error") {
        PgErrorKind::Authentication
    } else {
        PgErrorKind::Sql
    }
}

fn is_refused_setting(code: &SqlState) -> bool {
    ["22", "42", "0A"].iter().any(|class| code.code().starts_with(class))
}

fn kind_of(code: &SqlState) -> PgErrorKind {
    let code = code.code();
    match code {
        "53300" | "53200" | "53400" => PgErrorKind::Saturated,
        "57P03" => PgErrorKind::NotReady,
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => PgErrorKind::Disconnected,
        "3D000" => PgErrorKind::Database,
        "42501" => PgErrorKind::Denied,
        "57014" => PgErrorKind::Cancelled,
        "40001" => PgErrorKind::Serialization,
        "40P01" => PgErrorKind::Deadlock,
        "55P03" => PgErrorKind::Locked,
        "25006" => PgErrorKind::ReadOnly,
        _ => match &code[..code.len().min(2)] {
            "28" => PgErrorKind::Authentication,
            "08" => PgErrorKind::Disconnected,
            "23" => PgErrorKind::Constraint,
            _ => PgErrorKind::Sql,
        },
    }
}

impl From<PlanError> for PgError {
    fn from(error: PlanError) -> Self {
        Self::new(PgErrorKind::Plan, Source::Plan(error))
    }
}

impl From<ConfigError> for PgError {
    fn from(error: ConfigError) -> Self {
        Self::text(PgErrorKind::Config, error.to_string())
    }
}

impl From<AcquireError> for PgError {
    /// The connect error behind it, if that is what it was about.
    fn from(error: AcquireError) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<Self>()).cloned();
        cause.unwrap_or_else(|| Self::new(PgErrorKind::Acquire, Source::Acquire(error)))
    }
}
