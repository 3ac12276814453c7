//! How a connection comes back: what was left behind, and how that is cleared.
//!
//! [`condition`](MySqlConnection::condition) looks, without a round trip; [`reset`] clears, in the
//! background, under the pool's deadline, and the slot stays taken until it is done. In this order,
//! since each step needs the one before:
//!
//! 1. Rows that nobody read are read to their end. (A call that was dropped is not waited for: its
//!    connection is closed.)
//! 2. After a raw handle, a question with one right answer shows that the answers are in step.
//! 3. An open transaction is rolled back: its locks go now, not at the next checkout. Where the last
//!    answer was an error, a ping tells whether one is open.
//! 4. The session is cleared, where something was seen, or the level says so.
//!
//! An error in any of them ends the connection.
//!
//! [`reset`]: MySqlConnection::reset

use mysql_async::ChangeUserOpts;
use mysql_async::prelude::Queryable;
use pool_core::{Cause, Condition, Reset};

use crate::common::ResetLevel;
use crate::connection::MySqlConnection;
use crate::error::MySqlError;
use crate::link::State;
use crate::server::MySqlServer;
use crate::text::Leaves;

impl MySqlConnection {
    /// What is left behind, as far as this side can tell.
    pub(crate) fn condition(&self) -> Condition {
        match self.link.state() {
            State::Busy => return Condition::Broken(Cause::Running),
            State::Lost => return Condition::Broken(Cause::Disconnected),
            State::Rows => return Condition::Dirty(Cause::Running),
            State::Ready => {}
        }
        if self.is_raw {
            return Condition::Dirty(Cause::Raw);
        }
        let Some(status) = self.link.status() else {
            return Condition::Dirty(Cause::Other("after an error"));
        };
        if status.in_transaction || self.owed.is_some() {
            return Condition::Dirty(Cause::Transaction);
        }
        let is_other = status.autocommit != self.adopted_autocommit;
        if self.left != Leaves::Nothing || self.is_due() || is_other {
            return Condition::Dirty(Cause::SessionState);
        }
        Condition::Clean
    }

    /// What hooks did to the session is how its users are to find it.
    pub(crate) fn adopt(&mut self) {
        (self.left, self.is_used, self.is_raw) = (Leaves::Nothing, false, false);
        if let Some(status) = self.link.status() {
            self.adopted_autocommit = status.autocommit;
        }
    }

    /// Whether the level clears what nobody saw.
    fn is_due(&self) -> bool {
        let always = matches!(self.common.reset, ResetLevel::Clean | ResetLevel::ChangeUser);
        always && self.is_used
    }

    /// Clears what is left behind.
    pub(crate) async fn reset(&mut self) -> Result<Reset, MySqlError> {
        let is_another = self.is_raw && self.login() != self.logged_in;
        if self.left == Leaves::Unclearable || is_another {
            return Ok(Reset::Discard);
        }
        if self.is_raw && !self.is_in_step().await? {
            return Ok(Reset::Discard);
        }
        let status = self.link.ask_status().await?;
        let in_transaction = status.is_none_or(|status| status.in_transaction);
        if in_transaction {
            let rolled_back = self.link.begin().await?.query_drop("ROLLBACK").await;
            self.link.end(rolled_back)?;
            if self.link.status().is_none_or(|status| status.in_transaction) {
                return Ok(Reset::Discard);
            }
        }
        let clears = self.is_raw
            || self.left != Leaves::Nothing
            || self.is_due()
            || self.link.status().is_none_or(|it| it.autocommit != self.adopted_autocommit);
        self.owed = None;
        if clears && !self.clear().await? {
            return Ok(Reset::Discard);
        }
        self.is_used = false;
        Ok(if clears { Reset::Wiped } else { Reset::Kept })
    }

    /// Whether a question gets its own answer. A ping would be answered by any.
    async fn is_in_step(&mut self) -> Result<bool, MySqlError> {
        let nonce = fastrand::u64(..);
        let conn = self.link.begin().await?;
        let answer = conn.query_first::<mysql_async::Row, _>(format!("SELECT {nonce}")).await;
        let answer = self.link.end(answer)?;
        let same = |row: mysql_async::Row| row.get_opt::<u64, usize>(0) == Some(Ok(nonce));
        Ok(answer.is_some_and(same))
    }

    /// Makes the session as new; if it can be made so.
    async fn clear(&mut self) -> Result<bool, MySqlError> {
        let changes_database = self.is_raw || self.left == Leaves::Database;
        let database = self.common.front.options.database.clone();
        if changes_database && database.is_none() {
            return Ok(false); // there is no way back to none
        }
        let conn = self.link.begin().await?;
        let was_reset = match self.common.reset {
            ResetLevel::ChangeUser => Ok(false),
            _ => conn.reset().await,
        };
        let was_reset = self.link.end(was_reset)?;
        if !was_reset {
            let conn = self.link.begin().await?;
            let changed = conn.change_user(ChangeUserOpts::default()).await;
            self.link.end(changed)?;
        }
        self.cache.clear();
        if let Some(database) = database.filter(|_| was_reset && changes_database) {
            let sql = format!("USE `{}`", database.replace('`', "``"));
            let used = self.link.begin().await?.query_drop(sql).await;
            self.link.end(used)?;
        }
        self.set_up().await?;
        (self.left, self.is_raw, self.is_stale) = (Leaves::Nothing, false, false);
        // The session has the server's settings of now, and the pool goes by those of the connect.
        let server = MySqlServer::ask(self.link.begin().await?).await;
        let is_same = self.link.end(server)? == **self.shared_server();
        let status = self.link.ask_status().await?;
        self.adopted_autocommit = self.autocommit;
        Ok(is_same && status.is_some_and(|status| status.autocommit == self.autocommit))
    }

    /// Runs the set-up statements, in the order in which they were written.
    pub(crate) async fn set_up(&mut self) -> Result<(), MySqlError> {
        let common = self.common.clone();
        for (at, statement) in common.set_up.iter().enumerate() {
            let done = self.link.begin().await?.query_drop(statement.as_str()).await;
            // Not its text, in which there may be a secret.
            let place = || format!("set-up statement {} of {}", at + 1, common.set_up.len());
            self.link.end(done).map_err(|error| error.at_set_up(&place()))?;
        }
        Ok(())
    }
}
