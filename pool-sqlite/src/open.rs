//! Opening a SQLite connection: flags, pragmas, and the watch over session state.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, TransactionBehavior};
use tokio::time::Instant;

use crate::error::{SqliteError, SqliteErrorKind};
use crate::log::NET;
use crate::options::{Database, JournalMode, SqliteOptions};

/// SQLite counts in 32 bits.
const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

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
    /// The job that has it was given up: what runs is to end, and nothing is to be committed.
    pub(crate) given_up: Arc<AtomicBool>,
    /// The job is one of a transaction that somebody holds: who holds it commits, nothing else does.
    pub(crate) is_held: Arc<AtomicBool>,
    /// How often something was committed, or was to be.
    pub(crate) commits: Arc<AtomicU64>,
    /// How often a transaction was rolled back.
    pub(crate) rollbacks: Arc<AtomicU64>,
    /// Code that used it panicked.
    pub(crate) panicked: bool,
    /// How long it waits for locks now.
    patience: Option<Duration>,
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
            Database::File { path, create, .. } => {
                let mut flags = flags(role);
                flags.set(OpenFlags::SQLITE_OPEN_CREATE, role == Role::Writer && *create);
                Connection::open_with_flags(plain(path), flags)?
            }
        };
        set_up(&mut connection, options, role, cache_kib)?;
        if let Some(set_up) = &options.set_up {
            set_up(&mut connection)?;
        }
        let touched = Arc::new(AtomicBool::new(false));
        let watch = touched.clone();
        let authorizer = move |cx: AuthContext<'_>| {
            if changes_session(&cx) {
                watch.store(true, Ordering::Relaxed);
            }
            Authorization::Allow
        };
        let _ = connection.authorizer(Some(authorizer));
        // An interrupt reaches the statement that runs, and no later one; these reach the rest.
        let (given_up, commits) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let stop = given_up.clone();
        let _ = connection.progress_handler(1000, Some(move || stop.load(Ordering::Acquire)));
        let (is_held, rollbacks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, held, count) = (given_up.clone(), is_held.clone(), commits.clone());
        let _ = connection.commit_hook(Some(move || {
            // In this order for all to see: who gives up and then finds nothing counted, knows that
            // nothing is committed.
            count.fetch_add(1, Ordering::SeqCst);
            stop.load(Ordering::SeqCst) || held.load(Ordering::Relaxed)
        }));
        let count = rollbacks.clone();
        let _ = connection.rollback_hook(Some(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        Ok(Self {
            interrupt: Arc::new(connection.get_interrupt_handle()),
            connection,
            touched,
            given_up,
            is_held,
            commits,
            rollbacks,
            panicked: false,
            patience: None,
        })
    }

    /// Closes, also after an interrupt that came late: it would else stop the last checkpoint.
    pub(crate) fn end(self) {
        self.given_up.store(false, Ordering::Release);
        let _ = self.connection.execute_batch("SELECT 1");
    }

    /// Sets how long statements wait for locks from here on, on this thread.
    pub(crate) fn wait_for_locks(&mut self, patience: Duration) {
        if self.patience != Some(patience) {
            let set = match patience.is_zero() {
                true => self.connection.busy_timeout(patience),
                false => self.connection.busy_handler(Some(wait_a_little)),
            };
            self.patience = set.ok().map(|()| patience);
        }
        if !patience.is_zero() {
            let given_up = self.given_up.clone();
            PATIENCE.set(Some(Patience { given_up, lasts: patience, since: None }));
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Closing frees the hook, and then rolls back what is open, which would call it.
        let _ = self.connection.rollback_hook(None::<fn()>);
    }
}

/// How long the statements of this thread wait for a lock.
struct Patience {
    given_up: Arc<AtomicBool>,
    lasts: Duration,
    since: Option<Instant>,
}

thread_local! {
    static PATIENCE: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

/// SQLite's busy handler, on the connection's own thread: unlike the built-in one it ends when the
/// job was given up.
fn wait_a_little(times: i32) -> bool {
    PATIENCE.with_borrow_mut(|patience| {
        let Some(patience) = patience else { return false };
        if times == 0 {
            patience.since = None;
        }
        let since = *patience.since.get_or_insert_with(Instant::now);
        if patience.given_up.load(Ordering::Acquire) || since.elapsed() >= patience.lasts {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1 << times.clamp(0, 4)));
        true
    })
}

/// Opens memory that lives as long as a connection to it is open.
pub(crate) fn open_memory(name: &str, role: Role) -> rusqlite::Result<Connection> {
    let uri = format!("file:/{name}?vfs=memdb");
    Connection::open_with_flags(uri, flags(role) | OpenFlags::SQLITE_OPEN_URI)
}

/// The path, so that SQLite does not take it for a URI.
fn plain(path: &Path) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
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
    connection.busy_timeout(options.busy_timeout.min(LONGEST_WAIT))?;
    connection.set_prepared_statement_cache_capacity(options.statement_cache);
    if role == Role::Writer && options.is_file() {
        let wanted = options.journal_mode.as_str();
        let pragma = format!("PRAGMA journal_mode = {wanted}");
        // SQLite does not always wait when several make this switch at the same time.
        let begun = Instant::now();
        let got: String = loop {
            match connection.query_row(&pragma, [], |row| row.get(0)) {
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && begun.elapsed() < options.busy_timeout =>
                {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                got => break got?,
            }
        };
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
                // SQLite's own checkpoint is only the safety net behind the background one.
                let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
                let net = (options.checkpoint_at / u64::from(page.max(1))).saturating_mul(NET);
                let net = net.clamp(1000, i32::MAX as u64);
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
fn changes_session(cx: &AuthContext<'_>) -> bool {
    match cx.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => true,
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => !asks(pragma_name),
        AuthAction::Pragma { pragma_name, .. } => {
            pragma_name.eq_ignore_ascii_case("case_sensitive_like")
        }
        AuthAction::Read { .. } | AuthAction::Select | AuthAction::Function { .. } => false,
        // Whatever is written to it, or made or dropped in it.
        _ => cx.database_name == Some("temp"),
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
