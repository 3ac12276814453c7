//! Transactions that are run again if they conflicted.

use pool_sql::Retry;
use scoped_futures::ScopedBoxFuture;

use crate::connection::AnyConnection;
use crate::error::AnyError;
use crate::transaction::AnyTransaction;

impl AnyConnection {
    /// Runs a transaction, and again if it conflicted with another one
    /// ([`AnyError::is_worth_a_new_transaction`]): up to 10 times, with growing pauses in between.
    /// What the closure does besides the database happens as often. On PostgreSQL it is
    /// `SERIALIZABLE`; on SQLite's writer nothing conflicts, and a lock of another process is
    /// waited for at its begin.
    ///
    /// ```no_run
    /// # async fn f(conn: &mut pool_any::AnyConnection) -> Result<(), pool_any::AnyError> {
    /// use pool_any::{ScopedFutureExt, Value};
    ///
    /// let move_to = "UPDATE account SET cents = cents + $1 WHERE id = $2";
    /// conn.transaction_with_retry(|tx| {
    ///     async move {
    ///         tx.execute(move_to, &[Value::from(-5), Value::from(1)]).await?;
    ///         tx.execute(move_to, &[Value::from(5), Value::from(2)]).await
    ///     }
    ///     .scope_boxed()
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The closure may borrow from its surroundings; the future that it makes may not (the compiler
    /// does not see that it ends in time): give it copies, or clones of an `Arc`.
    ///
    /// # Errors
    /// The closure's, which is rolled back with it: the database's, a row that does not read, or
    /// one of your own by [`AnyError::application`]. Or the last conflict.
    ///
    /// # Cancel safety
    /// Nothing is committed once the future is dropped, unless the commit itself had been sent.
    pub async fn transaction_with_retry<'a, T, F>(&mut self, mut run: F) -> Result<T, AnyError>
    where
        F: for<'t, 'c> FnMut(
                &'t mut AnyTransaction<'c>,
            ) -> ScopedBoxFuture<'a, 't, Result<T, AnyError>>
            + Send
            + 'a,
        T: 'a,
    {
        let mut retry = Retry::new();
        loop {
            let done = {
                let mut tx = self.serializable().await?;
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

    /// As far as it takes no more than asking for it.
    async fn serializable(&mut self) -> Result<AnyTransaction<'_>, AnyError> {
        #[cfg(feature = "postgres")]
        #[allow(irrefutable_let_patterns)]
        if let crate::connection::Connection::Postgres(ref mut it) = self.0 {
            let level = pool_postgres::tokio_postgres::IsolationLevel::Serializable;
            let begun = it.build_transaction().isolation_level(level).start().await?;
            return Ok(AnyTransaction(crate::transaction::Transaction::Postgres(begun)));
        }
        self.transaction().await
    }
}
