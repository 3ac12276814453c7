//! [`Fault`]: what ends a scan, in one sentence: what, where, and what would help.

use std::error::Error as _;
use std::fmt;
use std::path::Path;

use pool_mysql::{MySqlError, MySqlErrorKind};
use pool_postgres::{PgError, PgErrorKind};
use pool_sql::RowError;
use pool_sqlite::{SqliteError, SqliteErrorKind as Kind};

use crate::database::{DbError, Place};

/// A sentence for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Fault(String);

impl Fault {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// What the database, or the pool in front of it, answered.
    pub(crate) fn of_database(database: &Place, error: impl Into<DbError>) -> Self {
        match error.into() {
            DbError::Sqlite(error) => Self::of_sqlite(database, &error),
            DbError::Postgres(error) => Self::of_server(database, of_postgres(&error), &error),
            DbError::MySql(error) => Self::of_server(database, of_mysql(&error), &error),
            DbError::Settings(text) => Self(text),
        }
    }

    fn of_sqlite(database: &Place, error: &SqliteError) -> Self {
        let said = error.source().map_or_else(|| error.to_string(), |source| source.to_string());
        let (problem, help) = explain(error.kind());
        Self(match help {
            Some(help) => format!("the database {database} {problem}: {help} ({said})"),
            None => format!("the database {database} {problem}: {said}"),
        })
    }

    /// The pool's own sentence says what would help.
    fn of_server(database: &Place, problem: &str, error: &impl fmt::Display) -> Self {
        let said = error.to_string().replace('\n', "; ");
        Self(format!("the database {database} {problem}: {said}"))
    }

    /// A row of ours that does not read as it was written.
    pub(crate) fn of_row(database: &Place, error: &RowError) -> Self {
        Self(format!(
            "the database {database} has a table `files` that another program changed: choose \
             another with --db ({error})"
        ))
    }

    /// A task of the scan's that ended by a panic.
    pub(crate) fn of_task(error: &tokio::task::JoinError) -> Self {
        Self(format!(
            "a part of the scan failed: what was stored until then is complete, so scan again \
             ({error})"
        ))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The problem.
fn of_postgres(error: &PgError) -> &'static str {
    match error.kind() {
        PgErrorKind::Config => "is no address that is understood",
        PgErrorKind::Acquire | PgErrorKind::Locked | PgErrorKind::Saturated => "is too busy",
        PgErrorKind::Denied | PgErrorKind::ReadOnly => "cannot be written",
        PgErrorKind::Unreachable
        | PgErrorKind::Tls
        | PgErrorKind::Authentication
        | PgErrorKind::Database
        | PgErrorKind::NotReady
        | PgErrorKind::NoSuchRole => "cannot be opened",
        PgErrorKind::Disconnected => "went away: scan again to go on",
        _ => "refuses",
    }
}

/// The same.
fn of_mysql(error: &MySqlError) -> &'static str {
    match error.kind() {
        MySqlErrorKind::Config => "is no address that is understood",
        MySqlErrorKind::Acquire | MySqlErrorKind::Locked | MySqlErrorKind::Saturated => {
            "is too busy"
        }
        MySqlErrorKind::Denied | MySqlErrorKind::ReadOnly => "cannot be written",
        MySqlErrorKind::Unreachable
        | MySqlErrorKind::Tls
        | MySqlErrorKind::Authentication
        | MySqlErrorKind::Database => "cannot be opened",
        MySqlErrorKind::Disconnected => "went away: scan again to go on",
        _ => "refuses",
    }
}

/// The problem, and what would help.
fn explain(kind: Kind) -> (&'static str, Option<&'static str>) {
    let (problem, help) = match kind {
        Kind::Busy => {
            ("is locked by another program", "wait until that is done, or end it, then scan again")
        }
        Kind::ReadOnly => (
            "cannot be written",
            "check the permissions of the file and its folder, or choose another file with --db",
        ),
        Kind::Full => (
            "has no room left on its disk",
            "free some space or choose a file on another disk with --db, then scan again; what was \
             stored until now is complete",
        ),
        Kind::Corrupt => {
            ("is damaged", "restore a backup, or delete it and scan again, as all of it is rebuilt")
        }
        Kind::NotADatabase => ("is no SQLite database", "choose another file with --db"),
        Kind::CannotOpen => (
            "cannot be opened",
            "check that its folder exists and that you may write there, or choose another with --db",
        ),
        Kind::Io => (
            "cannot be read or written",
            "check the disk and its limits, or choose a file on another with --db",
        ),
        Kind::Acquire => (
            "is too busy",
            "wait until other programs are done with it, or scan with fewer --readers",
        ),
        _ => return ("refuses", None),
    };
    (problem, Some(help))
}

/// Faults of one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct In<'a>(pub(crate) &'a Place);

impl In<'_> {
    pub(crate) fn fault(self, error: impl Into<DbError>) -> Fault {
        Fault::of_database(self.0, error)
    }

    /// A problem of our own with it.
    pub(crate) fn sentence(self, problem: impl fmt::Display) -> Fault {
        Fault(format!("the database {} {problem}", self.0))
    }
}

/// A path on one line, whatever is in it.
#[derive(Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
