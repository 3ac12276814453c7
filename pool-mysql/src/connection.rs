//! [`MySqlConnection`]: a connection that gives right answers or none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use pool_core::Activity;
use pool_sql::Retry;
use scoped_futures::ScopedBoxFuture;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::common::Common;
use crate::error::MySqlError;
use crate::link::Link;
use crate::server::{MySqlServer, Wishes};
use crate::text::Leaves;
use crate::transaction::{MySqlTransaction, MySqlTransactionBuilder};

/// A connection to a MySQL or MariaDB server, from a [`MySqlPool`](crate::MySqlPool).
///
/// Its methods are those of mysql_async's `Queryable`, and its rows, values and parameters are
/// mysql_async's own. What differs:
///
/// * Statements given as text are prepared once and kept (see
///   [`statement_cache`](crate::MySqlBuilder::statement_cache)).
/// * Parameters that do not fit their statement and rows that do not convert are errors, and the
///   connection goes on; the driver closes it for the one and panics for the other.
/// * Whatever can talk to the server (rows, transactions) borrows the connection, so that nothing
///   of one user reaches the next.
///
/// # Cancel safety
///
/// A call whose future is dropped leaves an answer on its way that nothing tells from the answer to
/// the next question. So that is the connection's last call: every other is refused
/// ([`Abandoned`](crate::MySqlErrorKind::Abandoned)), and when it comes back it is closed, and
/// what runs on it ended on the server. Acquire another one to go on.
///
/// A transaction that is dropped is rolled back before the connection's next statement, or when it
/// comes back.
///
/// # What the next user can find
///
/// See [`ResetLevel`](crate::ResetLevel).
pub struct MySqlConnection {
    pub(crate) link: Link,
    pub(crate) cache: Cache,
    pub(crate) common: Arc<Common>,
    pub(crate) activity: Activity,
    server: Arc<MySqlServer>,
    /// How much the server takes at once.
    pub(crate) max_packet: usize,
    /// What the session's autocommit was when it was new.
    pub(crate) autocommit: bool,
    /// What it is for its users: hooks may change it.
    pub(crate) adopted_autocommit: bool,
    /// What statements left in the session.
    pub(crate) left: Leaves,
    /// Something was done since the session was last cleared.
    pub(crate) is_used: bool,
    /// The driver's connection was given out, so nothing is known.
    pub(crate) is_raw: bool,
    /// What a dropped transaction owes: the savepoint to roll back to; 0 is all of it.
    pub(crate) owed: Option<u32>,
    /// Statements were prepared in another database.
    pub(crate) is_stale: bool,
    /// The connection's number, and whose it is.
    pub(crate) logged_in: (u32, Option<String>),
    opened: Instant,
    /// A statement of the transaction was not run, since the transaction had ended.
    pub(crate) was_refused: bool,
}

impl MySqlConnection {
    pub(crate) fn new(link: Link, common: Arc<Common>, activity: Activity) -> Self {
        let logged_in = login(link.conn());
        Self {
            is_stale: false,
            logged_in,
            opened: Instant::now(),
            link,
            cache: Cache::new(0),
            common,
            activity,
            server: Arc::default(),
            max_packet: usize::MAX,
            autocommit: true,
            adopted_autocommit: true,
            left: Leaves::Nothing,
            is_used: false,
            is_raw: false,
            owed: None,
            was_refused: false,
        }
    }

    /// Makes the session what the options say, and asks the server for its limits.
    pub(crate) async fn begin_session(&mut self, wishes: &Wishes) -> Result<(), MySqlError> {
        self.set_up().await?;
        let server = MySqlServer::ask(self.link.begin().await?).await;
        let server = self.link.end(server)?;
        self.autocommit = self.link.ask_status().await?.is_none_or(|status| status.autocommit);
        self.adopted_autocommit = self.autocommit;
        self.cache = Cache::new(server.statements(wishes.statements, wishes.max_size));
        self.max_packet = server.max_allowed_packet.map_or(usize::MAX, |max| max as usize);
        self.server = Arc::new(server);
        Ok(())
    }

    pub(crate) fn login(&self) -> (u32, Option<String>) {
        login(self.link.conn())
    }

    /// How long ago it was opened.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(crate) fn shared_server(&self) -> &Arc<MySqlServer> {
        &self.server
    }

    /// Begins a transaction. It is rolled back unless it is committed.
    ///
    /// # Errors
    /// The server's, or that the connection is lost.
    pub async fn transaction(&mut self) -> Result<MySqlTransaction<'_>, MySqlError> {
        self.build_transaction().start().await
    }

    /// Begins a transaction with an isolation level or an access mode.
    pub fn build_transaction(&mut self) -> MySqlTransactionBuilder<'_> {
        MySqlTransactionBuilder::new(self)
    }

    /// Runs a transaction, and again if it was the victim of a deadlock (error 1213), waited too long
    /// for a lock (1205) or read what another one had changed (1020): up to 10 times, with growing
    /// pauses in between. What the closure does besides the database happens as often.
    ///
    /// ```no_run
    /// # async fn f(conn: &mut pool_mysql::MySqlConnection) -> Result<(), pool_mysql::MySqlError> {
    /// use pool_mysql::ScopedFutureExt;
    ///
    /// let (from, to) = (1, 2);
    /// conn.transaction_with_retry(|tx| {
    ///     async move {
    ///         tx.exec_drop("UPDATE account SET cents = cents - 5 WHERE id = ?", (from,)).await?;
    ///         tx.exec_drop("UPDATE account SET cents = cents + 5 WHERE id = ?", (to,)).await
    ///     }
    ///     .scope_boxed()
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The closure boxes its future, so that the whole can be spawned; the compiler does not see that
    /// of an `async` closure. What the future uses besides the transaction it owns or shares (`Arc`):
    /// it cannot borrow what is local to the caller.
    ///
    /// # Errors
    /// The closure's, or the last conflict.
    ///
    /// # Cancel safety
    /// Nothing is committed once the future is dropped, unless the commit itself had been sent.
    pub async fn transaction_with_retry<'a, T, F>(&mut self, mut run: F) -> Result<T, MySqlError>
    where
        F: for<'t, 'c> FnMut(
                &'t mut MySqlTransaction<'c>,
            ) -> ScopedBoxFuture<'a, 't, Result<T, MySqlError>>
            + Send
            + 'a,
        T: 'a,
    {
        let mut retry = Retry::new();
        loop {
            let done = {
                let mut tx = self.transaction().await?;
                match run(&mut tx).await {
                    Ok(value) => tx.commit().await.map(|()| value),
                    // Before the pause: the other one waits for these locks.
                    Err(error) => {
                        let _ = tx.rollback().await; // if that fails, it is undone all the same
                        Err(error)
                    }
                }
            };
            let conflict = match done {
                Err(error) if error.is_worth_a_new_transaction() => error,
                done => return done,
            };
            if !retry.again().await {
                return Err(conflict);
            }
        }
    }

    /// Ends every statement of this checkout that takes longer, by the server's `max_statement_time`
    /// (MariaDB) or `max_execution_time` (MySQL, which ends only `SELECT`s by it); zero is no limit.
    /// The pool takes it back when the connection comes back.
    ///
    /// # Errors
    /// The server's.
    pub async fn statement_timeout(&mut self, limit: Duration) -> Result<(), MySqlError> {
        // Rounded up: 0 would be no limit.
        let set = if self.server.is_mariadb {
            let micros = limit.as_nanos().div_ceil(1_000).min(1_000_000 * 31_536_000);
            format!("SET max_statement_time = {}.{:06}", micros / 1_000_000, micros % 1_000_000)
        } else {
            let millis = limit.as_nanos().div_ceil(1_000_000).min(u128::from(u32::MAX));
            format!("SET max_execution_time = {millis}")
        };
        self.query_drop(set).await
    }

    /// What the server said of itself when the connection was opened.
    pub fn server(&self) -> &MySqlServer {
        &self.server
    }

    /// The server's number for this connection, as in `SHOW PROCESSLIST` and for `KILL`.
    pub fn connection_id(&self) -> u32 {
        self.link.conn().id()
    }

    /// Whether no statement can be sent any more: the connection was lost, or a call was dropped.
    pub fn is_closed(&self) -> bool {
        self.link.check().is_err()
    }

    /// How many statements are prepared and kept.
    pub fn cached_statements(&self) -> usize {
        self.cache.len()
    }

    /// The driver's own connection, for what is not here. What is done with it is not followed: when
    /// the connection comes back, it has to prove that its answers are in step, and its session is
    /// cleared. The driver's own futures latch nothing: after one was dropped, send nothing more.
    ///
    /// # Errors
    /// That an earlier call was dropped, or the connection is lost.
    pub fn raw(&mut self) -> Result<&mut Conn, MySqlError> {
        self.link.check()?;
        // It may reset the session, and then the server does not know them.
        (self.is_raw, self.is_stale) = (true, true);
        Ok(self.link.raw())
    }
}

fn login(conn: &Conn) -> (u32, Option<String>) {
    (conn.id(), conn.opts().user().map(Into::into))
}

impl fmt::Debug for MySqlConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlConnection")
            .field("server", &self.common.front.name)
            .field("connection_id", &self.connection_id())
            .field("state", &self.link.state())
            .finish_non_exhaustive()
    }
}
