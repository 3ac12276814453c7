//! Opening a SQLite connection: flags, pragmas, and the watch over session state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, InterruptHandle, OpenFlags, TransactionBehavior};

use crate::error::{SqliteError, SqliteErrorKind};
use crate::options::{Database, JournalMode, SqliteOptions};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that writes.
    Writer,
    /// One of those that only read.
    Reader,
}

/// An open SQLite connection.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) interrupt: Arc<InterruptHandle>,
    /// Session state was changed since it was opened.
    pub(crate) touched: Arc<AtomicBool>,
    /// The busy timeout as it is set now.
    pub(crate) busy_timeout: Duration,
}

impl Opened {
    /// Opens and sets up; blocks.
    pub(crate) fn open(
        options: &SqliteOptions,
        role: Role,
        cache_kib: u32,
    ) -> Result<Self, SqliteError> {
        let mut connection = match &options.database {
            Database::Memory { name } => open_memory(name, role)?,
            Database::File { path, .. } => Connection::open_with_flags(path, flags(role))?,
        };
        set_up(&mut connection, options, role, cache_kib)?;
        if let Some(set_up) = &options.set_up {
            set_up(&mut connection)?;
        }
        let touched = Arc::new(AtomicBool::new(false));
        let watch = touched.clone();
        let authorizer = move |cx: AuthContext<'_>| {
            if changes_session(&cx.action) {
                watch.store(true, Ordering::Relaxed);
            }
            Authorization::Allow
        };
        let _ = connection.authorizer(Some(authorizer));
        Ok(Self {
            interrupt: Arc::new(connection.get_interrupt_handle()),
            connection,
            touched,
            busy_timeout: options.busy_timeout,
        })
    }

    /// Sets the busy timeout unless it is so already.
    pub(crate) fn wait_for_locks(&mut self, timeout: Duration) {
        if self.busy_timeout != timeout && self.connection.busy_timeout(timeout).is_ok() {
            self.busy_timeout = timeout;
        }
    }
}

/// Opens memory that lives as long as a connection to it is open.
pub(crate) fn open_memory(name: &str, role: Role) -> rusqlite::Result<Connection> {
    let uri = format!("file:/{name}?vfs=memdb");
    Connection::open_with_flags(uri, flags(role) | OpenFlags::SQLITE_OPEN_URI)
}

fn flags(role: Role) -> OpenFlags {
    let access = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn set_up(
    connection: &mut Connection,
    options: &SqliteOptions,
    role: Role,
    cache_kib: u32,
) -> Result<(), SqliteError> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(options.statement_cache);
    if role == Role::Writer && options.is_file() {
        let wanted = options.journal_mode.as_str();
        let pragma = format!("PRAGMA journal_mode = {wanted}");
        let got: String = connection.query_row(&pragma, [], |row| row.get(0))?;
        if !got.eq_ignore_ascii_case(wanted) {
            return Err(SqliteError::text(
                SqliteErrorKind::Config,
                format!(
                    "journal mode {wanted} is not possible here, it stays {got}; \
                     choose journal_mode {got}, or put the file on a local disk"
                ),
            ));
        }
    }
    // Page counts: SQLite's own checkpoint is only the safety net behind the background one.
    let net = (options.checkpoint_at / 4096).saturating_mul(8).clamp(1000, 1 << 20);
    let mut pragmas = format!(
        "PRAGMA synchronous = {}; PRAGMA foreign_keys = {}; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA mmap_size = {}; PRAGMA temp_store = {};",
        options.synchronous.as_str(),
        options.foreign_keys,
        options.mmap_size,
        options.temp_store.as_str(),
    );
    match role {
        Role::Writer => {
            pragmas += &format!("PRAGMA journal_size_limit = {};", options.journal_size_limit);
            if options.journal_mode == JournalMode::Wal {
                pragmas += &format!("PRAGMA wal_autocheckpoint = {net};");
            }
            // So that a transaction which reads first cannot fail when it comes to write.
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
        }
        Role::Reader => pragmas += "PRAGMA query_only = ON;",
    }
    connection.execute_batch(&pragmas)?;
    // The first look at the file: a wrong or damaged one shows here.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(())
}

/// Whether a statement, when it is prepared, is about to change what the next user would find.
fn changes_session(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => true,
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => !asks(pragma_name),
        AuthAction::Pragma { pragma_name, .. } => {
            pragma_name.eq_ignore_ascii_case("case_sensitive_like")
        }
        _ => false,
    }
}

/// Pragmas whose argument is a question, or that change nothing of the connection.
fn asks(pragma: &str) -> bool {
    const ASK: &[&str] = &[
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "optimize",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
        "wal_checkpoint",
        "application_id",
        "incremental_vacuum",
    ];
    ASK.iter().any(|name| pragma.eq_ignore_ascii_case(name))
}
