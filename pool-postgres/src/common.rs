//! [`Common`]: what all connections of a pool share.

use std::sync::atomic::{AtomicU64, Ordering};

use pool_sql::Observers;

use crate::error::{PgError, PgErrorKind};
use crate::front::Front;

pub(crate) struct Common {
    pub(crate) front: Front,
    pub(crate) observers: Observers,
    pub(crate) profile: Profile,
    pub(crate) reset: ResetLevel,
    pub(crate) statement_cache: usize,
    pub(crate) statements: StatementCounts,
}

/// What is between here and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing, or something that gives each connection a server session of its own.
    #[default]
    Direct,
    /// A pooler that gives a session for one transaction at a time: PgBouncer, Supavisor, PgCat in
    /// transaction mode.
    ///
    /// Nothing that needs a session works there, so it is not used: statements have no names and
    /// are sent with the types of their parameters; `options` are refused; a connection is neither
    /// reset nor asked for its server's limits.
    ///
    /// A statement that was given up and does not end in a moment costs its connection. No cancel
    /// request is sent for it: PgBouncer up to 1.19 may end at one, and with it everybody's
    /// connections (pgbouncer/pgbouncer#801, seen here with 1.18). So it runs on until the server
    /// finds out that nobody waits: set `statement_timeout`, or `client_connection_check_interval`,
    /// for the role. [`PgCancelToken`](crate::PgCancelToken) sends one all the same.
    ///
    /// Columns of types that the driver does not know by itself (enums, domains, composites) it looks
    /// up by prepared statements, and in the middle of the rows. So cast them to `text`, or prepare
    /// and run the statement in a transaction. A PgBouncer from 1.21 on with
    /// `max_prepared_statements` above 0 keeps statements, and goes together with `Direct`.
    Pooler,
}

/// What is cleared when a connection comes back.
///
/// Whatever the level, a connection in a transaction is rolled back, a statement that still runs is
/// ended, and where a command went by that changes the session (`SET`, `LISTEN`, `PREPARE`,
/// `DECLARE`, a temporary table, `pg_advisory_lock`), or a statement was given up, the session is
/// cleared as at level `Clean`. The levels differ in what is done where nothing was seen:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetLevel {
    /// Nothing; and a connection that was idle is not pinged. One that the network lost without a
    /// word is then found out by its next user.
    Fast,
    /// Nothing; but a connection that was idle for a while is pinged before use. What can remain is
    /// what a function or a `DO` block did to the session out of sight.
    #[default]
    Verified,
    /// The session is cleared after every use: cursors, settings, listeners, advisory locks,
    /// temporary tables, sequences. Prepared statements stay, so that the statement cache does.
    Clean,
    /// What `DISCARD ALL` does, after every use: prepared statements and plans go too, and the
    /// statement cache with them. By other words, since the driver keeps statements of its own.
    DiscardAll,
}

/// Whether a message quotes a name such as the driver gives its statements: `"s12"`.
fn names_the_drivers(message: &str) -> bool {
    let mut quoted = message.split('"').skip(1).step_by(2);
    quoted.any(|name| name.strip_prefix('s').is_some_and(|number| number.parse::<u64>().is_ok()))
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

impl Common {
    /// An error that the wrong profile makes says so.
    pub(crate) fn explain(&self, error: PgError) -> PgError {
        // A statement of the driver's is gone, or another program's is there.
        let by_name = error.code().is_some_and(|code| matches!(code.code(), "26000" | "42P05"))
            && error.db().is_some_and(|said| names_the_drivers(said.message()));
        let by_startup = error
            .db()
            .is_some_and(|said| said.message().starts_with("unsupported startup parameter"));
        let text = match self.profile {
            Profile::Pooler if by_name => {
                "the driver looks types that it does not know (enums, domains, composites) up by \
                 prepared statements, which a pooler in transaction mode does not keep: cast the \
                 columns to text, or use a transaction"
            }
            Profile::Direct if by_name || by_startup => {
                "this looks like a pooler in transaction mode (PgBouncer, Supavisor, PgCat) between \
                 here and the server; if so, set the profile `Pooler`, or add `pgbouncer=true` to \
                 the URL, and leave out `options`"
            }
            _ => return error,
        };
        PgError::text(PgErrorKind::Profile, format!("{error}: {text}"))
    }
}
