//! [`PgConnection`]: a connection to a PostgreSQL server, as its user sees it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::Activity;
use pool_sql::Retry;
use scoped_futures::ScopedBoxFuture;
use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Row, SimpleQueryMessage};

use crate::common::{Common, Profile};
use crate::copy::{PgCopyIn, PgCopyOut};
use crate::driver::Driver;
use crate::error::{PgError, PgErrorKind};
use crate::front::Connected;
use crate::rows::PgRowStream;
use crate::server::PgServer;
use crate::session::Session;
use crate::statements::{PgStatement, Query, Statements};
use crate::transaction::{PgTransaction, PgTransactionBuilder};

/// A connection to a PostgreSQL server, from a [`PgPool`](crate::PgPool).
///
/// Its methods are those of tokio-postgres' client, and its rows, types and parameters are
/// tokio-postgres' own. What differs:
///
/// * Statements given as text are prepared once and kept (see
///   [`statement_cache`](crate::PgBuilder::statement_cache)), and prepared anew when the server has
///   forgotten them or their table has changed.
/// * Whatever can talk to the server (streams, statements, cancel tokens, transactions) borrows the
///   connection, so that nothing of one user reaches the next.
/// * Several calls may be under way at once (`join!`): they are sent one after the other without
///   waiting for answers; behind a pooler, and beside a copy, each after the answer to the one before.
///
/// # Cancel safety
///
/// A call whose future is dropped is given up: what it sent is ended by a cancel request, unless it
/// ends by itself in a moment, before anything else is sent on the connection, and before anybody
/// else gets it. A transaction that is dropped is rolled back.
///
/// # What the next user can find
///
/// See [`ResetLevel`](crate::ResetLevel).
pub struct PgConnection {
    // The client first: the driver ends by itself when it is gone.
    client: Client,
    pub(crate) session: Session,
    driver: Driver,
    /// The client was given out, so nothing is known.
    pub(crate) is_raw: bool,
}

impl PgConnection {
    pub(crate) fn new(connected: Connected, common: Arc<Common>, activity: Activity) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let Connected { client, status, driver, server, way } = connected;
        let session = Session::new(id, common, status, activity, server, way);
        Self { client, session, driver, is_raw: false }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn on(&self) -> Statements<'_> {
        Statements { client: &self.client, session: &self.session, is_within: false }
    }

    /// Begins a transaction. It is rolled back unless it is committed.
    ///
    /// # Errors
    /// The server's, or that the connection is lost.
    pub async fn transaction(&mut self) -> Result<PgTransaction<'_>, PgError> {
        self.build_transaction().start().await
    }

    /// Begins a transaction with an isolation level or an access mode.
    pub fn build_transaction(&mut self) -> PgTransactionBuilder<'_> {
        PgTransactionBuilder::new(&mut self.client, &self.session)
    }

    /// Runs a transaction at level `SERIALIZABLE`, and again if it conflicted with another one
    /// (SQLSTATE 40001) or was the victim of a deadlock (40P01): up to 10 times, with growing pauses
    /// in between. What the closure does besides the database happens as often.
    ///
    /// ```no_run
    /// # async fn f(conn: &mut pool_postgres::PgConnection) -> Result<(), pool_postgres::PgError> {
    /// use pool_postgres::ScopedFutureExt;
    ///
    /// let (from, to) = (1_i32, 2_i32);
    /// conn.transaction_with_retry(|tx| {
    ///     async move {
    ///         tx.execute("UPDATE account SET cents = cents - 5 WHERE id = $1", &[&from]).await?;
    ///         tx.execute("UPDATE account SET cents = cents + 5 WHERE id = $1", &[&to]).await
    ///     }
    ///     .scope_boxed()
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The closure boxes its future, so that the whole can be spawned whatever it borrows; the compiler
    /// does not see that of an `async` closure.
    ///
    /// # Errors
    /// The closure's, or the last conflict.
    ///
    /// # Cancel safety
    /// Nothing is committed once the future is dropped, unless the commit itself had been sent.
    pub async fn transaction_with_retry<'a, T, F>(&mut self, mut run: F) -> Result<T, PgError>
    where
        F: for<'t> FnMut(&'t PgTransaction<'t>) -> ScopedBoxFuture<'a, 't, Result<T, PgError>>
            + Send
            + 'a,
        T: 'a,
    {
        let mut retry = Retry::new();
        loop {
            let serializable = IsolationLevel::Serializable;
            let done = {
                let tx = self.build_transaction().isolation_level(serializable).start().await?;
                match run(&tx).await {
                    Ok(value) => tx.commit().await.map(|()| value),
                    Err(error) => Err(error), // and it is rolled back, before the pause
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

    /// Ends every statement of this checkout that takes longer, by the server's `statement_timeout`;
    /// zero is no limit. The pool takes it back when the connection comes back.
    ///
    /// # Errors
    /// Behind a pooler there is no session to set it in: use `SET LOCAL` in a transaction.
    pub async fn statement_timeout(&self, limit: Duration) -> Result<(), PgError> {
        if self.session.common.profile == Profile::Pooler {
            let text = "behind a pooler in transaction mode there is no session to set \
                        statement_timeout in: use SET LOCAL in a transaction";
            return Err(PgError::text(PgErrorKind::Profile, text));
        }
        // Rounded up: 0 would be no limit.
        let millis = limit.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
        self.batch_execute(&format!("SET statement_timeout = {millis}")).await
    }

    /// What cancels the statement that runs on this connection. It lives as long as the connection
    /// is held, so that it cannot hit anybody else's.
    pub fn cancel_token(&self) -> PgCancelToken<'_> {
        PgCancelToken::new(&self.client, &self.session)
    }

    /// What the server said of itself when the connection was opened.
    pub fn server(&self) -> &PgServer {
        &self.session.server
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// How many statements are prepared and kept.
    pub fn cached_statements(&self) -> usize {
        self.session.cache.lock().map_or(0, |cache| cache.len())
    }

    /// The driver's own client, for what is not here. What is done with it is not followed: when the
    /// connection comes back what still runs is ended and its session is cleared, prepared statements
    /// made by commands included; behind a pooler it is closed.
    pub fn raw(&mut self) -> &mut Client {
        self.is_raw = true;
        &mut self.client
    }

    /// Proves by a round trip that the server is there.
    pub(crate) async fn ping(&self) -> Result<(), PgError> {
        let was_used = self.session.is_used.load(Ordering::Relaxed);
        let call = self.session.call(&self.client, None).await?;
        let done = self.client.check_connection().await;
        self.session.is_used.store(was_used, Ordering::Relaxed);
        call.finish(done).await
    }

    /// Ends the connection; when this is done, the server has ended it too. What was given up does
    /// not go on until then, as after a reset: the server would finish it, and commit.
    pub(crate) async fn close(self) {
        let Self { client, driver, session, is_raw, .. } = self;
        if session.common.profile == Profile::Pooler && session.is_running() {
            return; // the driver would wait for the answer first, and nobody does
        }
        let wire = &session.wire;
        let is_out_of_reach = wire.is_broken() || wire.has_ended() || wire.is_copying();
        if (session.nobody_waits() || is_raw) && !is_out_of_reach {
            let _ = session.settle(&client).await;
        }
        drop(session); // its statements
        drop(client);
        driver.ended().await;
    }
}

/// The methods that a connection and a transaction have in common.
macro_rules! statements {
    ($of:ty) => {
        impl $of {
            /// Prepares a statement, or finds it prepared.
            ///
            /// # Errors
            /// The server's; behind a pooler outside a transaction: that it is of no use there.
            pub async fn prepare(&self, sql: &str) -> Result<PgStatement<'_>, PgError> {
                self.on().prepare(sql).await
            }

            /// Prepares a statement with types for its first parameters. It is not kept.
            ///
            /// # Errors
            /// As [`prepare`](Self::prepare).
            pub async fn prepare_typed(
                &self,
                sql: &str,
                types: &[Type],
            ) -> Result<PgStatement<'_>, PgError> {
                self.on().prepare_typed(sql, types).await
            }

            /// Runs a statement, given by text or prepared, and returns its rows.
            ///
            /// # Errors
            /// The server's; a parameter that does not convert to the server's type; the
            /// connection is lost.
            pub async fn query<Q: Query + ?Sized>(
                &self,
                query: &Q,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Vec<Row>, PgError> {
                self.on().query(query, params).await
            }

            /// Runs a statement that returns one row.
            ///
            /// # Errors
            /// As [`query`](Self::query); and [`PgErrorKind::Rows`] for another number of rows.
            pub async fn query_one<Q: Query + ?Sized>(
                &self,
                query: &Q,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Row, PgError> {
                self.on().query_one(query, params).await
            }

            /// Runs a statement that returns at most one row.
            ///
            /// # Errors
            /// As [`query_one`](Self::query_one).
            pub async fn query_opt<Q: Query + ?Sized>(
                &self,
                query: &Q,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>, PgError> {
                self.on().query_opt(query, params).await
            }

            /// Runs a statement and returns its rows as they come.
            ///
            /// # Errors
            /// As [`query`](Self::query); also while the rows come.
            pub async fn query_raw<Q, P, I>(
                &self,
                query: &Q,
                params: I,
            ) -> Result<PgRowStream<'_>, PgError>
            where
                Q: Query + ?Sized,
                P: BorrowToSql,
                I: IntoIterator<Item = P>,
            {
                self.on().query_raw(query, params).await
            }

            /// Runs a statement with types for its parameters. Behind a pooler it is not prepared
            /// and takes one round trip; else it is prepared for this once.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn query_typed(
                &self,
                sql: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Vec<Row>, PgError> {
                self.on().query_typed(sql, params).await
            }

            /// Runs a statement and returns how many rows it touched.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn execute<Q: Query + ?Sized>(
                &self,
                query: &Q,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<u64, PgError> {
                self.on().execute(query, params).await
            }

            /// As [`query_typed`](Self::query_typed), for the number of rows.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn execute_typed(
                &self,
                sql: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<u64, PgError> {
                self.on().execute_typed(sql, params).await
            }

            /// Runs statements separated by `;` and returns what they say, as text.
            ///
            /// # Errors
            /// The server's; the connection is lost.
            pub async fn simple_query(
                &self,
                sql: &str,
            ) -> Result<Vec<SimpleQueryMessage>, PgError> {
                self.on().simple_query(sql).await
            }

            /// Runs statements separated by `;`.
            ///
            /// # Errors
            /// As [`simple_query`](Self::simple_query).
            pub async fn batch_execute(&self, sql: &str) -> Result<(), PgError> {
                self.on().batch_execute(sql).await
            }

            /// Begins a `COPY .. FROM STDIN`.
            ///
            /// # Errors
            /// The server's; behind a pooler outside a transaction: that it is of no use there.
            pub async fn copy_in<T>(&self, sql: &str) -> Result<PgCopyIn<'_, T>, PgError>
            where
                T: bytes::Buf + Send + 'static,
            {
                self.on().copy_in(sql).await
            }

            /// Begins a `COPY .. TO STDOUT`.
            ///
            /// # Errors
            /// As [`copy_in`](Self::copy_in).
            pub async fn copy_out(&self, sql: &str) -> Result<PgCopyOut<'_>, PgError> {
                self.on().copy_out(sql).await
            }
        }
    };
}

impl PgTransaction<'_> {
    pub(crate) fn on(&self) -> Statements<'_> {
        Statements { client: self.client(), session: self.session, is_within: true }
    }
}

statements!(PgConnection);
statements!(PgTransaction<'_>);

/// Cancels what runs on a connection, see [`PgConnection::cancel_token`].
#[derive(Clone, Copy)]
pub struct PgCancelToken<'c> {
    client: &'c Client,
    session: &'c Session,
}

impl<'c> PgCancelToken<'c> {
    pub(crate) fn new(client: &'c Client, session: &'c Session) -> Self {
        Self { client, session }
    }

    /// Asks the server to cancel what runs on the connection. When this returns, the server has been
    /// told; whether something ran it does not say.
    ///
    /// # Errors
    /// The server cannot be reached.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nobody knows what the request will hit: the connection is not used
    /// again.
    pub fn cancel(&self) -> impl Future<Output = Result<(), PgError>> + Send {
        self.session.cancel(self.client)
    }
}

impl fmt::Debug for PgCancelToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCancelToken").finish_non_exhaustive()
    }
}

impl fmt::Debug for PgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConnection")
            .field("server", &self.session.common.front.name)
            .finish_non_exhaustive()
    }
}
