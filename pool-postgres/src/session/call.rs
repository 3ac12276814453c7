//! [`Call`]: a call under way, and what else ends with its drop.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pool_core::Busy;
use tokio::time::timeout;

use super::{MOMENT, Session, is_fatal};
use crate::error::{PgError, PgErrorKind};
use crate::watch::Watch;
use crate::wire::Transaction;

/// A call under way; dropped before its end, it is given up.
pub(crate) struct Call<'s> {
    pub(super) session: &'s Session,
    pub(super) watch: Option<Watch>,
    /// There until the call is over.
    pub(super) busy: Option<Busy<'s>>,
    /// It copies in.
    pub(super) copies: Option<Copies<'s>>,
    /// It is a stream, which may reach up to this answer.
    pub(super) stream: Option<u64>,
}

impl Call<'_> {
    /// The answer has begun, and comes as slowly as its reader wants.
    pub(crate) fn streams(&mut self) {
        let up_to = self.session.wire.asked();
        self.session.streams().push(up_to);
        self.session.calls.fetch_sub(1, Ordering::SeqCst);
        self.stream = Some(up_to);
    }

    /// The call goes on if there is a transaction. It has sent nothing yet.
    ///
    /// Its owner began one, and was told so: answers come in order, so any that came since is about
    /// that one, whatever else is under way. If it says that there is none, a statement has ended it.
    /// That there is one says nothing of statements that have no answer yet.
    pub(crate) fn within(self) -> Result<Self, PgError> {
        if self.session.wire.transaction() != Transaction::None {
            return Ok(self);
        }
        let text = "a statement has ended the transaction (COMMIT, ROLLBACK), and nothing is run \
                    outside of it: end one by commit() or rollback() of its handle, and begin \
                    another for what follows";
        self.end(Err(PgError::text(PgErrorKind::TransactionOver, text)))
    }

    /// The call has ended so.
    pub(crate) fn end<T>(mut self, done: Result<T, PgError>) -> Result<T, PgError> {
        self.over();
        match self.watch.take() {
            Some(watch) => watch.done(done),
            None => done,
        }
    }

    /// The same, for the driver's result. Waits for the server to say that it is ready again, which
    /// comes right after an error, so that the connection is known to be clean when it returns.
    pub(crate) async fn finish<T>(
        self,
        done: Result<T, tokio_postgres::Error>,
    ) -> Result<T, PgError> {
        match done {
            Ok(value) => self.end(Ok(value)),
            Err(error) => Box::pin(self.fail(error)).await,
        }
    }

    async fn fail<T>(self, error: tokio_postgres::Error) -> Result<T, PgError> {
        let (_, is_last) = self.session.calls();
        if is_last && error.as_db_error().is_some() && !is_fatal(&error) {
            let quiet = timeout(MOMENT, self.session.wire.quiet()).await;
            if quiet.is_err() {
                self.session.give_up(); // something else is in front of it
            }
        }
        let error = self.session.said(error);
        self.end(Err(error))
    }

    fn over(&mut self) {
        if self.busy.take().is_none() {
            return;
        }
        match self.stream {
            None => drop(self.session.calls.fetch_sub(1, Ordering::SeqCst)),
            Some(up_to) => {
                let mut streams = self.session.streams();
                if let Some(at) = streams.iter().position(|other| *other == up_to) {
                    streams.swap_remove(at);
                }
            }
        }
        self.copies = None;
        self.session.tell_end();
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.busy.is_some() {
            self.session.give_up();
            self.over();
        }
    }
}

/// Nothing else begins while it is there.
pub(super) struct Copies<'s>(&'s AtomicBool);

impl<'s> Copies<'s> {
    pub(super) fn begin(session: &'s Session) -> Self {
        session.copies.store(true, Ordering::SeqCst);
        Self(&session.copies)
    }
}

impl Drop for Copies<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A cancel request; dropped before it came, it may hit anything.
pub(super) struct CancelRequest<'s>(&'s Session, bool);

impl<'s> CancelRequest<'s> {
    pub(super) fn begin(session: &'s Session) -> Self {
        session.cancels.fetch_add(1, Ordering::SeqCst);
        Self(session, false)
    }

    pub(super) fn came(mut self) {
        self.1 = true;
    }
}

impl Drop for CancelRequest<'_> {
    fn drop(&mut self) {
        let Self(session, came) = self;
        if !*came {
            session.doomed.store(true, Ordering::Release);
        }
        session.cancels.fetch_sub(1, Ordering::SeqCst);
        session.tell_end();
    }
}

/// A statement that is on its way to be prepared.
pub(crate) struct Orphan<'s>(pub(super) Option<&'s AtomicU32>);

impl Orphan<'_> {
    /// It has an owner now, or the server refused it.
    pub(crate) fn adopted(mut self) {
        self.0 = None;
    }
}

impl Drop for Orphan<'_> {
    fn drop(&mut self) {
        if let Some(orphans) = self.0 {
            orphans.fetch_add(1, Ordering::Relaxed);
        }
    }
}
