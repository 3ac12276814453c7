//! How a connection comes back: what was left behind, and how that is cleared.

use std::path::Path;
use std::sync::atomic::Ordering;

use pool_core::{Cause, Condition};
use rusqlite::TransactionState;
use tokio::time::Instant;

use crate::connection::{Home, SqliteConnection};
use crate::error::SqliteError;
use crate::log::Length;
use crate::open::{Opened, Role};

/// SQLite's advice for long-lived connections, bounded so that it does not read whole tables.
const OPTIMIZE: &str = "PRAGMA analysis_limit = 400; PRAGMA optimize; PRAGMA analysis_limit = 0;";

impl SqliteConnection {
    /// What is left behind, without touching the file.
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
        // Upkeep is for those who come back, not for those who are about to go out.
        let upkeep = std::mem::take(&mut self.used).then(|| self.upkeep()).flatten();
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
            upkeep.map_or(Condition::Clean, Condition::Dirty)
        }
    }

    /// Why upkeep is due, if it is.
    fn upkeep(&mut self) -> Option<Cause> {
        let Home::Here(opened) = &self.home else { return None };
        let wal = self.shared.wal().filter(|_| self.role == Role::Writer)?;
        let written = opened.connection.total_changes() + opened.commits.load(Ordering::Relaxed);
        let due = self.log.due(written, wal, self.shared.options.checkpoint_at);
        due.or_else(|| self.optimize_is_due().then_some(Cause::Upkeep))
    }

    fn optimize_is_due(&self) -> bool {
        let every = self.shared.options.optimize_every;
        !every.is_zero() && self.optimized_at.elapsed() >= every
    }

    /// Clears what is left behind. True if the connection was opened anew.
    pub(crate) async fn reset(&mut self) -> Result<bool, SqliteError> {
        self.come_home().await?;
        let (shared, role) = (self.shared.clone(), self.role);
        let upkeep = self.upkeep().is_some();
        let optimize = upkeep && self.optimize_is_due();
        let (reopened, folded) = self
            .run(move |opened| {
                if !opened.connection.is_autocommit() {
                    opened.connection.execute_batch("ROLLBACK")?;
                }
                let wal = shared.wal().filter(|_| upkeep);
                let folded = wal.map(|wal| keep_up(opened, wal, optimize));
                let connection = &opened.connection;
                // A statement that somebody forgot to finish goes with its connection only.
                let idle = connection.transaction_state(Some(c"main"));
                let idle = matches!(idle, Ok(TransactionState::None));
                if idle && !opened.panicked && !opened.touched.load(Ordering::Relaxed) {
                    return Ok::<_, SqliteError>((false, folded));
                }
                // An exclusive lock left behind would keep the new one out.
                let _ = connection
                    .execute_batch("PRAGMA locking_mode = NORMAL; SELECT 1 FROM sqlite_schema");
                *opened = Opened::open(&shared.options, role, shared.cache_of(role))?;
                Ok((true, folded))
            })
            .await??;
        if let Some(length) = folded {
            self.log.folded(length);
        }
        if optimize {
            self.optimized_at = Instant::now();
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
fn keep_up(opened: &Opened, wal: &Path, optimize: bool) -> Length {
    let touched = opened.touched.load(Ordering::Relaxed);
    let length = Length::of_folded(&opened.connection, wal);
    if optimize {
        let _ = opened.connection.execute_batch(OPTIMIZE);
    }
    opened.touched.store(touched, Ordering::Relaxed);
    length
}
