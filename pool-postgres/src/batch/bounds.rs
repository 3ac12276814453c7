//! [`Bounds`]: what makes a batch all or nothing, also if it is dropped half-way.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::task::{Context, Waker};

use pool_sql::TransactionWatch;

use crate::error::PgError;
use crate::statements::Statements;
use crate::watch;
use crate::wire::Transaction;

/// A transaction; or a savepoint, where a transaction is open already.
///
/// Dropped before its end it sends what undoes it, and does not wait for the answer. The call that
/// was dropped with it is given up, so nothing else is sent before the server has answered both.
pub(super) struct Bounds<'c> {
    on: Statements<'c>,
    words: Words,
    /// There is something to undo.
    is_open: bool,
    /// A savepoint has none.
    watch: TransactionWatch,
}

#[derive(Clone, Copy)]
struct Words {
    begin: &'static str,
    end: &'static str,
    undo: &'static str,
}

const TRANSACTION: Words = Words { begin: "BEGIN", end: "COMMIT", undo: "ROLLBACK" };
/// The server finds the last savepoint of a name, so a user's of the same name is not in the way.
const SAVEPOINT: Words = Words {
    begin: "SAVEPOINT pool_batch",
    end: "RELEASE SAVEPOINT pool_batch",
    undo: "ROLLBACK TO SAVEPOINT pool_batch; RELEASE SAVEPOINT pool_batch",
};

impl<'c> Bounds<'c> {
    /// Begins it; a savepoint if `is_nested` is known, or else if the wire tells of a transaction.
    pub(super) async fn begin(on: Statements<'c>, is_nested: bool) -> Result<Self, PgError> {
        let is_savepoint = is_nested || is_in_transaction(on).await?;
        let words = if is_savepoint { SAVEPOINT } else { TRANSACTION };
        let mut bounds = Self { on, words, is_open: false, watch: TransactionWatch::default() };
        let call = on.call(Some(words.begin)).await?;
        if !is_savepoint {
            bounds.watch = watch::transaction(on.session);
        }
        // From the next line on it is sent: whoever drops it has something to undo.
        bounds.is_open = true;
        let begun = on.client.batch_execute(words.begin).await;
        bounds.is_open = begun.is_ok();
        match call.finish(begun).await {
            Ok(()) => Ok(bounds),
            Err(error) => {
                mem::take(&mut bounds.watch).not_begun();
                Err(error)
            }
        }
    }

    /// Keeps what was done if it went well, else undoes it.
    ///
    /// # Errors
    /// That of `done`; or what a deferred constraint fails with.
    pub(super) async fn end<T>(mut self, done: Result<T, PgError>) -> Result<T, PgError> {
        let sql = if done.is_ok() { self.words.end } else { self.words.undo };
        let ended = match self.on.session.call(self.on.client, Some(sql)).await {
            Ok(call) => {
                // Once it is sent there is nothing left to undo, however it ends; unless it is given
                // up, and a cancel request hits it.
                self.is_open = false;
                let mut watch = mem::take(&mut self.watch);
                if done.is_ok() {
                    watch.in_doubt();
                }
                self.on.session.set_undo(Some(self.words.undo));
                let ended = call.finish(self.on.client.batch_execute(sql).await).await;
                self.on.session.set_undo(None);
                let said = ended.as_ref().copied();
                watch::ended(watch, self.on.session, said, done.is_err());
                ended
            }
            Err(error) => Err(error),
        };
        // Why it could not be undone, if so, is the lesser news: then the connection is lost.
        done.and_then(|value| ended.map(|()| value))
    }
}

impl Drop for Bounds<'_> {
    fn drop(&mut self) {
        if self.is_open {
            if self.on.session.is_lost() {
                self.watch.in_doubt();
            }
            // The driver sends it with the first poll.
            let undo = pin!(self.on.client.batch_execute(self.words.undo));
            let _ = undo.poll(&mut Context::from_waker(Waker::noop()));
            self.on.session.give_up();
            self.on.session.set_undo(Some(self.words.undo));
        }
    }
}

/// Whether a transaction is open. What the wire says may be on its way to something else: a
/// `ROLLBACK` is sent, and not yet answered, when a transaction is dropped; a `BEGIN` may have been
/// given up. Then a round trip comes first.
async fn is_in_transaction(on: Statements<'_>) -> Result<bool, PgError> {
    let session = on.session;
    if session.wire.transaction() == Transaction::None && !session.is_running() {
        return Ok(false);
    }
    let call = session.call(on.client, None).await?;
    let answered = on.client.check_connection().await;
    call.finish(answered).await?;
    Ok(session.wire.transaction() != Transaction::None)
}
