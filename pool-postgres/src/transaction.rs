//! [`PgTransaction`]: a transaction or a savepoint, rolled back unless it is committed.
//!
//! A text can end a transaction behind its handle's back: `COMMIT`, `ROLLBACK`, `PREPARE TRANSACTION`.
//! What follows would then be committed by itself, statement by statement. So before each of its
//! calls the transaction has to be there still: the status in the last answer says so, without a
//! round trip. After an error it is there, and the server takes nothing more in it.

use std::fmt;
use std::marker::PhantomData;
use std::mem;

use pool_sql::TransactionWatch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, Portal, Row, Transaction, TransactionBuilder};

use crate::connection::PgCancelToken;
use crate::error::{PgError, PgErrorKind};
use crate::session::Session;
use crate::statements::PgStatement;
use crate::watch;

/// A transaction, or a savepoint within one. Dropped, it is rolled back, before anything else is
/// done on its connection.
///
/// It is ended by [`commit`](Self::commit), [`rollback`](Self::rollback) or its drop. If a statement
/// ended it (`COMMIT`, `ROLLBACK`), whatever is asked of it or of its savepoints next is refused with
/// [`PgErrorKind::TransactionOver`], and not sent. That is known with the statement's answer: of
/// several under way at once (`join!`), those that were sent before it came are run, outside of it.
pub struct PgTransaction<'c> {
    // First: it notes what the drop of the next sends.
    undo: Undo<'c>,
    inner: Transaction<'c>,
    pub(crate) session: &'c Session,
    is_savepoint: bool,
}

/// Dropped before it is told that the transaction has ended, it notes that a `ROLLBACK` follows. Of
/// a savepoint it has nothing to note and nothing to tell.
#[derive(Default)]
struct Undo<'c> {
    session: Option<&'c Session>,
    watch: TransactionWatch,
}

impl Undo<'_> {
    fn ended(mut self) {
        self.session = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            watch::left(&mut self.watch, session);
            session.owes_rollback();
        }
    }
}

/// A transaction in the making, see [`PgConnection::build_transaction`].
///
/// [`PgConnection::build_transaction`]: crate::PgConnection::build_transaction
#[must_use = "nothing is begun until it is started"]
pub struct PgTransactionBuilder<'c> {
    client: &'c mut Client,
    session: &'c Session,
    isolation_level: Option<IsolationLevel>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
}

impl<'c> PgTransactionBuilder<'c> {
    pub(crate) fn new(client: &'c mut Client, session: &'c Session) -> Self {
        Self { client, session, isolation_level: None, read_only: None, deferrable: None }
    }

    /// With an isolation level.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = Some(level);
        self
    }

    /// Read only, or not.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Deferrable, or not.
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = Some(deferrable);
        self
    }

    /// Begins it.
    ///
    /// # Errors
    /// The server's, or that the connection is lost.
    pub async fn start(self) -> Result<PgTransaction<'c>, PgError> {
        let Self { client, session, isolation_level, read_only, deferrable } = self;
        let call = session.call(client, Some("START TRANSACTION")).await?;
        let mut builder: TransactionBuilder<'c> = client.build_transaction();
        if let Some(level) = isolation_level {
            builder = builder.isolation_level(level);
        }
        if let Some(read_only) = read_only {
            builder = builder.read_only(read_only);
        }
        if let Some(deferrable) = deferrable {
            builder = builder.deferrable(deferrable);
        }
        let watch = watch::transaction(session);
        let started = builder.start().await;
        let inner = match call.finish(started).await {
            Ok(inner) => inner,
            Err(error) => {
                watch.not_begun();
                return Err(error);
            }
        };
        let undo = Undo { session: Some(session), watch };
        Ok(PgTransaction { inner, session, is_savepoint: false, undo })
    }
}

impl PgTransaction<'_> {
    pub(crate) fn client(&self) -> &Client {
        self.inner.client()
    }

    /// Keeps what was done.
    ///
    /// # Errors
    /// What a deferred constraint or a serializable transaction fails with;
    /// [`PgErrorKind::RolledBack`] if a statement failed before, so that the server rolled back; and
    /// [`PgErrorKind::TransactionOver`] if a statement had ended it.
    pub async fn commit(self) -> Result<(), PgError> {
        let Self { inner, session, is_savepoint, mut undo } = self;
        let sql = if is_savepoint { "RELEASE" } else { "COMMIT" };
        let call = session.call_within(inner.client(), Some(sql)).await?;
        let mut watch = mem::take(&mut undo.watch);
        watch.in_doubt();
        let done = inner.commit().await;
        undo.ended();
        let done = call.finish(done).await;
        // The server says so by nothing but the command's tag.
        let rolled_back = done.is_ok() && !is_savepoint && session.wire.rolled_back();
        watch::ended(watch, session, done.as_ref().copied(), rolled_back);
        done?;
        if rolled_back {
            let text = "the transaction was rolled back, not committed, since one of its \
                        statements had failed";
            return Err(PgError::text(PgErrorKind::RolledBack, text));
        }
        Ok(())
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// The connection is lost; then it is undone too. [`PgErrorKind::TransactionOver`] if a statement
    /// had ended it: what was committed by that is not undone.
    pub async fn rollback(self) -> Result<(), PgError> {
        let Self { inner, session, mut undo, .. } = self;
        let call = session.call_within(inner.client(), Some("ROLLBACK")).await?;
        let watch = mem::take(&mut undo.watch);
        let done = inner.rollback().await;
        undo.ended();
        let done = call.finish(done).await;
        watch::ended(watch, session, done.as_ref().copied(), true);
        done
    }

    /// Sets a savepoint.
    ///
    /// # Errors
    /// The server's, or that the connection is lost; [`PgErrorKind::TransactionOver`] if a statement
    /// had ended the transaction.
    pub async fn transaction(&mut self) -> Result<PgTransaction<'_>, PgError> {
        let call = self.session.call_within(self.inner.client(), Some("SAVEPOINT")).await?;
        let started = self.inner.transaction().await;
        let inner = call.finish(started).await?;
        let undo = Undo::default();
        Ok(PgTransaction { inner, session: self.session, is_savepoint: true, undo })
    }

    /// Binds a prepared statement to parameters, so that its rows can be had in parts.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn bind(
        &self,
        statement: &PgStatement<'_>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<PgPortal<'_>, PgError> {
        let statement = statement.of(self.session)?;
        let call = self.session.call_within(self.client(), None).await?;
        let bound = self.inner.bind(statement, params).await;
        Ok(PgPortal { inner: call.finish(bound).await?, transaction: PhantomData })
    }

    /// The next rows of a portal, at most so many; all that are left with 0.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_portal(
        &self,
        portal: &PgPortal<'_>,
        max_rows: i32,
    ) -> Result<Vec<Row>, PgError> {
        let call = self.session.call_within(self.client(), None).await?;
        let rows = self.inner.query_portal(&portal.inner, max_rows).await;
        call.finish(rows).await
    }

    /// As [`PgConnection::cancel_token`](crate::PgConnection::cancel_token).
    pub fn cancel_token(&self) -> PgCancelToken<'_> {
        PgCancelToken::new(self.client(), self.session)
    }
}

/// A statement with its parameters, whose rows are fetched in parts. See [`PgTransaction::bind`].
pub struct PgPortal<'t> {
    inner: Portal,
    transaction: PhantomData<&'t ()>,
}

impl fmt::Debug for PgPortal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgPortal").finish_non_exhaustive()
    }
}

impl fmt::Debug for PgTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTransaction")
            .field("is_savepoint", &self.is_savepoint)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PgTransactionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTransactionBuilder").finish_non_exhaustive()
    }
}
