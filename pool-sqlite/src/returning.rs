//! How a connection comes back: what was left behind, and how that is cleared.

use std::sync::atomic::Ordering;

use pool_core::{Cause, Condition};
use rusqlite::TransactionState;
use tokio::time::Instant;

use crate::common::OPTIMIZE;
use crate::connection::{FEW_CHANGES, Home, SqliteConnection};
use crate::error::SqliteError;
use crate::open::{Opened, Role};

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
        let upkeep = std::mem::take(&mut self.used) && self.upkeep_is_due();
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
        } else if upkeep {
            Condition::Dirty(Cause::Upkeep)
        } else {
            Condition::Clean
        }
    }

    fn upkeep_is_due(&self) -> bool {
        let Home::Here(opened) = &self.home else { return false };
        let shared = &self.shared;
        if self.role != Role::Writer || !shared.options.is_file() {
            return false;
        }
        // Looking at the file costs a microsecond, and it does not shrink: so only after as many
        // changes as filled it last time.
        let changed = opened.connection.total_changes().saturating_sub(self.changes_at_checkpoint);
        (changed >= self.changes_to_checkpoint && shared.wal_size() >= shared.options.checkpoint_at)
            || self.optimize_is_due()
    }

    fn optimize_is_due(&self) -> bool {
        let every = self.shared.options.optimize_every;
        !every.is_zero() && self.optimized_at.elapsed() >= every
    }

    /// Clears what is left behind. True if the connection was opened anew.
    pub(crate) async fn reset(&mut self) -> Result<bool, SqliteError> {
        self.come_home().await?;
        let (shared, role) = (self.shared.clone(), self.role);
        let (optimize, upkeep) = (self.optimize_is_due(), self.upkeep_is_due());
        let (reopened, written) = self
            .run(move |opened| {
                if !opened.connection.is_autocommit() {
                    opened.connection.execute_batch("ROLLBACK")?;
                }
                let written = upkeep.then(|| shared.keep_up(opened, optimize));
                let connection = &opened.connection;
                // A statement that somebody forgot to finish goes with its connection only.
                let idle = connection.transaction_state(Some(c"main"));
                let idle = matches!(idle, Ok(TransactionState::None));
                if idle && !opened.panicked && !opened.touched.load(Ordering::Relaxed) {
                    return Ok::<_, SqliteError>((false, written));
                }
                // An exclusive lock left behind would keep the new one out.
                let _ = connection
                    .execute_batch("PRAGMA locking_mode = NORMAL; SELECT 1 FROM sqlite_schema");
                *opened = Opened::open(&shared.options, role, shared.cache_of(role))?;
                Ok((true, written))
            })
            .await??;
        if let Some(bytes) = written {
            let changes = self.here()?.connection.total_changes();
            let changed = changes.saturating_sub(self.changes_at_checkpoint);
            let enough = changed.saturating_mul(self.shared.options.checkpoint_at) / bytes.max(1);
            self.changes_to_checkpoint = enough.clamp(FEW_CHANGES, 1 << 30);
            self.changes_at_checkpoint = changes;
        }
        if optimize {
            self.optimized_at = Instant::now();
        }
        if reopened {
            self.changes_at_checkpoint = 0;
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
