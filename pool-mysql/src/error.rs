//! [`MySqlError`]: what went wrong, on which server, and what would help.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use mysql_async::{DriverError, IoError, ServerError};
use pool_core::{AcquireError, ConfigError, ErrorClass};
use pool_sql::{ErrorCode, PlanError};

/// What a MySQL pool or connection fails with. One word wide and cheap to clone.
///
/// Its `Display` is one sentence: the server, the problem, and what would help. It holds no
/// password; what the server says of a failed statement may quote values.
#[derive(Clone)]
pub struct MySqlError(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: MySqlErrorKind,
    /// Which server, where that is the question.
    server: Option<Arc<str>>,
    /// Which rows of a batch, where it is of some.
    rows: Option<Range<u64>>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Driver(mysql_async::Error),
    Plan(PlanError),
    Acquire(AcquireError),
    Text(String),
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MySqlErrorKind {
    /// No server was reached: refused, no such name, a network that does not answer.
    Unreachable,
    /// The TLS handshake failed, or one side has no TLS where the other wants it.
    Tls,
    /// The server knows no such user, or the password is wrong.
    Authentication,
    /// There is no such database.
    Database,
    /// The user may not do that.
    Denied,
    /// The server has no room for another connection, or blocks this host.
    Saturated,
    /// The connection was lost.
    Disconnected,
    /// An earlier call on this connection was dropped before its answer came, so that the next answer
    /// would be to another question: nothing is sent on it any more.
    Abandoned,
    /// The statement was killed, or took longer than the server's limit for one.
    Cancelled,
    /// A constraint of the schema.
    Constraint,
    /// It conflicted with another transaction; the same may succeed if it is run again.
    Serialization,
    /// It took part in a deadlock; the same may succeed if it is run again.
    Deadlock,
    /// A lock was held by somebody else for too long.
    Locked,
    /// It was to write where writing is not allowed.
    ReadOnly,
    /// The transaction had ended before: the server rolled it back (a deadlock), or a statement
    /// committed it (`CREATE TABLE` and its like). What came next would have been on its own.
    TransactionOver,
    /// The parameters are not those of the statement.
    Params,
    /// A value does not convert to the type that was asked for.
    Type,
    /// The statement or its values are larger than `max_allowed_packet`.
    TooLarge,
    /// The server keeps no more prepared statements.
    Prepared,
    /// The driver and the server disagree about where in the protocol they are.
    OutOfStep,
    /// The settings make no sense.
    Config,
    /// A batch's plan or rows do not fit.
    Plan,
    /// The pool had no connection.
    Acquire,
    /// Anything else the server says: syntax, a missing table, a value out of range.
    Sql,
}

impl MySqlError {
    fn new(kind: MySqlErrorKind, source: Source) -> Self {
        Self(Arc::new(Inner { kind, server: None, rows: None, source }))
    }

    pub(crate) fn text(kind: MySqlErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Source::Text(text.into()))
    }

    /// What an attempt to connect failed with.
    pub(crate) fn connecting(error: mysql_async::Error) -> Self {
        let kind = match kind_of(&error) {
            MySqlErrorKind::Disconnected => MySqlErrorKind::Unreachable,
            kind => kind,
        };
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

    /// The same, with the rows of a batch among which is the one that it is about.
    pub(crate) fn of_rows(self, rows: Range<u64>) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => Self(Arc::new(Inner { rows: Some(rows), ..inner })),
            Err(shared) => Self(shared),
        }
    }

    /// Of a set-up statement: which it was, and not its text, which the server would quote.
    pub(crate) fn at_set_up(self, place: &str) -> Self {
        match self.code() {
            Some(code) => Self::text(self.kind(), format!("{place}: error {code}")),
            None => self,
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> MySqlErrorKind {
        self.0.kind
    }

    /// The server's number for it, if it was the server that said it: 1062 is a duplicate key.
    pub fn code(&self) -> Option<u16> {
        self.db().map(|said| said.code)
    }

    /// Of a batch's statement that the server refused: the row that it was about, counted from 0; or
    /// the rows of the statement, where the server does not say which. MariaDB says it since 10.7.
    pub fn rows(&self) -> Option<Range<u64>> {
        self.0.rows.clone()
    }

    /// What the server said. It may quote values.
    pub fn db(&self) -> Option<&ServerError> {
        match &self.0.source {
            Source::Driver(mysql_async::Error::Server(said)) => Some(said),
            _ => None,
        }
    }

    /// Whether the whole transaction may succeed if it is run again: 1213, 1205 and 1020.
    pub fn is_worth_a_new_transaction(&self) -> bool {
        matches!(
            (self.0.kind, self.code()),
            (MySqlErrorKind::Serialization | MySqlErrorKind::Deadlock, _) | (_, Some(1205))
        )
    }

    /// What a failed connect means for those who wait.
    pub(crate) fn class(&self) -> ErrorClass {
        match self.0.kind {
            MySqlErrorKind::Tls
            | MySqlErrorKind::Authentication
            | MySqlErrorKind::Database
            | MySqlErrorKind::Denied
            | MySqlErrorKind::Config
            // Of the set-up statements.
            | MySqlErrorKind::Sql => ErrorClass::Permanent,
            MySqlErrorKind::Saturated => ErrorClass::Saturated,
            _ => ErrorClass::Transient,
        }
    }

    /// The code as observers see it.
    pub(crate) fn observed(&self) -> ErrorCode {
        match self.code() {
            Some(code) => ErrorCode::new(code.to_string()),
            None => ErrorCode::new(match self.0.kind {
                MySqlErrorKind::Disconnected => "disconnected",
                MySqlErrorKind::Abandoned => "abandoned",
                MySqlErrorKind::Params => "params",
                MySqlErrorKind::Plan => "plan",
                MySqlErrorKind::Type => "type",
                MySqlErrorKind::TooLarge => "too_large",
                MySqlErrorKind::OutOfStep => "out_of_step",
                _ => "other",
            }),
        }
    }

    /// Whether the connection is as good as before: the server said no, or nothing was sent.
    pub(crate) fn leaves_a_connection(&self) -> bool {
        let Source::Driver(error) = &self.0.source else { return true };
        let ends = matches!(self.0.kind, MySqlErrorKind::Disconnected | MySqlErrorKind::TooLarge);
        !error.is_fatal() && !ends
    }

    fn help(&self) -> &'static str {
        match (self.0.kind, self.code()) {
            (MySqlErrorKind::Unreachable, _) => {
                "no server was reached; check host and port, and that it runs"
            }
            (MySqlErrorKind::Authentication, _) => {
                "the server does not let this user in; check user, password and from which host the \
                 user may come"
            }
            (MySqlErrorKind::Saturated, Some(1129)) => {
                "the server blocks this host after too many broken connects; FLUSH HOSTS lets it in \
                 again"
            }
            (MySqlErrorKind::Saturated, _) => {
                "the server has no room for another connection; lower max_size here or in other \
                 programs, or raise max_connections or the user's limit"
            }
            (MySqlErrorKind::Prepared, _) => {
                "the server keeps no more prepared statements; lower statement_cache here or in \
                 other programs, or raise max_prepared_stmt_count"
            }
            _ => "",
        }
    }
}

impl fmt::Display for MySqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.0.server {
            write!(f, "{server}: ")?;
        }
        match &self.0.rows {
            None => {}
            Some(rows) if rows.end - rows.start == 1 => write!(f, "row {}: ", rows.start)?,
            Some(rows) => write!(f, "rows {} to {}: ", rows.start, rows.end - 1)?,
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
            Self::Driver(mysql_async::Error::Server(said)) => {
                write!(f, "{} (error {})", said.message, said.code)
            }
            Self::Driver(mysql_async::Error::Io(IoError::Io(error))) => write!(f, "{error}"),
            Self::Driver(mysql_async::Error::Io(IoError::Tls(error))) => write!(f, "{error}"),
            Self::Driver(mysql_async::Error::Driver(error)) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::Acquire(error) => write!(f, "{error}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for MySqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlError")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .finish()
    }
}

impl StdError for MySqlError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Source::Driver(error) => Some(error),
            Source::Plan(error) => Some(error),
            Source::Acquire(error) => Some(error),
            Source::Text(_) => None,
        }
    }
}

impl From<mysql_async::Error> for MySqlError {
    fn from(error: mysql_async::Error) -> Self {
        Self::new(kind_of(&error), Source::Driver(error))
    }
}

fn kind_of(error: &mysql_async::Error) -> MySqlErrorKind {
    match error {
        mysql_async::Error::Server(said) => kind_of_code(said.code),
        mysql_async::Error::Io(IoError::Tls(_)) => MySqlErrorKind::Tls,
        mysql_async::Error::Io(IoError::Io(_)) => MySqlErrorKind::Disconnected,
        mysql_async::Error::Driver(error) => match error {
            DriverError::ConnectionClosed | DriverError::PoolDisconnected => {
                MySqlErrorKind::Disconnected
            }
            DriverError::NoClientSslFlagFromServer => MySqlErrorKind::Tls,
            DriverError::PacketTooLarge => MySqlErrorKind::TooLarge,
            DriverError::StmtParamsMismatch { .. }
            | DriverError::StmtParamsNumberExceedsLimit { .. }
            | DriverError::Params(_)
            | DriverError::MixedParams => MySqlErrorKind::Params,
            DriverError::FromRow { .. } | DriverError::FromValue { .. } => MySqlErrorKind::Type,
            DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled
            | DriverError::UnknownAuthPlugin { .. } => MySqlErrorKind::Authentication,
            _ => MySqlErrorKind::OutOfStep,
        },
        mysql_async::Error::Url(_) => MySqlErrorKind::Config,
        mysql_async::Error::Other(_) => MySqlErrorKind::OutOfStep,
    }
}

/// By the servers' lists of errors; MySQL and MariaDB share numbers below 1900 and part above.
fn kind_of_code(code: u16) -> MySqlErrorKind {
    match code {
        1040 | 1041 | 1129 | 1203 | 1226 => MySqlErrorKind::Saturated,
        1045 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => {
            MySqlErrorKind::Authentication
        }
        3159 => MySqlErrorKind::Tls,
        1049 => MySqlErrorKind::Database,
        1044 | 1130 | 1142 | 1143 | 1227 | 1370 => MySqlErrorKind::Denied,
        // 3032: it is set offline, and lets in only those who maintain it.
        1053 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 3032 | 3169 | 4031 => {
            MySqlErrorKind::Disconnected
        }
        1317 | 1969 | 3024 => MySqlErrorKind::Cancelled,
        1020 => MySqlErrorKind::Serialization,
        1213 => MySqlErrorKind::Deadlock,
        1205 | 3572 => MySqlErrorKind::Locked,
        1290 | 1792 | 1836 | 1874 => MySqlErrorKind::ReadOnly,
        1022 | 1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 1761
        | 1762 | 3819 | 4025 => MySqlErrorKind::Constraint,
        1153 => MySqlErrorKind::TooLarge,
        1461 => MySqlErrorKind::Prepared,
        _ => MySqlErrorKind::Sql,
    }
}

impl From<PlanError> for MySqlError {
    fn from(error: PlanError) -> Self {
        Self::new(MySqlErrorKind::Plan, Source::Plan(error))
    }
}

impl From<ConfigError> for MySqlError {
    fn from(error: ConfigError) -> Self {
        Self::text(MySqlErrorKind::Config, error.to_string())
    }
}

impl From<AcquireError> for MySqlError {
    /// The connect error behind it, if that is what it was about.
    fn from(error: AcquireError) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<Self>()).cloned();
        cause.unwrap_or_else(|| Self::new(MySqlErrorKind::Acquire, Source::Acquire(error)))
    }
}
