//! How a connection comes back: what was left behind, and how that is cleared; and its upkeep.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pool_core::{Cause, Condition};
use rusqlite::TransactionState;
use tokio::time::Instant;

use crate::connection::{Home, SqliteConnection};
use crate::error::SqliteError;
use crate::log::Length;
use crate::open::{Opened, Role};

/// How long, about, a checkpoint waits for those who read from the log; most of them take microseconds.
const READERS: Duration = Duration::from_millis(20);

/// SQLite's advice for long-lived connections, bounded so that it does not read whole tables.
const OPTIMIZE: &str = "PRAGMA analysis_limit = 400; PRAGMA optimize; PRAGMA analysis_limit = 0;";

impl SqliteConnection {
    /// What is left behind, without touching the database's file.
    pub(crate) fn condition(&mut self) -> Condition {
        self.is_held = false; // also where the transaction was leaked
        let is_home = matches!(self.home, Home::Here(_));
        if is_home && self.was_clean && !self.used {
            return Condition::Clean; // nobody ran anything since
        }
        let condition = self.look();
        self.was_clean = condition == Condition::Clean;
        condition
    }

    fn look(&mut self) -> Condition {
        let was_used = std::mem::take(&mut self.used);
        if was_used {
            self.look_at_the_log();
        }
        if !self.is_home() && matches!(self.home, Home::Away { .. }) {
            return Condition::Dirty(Cause::Running);
        }
        let opened = match &self.home {
            Home::Here(opened) => opened,
            Home::Away { .. } | Home::Lost => {
                return Condition::Broken(Cause::Other("its thread has ended"));
            }
        };
        let connection = &opened.connection;
        let idle = || connection.transaction_state(Some(c"main"));
        if opened.panicked {
            Condition::Dirty(Cause::Panicked)
        } else if self.undo.is_some() || !connection.is_autocommit() {
            Condition::Dirty(Cause::Transaction)
        } else if !matches!(idle(), Ok(TransactionState::None)) {
            Condition::Dirty(Cause::Running)
        } else if opened.touched.load(Ordering::Relaxed) {
            Condition::Dirty(Cause::SessionState)
        } else {
            match self.upkeep() {
                None => Condition::Clean,
                Some(why) if was_used => Condition::Dirty(why),
                // It may be about to go out: nobody waits for that.
                Some(_) => Condition::Dirty(Cause::Upkeep),
            }
        }
    }

    /// What was changed about the session so far is how its users are to find it.
    pub(crate) fn adopt(&self) {
        if let Home::Here(opened) = &self.home {
            opened.touched.store(false, Ordering::Relaxed);
        }
    }

    fn look_at_the_log(&mut self) {
        let (Home::Here(opened), Role::Writer) = (&self.home, self.role) else { return };
        let Some(wal) = self.shared.wal() else { return };
        let written = opened.connection.total_changes() + opened.commits.load(Ordering::Relaxed);
        self.log.look(Instant::now(), written, wal, self.shared.options.checkpoint_at);
    }

    /// Why upkeep is due, if it is.
    fn upkeep(&self) -> Option<Cause> {
        if self.role != Role::Writer || !self.shared.options.is_file() {
            return None;
        }
        self.log.due().or_else(|| self.optimize_is_due().then_some(Cause::Upkeep))
    }

    fn optimize_is_due(&self) -> bool {
        let every = self.shared.options.optimize_every;
        !every.is_zero() && self.optimized_at.elapsed() >= every
    }

    /// Clears what is left behind. True if the connection was opened anew.
    pub(crate) async fn reset(&mut self) -> Result<bool, SqliteError> {
        self.come_home().await?;
        self.look_at_the_log(); // it may have been away until now
        let (shared, role) = (self.shared.clone(), self.role);
        let (upkeep, optimize) = (self.upkeep().is_some(), self.optimize_is_due());
        let (reopened, folded) = self
            .run(move |opened| {
                let connection = &opened.connection;
                if !connection.is_autocommit() {
                    connection.execute_batch("ROLLBACK")?;
                }
                // A statement that somebody forgot to finish goes with its connection only.
                let idle = connection.transaction_state(Some(c"main"));
                let idle = matches!(idle, Ok(TransactionState::None));
                let wal = shared.wal().filter(|_| upkeep && idle);
                let folded = wal.map(|wal| keep_up(opened, wal, optimize));
                if idle && !opened.panicked && !opened.touched.load(Ordering::Relaxed) {
                    return Ok::<_, SqliteError>((false, folded));
                }
                // An exclusive lock left behind would keep the new one out.
                let _ = opened
                    .connection
                    .execute_batch("PRAGMA locking_mode = NORMAL; SELECT 1 FROM sqlite_schema");
                *opened = Opened::open(&shared.options, role, shared.cache_of(role))?;
                Ok((true, folded))
            })
            .await??;
        self.used = false; // by nobody since
        if let Some(length) = folded {
            self.log.folded(length);
            if optimize {
                self.optimized_at = Instant::now();
            }
        }
        Ok(reopened)
    }

    /// Ends the connection; when this is done, its file handles are closed.
    pub(crate) async fn close(mut self) {
        if self.come_home().await.is_err() {
            return;
        }
        let optimize = self.role == Role::Writer && self.shared.options.is_file();
        if let Home::Here(opened) = std::mem::replace(&mut self.home, Home::Lost) {
            let goodbye = move || {
                if optimize {
                    let _ = opened.connection.execute_batch(OPTIMIZE);
                }
                opened.end();
            };
            let _ = self.worker.run(goodbye).await;
        }
    }
}

/// Work that nobody waits for, or that can wait no longer.
fn keep_up(opened: &mut Opened, wal: &Path, optimize: bool) -> Length {
    let touched = opened.touched.load(Ordering::Relaxed);
    opened.wait_for_locks(READERS);
    let length = Length::of_folded(&opened.connection, wal);
    if optimize {
        let _ = opened.connection.execute_batch(OPTIMIZE);
    }
    opened.touched.store(touched, Ordering::Relaxed);
    length
}
