//! [`Common`]: what all connections of a pool share.

use std::sync::atomic::{AtomicU64, Ordering};

use pool_sql::Observers;
use tokio::sync::Semaphore;

use crate::front::Front;

pub(crate) struct Common {
    pub(crate) front: Front,
    pub(crate) observers: Observers,
    /// What runs in each new session, and after each reset, in this order.
    pub(crate) set_up: Vec<String>,
    pub(crate) reset: ResetLevel,
    /// Statements that were given up are ended on the server.
    pub(crate) kills: bool,
    /// One permit for each side connection that may be open at once to do so.
    pub(crate) side: Semaphore,
    pub(crate) statements: StatementCounts,
}

/// Connections beside the pool that end given-up statements, at once.
pub(crate) const SIDE_CONNECTIONS: usize = 2;

/// What is cleared when a connection comes back.
///
/// Whatever the level: a connection in a transaction is rolled back; one with an answer outstanding
/// is closed; and where a statement went by whose text changes the session (`SET`, `USE`, `LOCK
/// TABLES`, `GET_LOCK`, `CREATE TEMPORARY TABLE`, `PREPARE`, user variables), the session is cleared
/// as at level `Clean`; or closed, where that would not help (`SET ROLE`, `EXECUTE`). The levels differ in what is done where nothing was seen:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetLevel {
    /// Nothing; and a connection that was idle is not pinged. One that the network lost without a
    /// word is then found out by its next user.
    Fast,
    /// Nothing; but a connection that was idle for a while is pinged before use. What can remain is
    /// what a stored procedure or function did to the session out of sight, and what the last
    /// statement left to be asked for: `LAST_INSERT_ID()`, `FOUND_ROWS()`, `SHOW WARNINGS`.
    #[default]
    Verified,
    /// The session is cleared after every use, by `COM_RESET_CONNECTION`: settings, variables,
    /// temporary tables, locks, prepared statements and with them the statement cache. Then the
    /// set-up statements run again.
    Clean,
    /// The same by `COM_CHANGE_USER`, which logs in again: for servers before MySQL 5.7.3 and MariaDB
    /// 10.2.4, and for proxies that do not know the other. `Clean` does it by itself where the
    /// server says that it is so old.
    ChangeUser,
}

/// How often a statement was found prepared, in all connections of a pool.
#[derive(Debug, Default)]
pub(crate) struct StatementCounts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl StatementCounts {
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}
