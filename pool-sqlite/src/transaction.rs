//! [`SqliteTransaction`]: a transaction or a savepoint as a value, rolled back unless it is committed.
//!
//! Its drop can run nothing, so it notes on the connection what undoes it. Whoever comes next (the
//! same user's next statement, or the pool when the connection comes back) runs that first. Of
//! several that were dropped together, the outermost is dropped last, and its note is the one that
//! counts.
//!
//! SQLite ends a transaction by itself when a write in it is interrupted, the disk is full, or a
//! conflict is to roll it back; and any text can end it. What follows would then be committed
//! statement by statement. So nothing begins if the transaction has ended; and as long as it is held,
//! the connection's commit hook refuses every commit but that of [`SqliteTransaction::commit`], for
//! a closure can go on after the end. A `COMMIT` in a closure is refused with them, and so rolls
//! back. (Releasing a savepoint is no commit.)
//!
//! That a transaction is open does not say that it is the same: a closure can begin another. No
//! transaction ends here without a rollback, but one that has nothing to commit; so it is the same
//! if nothing was rolled back since.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_sql::{TransactionEnd, TransactionWatch};
use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};

use crate::connection::{ALL, Home, SqliteConnection};
use crate::error::{SqliteError, SqliteErrorKind};
use crate::open::{Opened, Role};
use crate::watch::BACKEND;

/// A transaction, or a savepoint within one. Dropped, it is rolled back before anything else is done
/// on its connection, or when the connection comes back.
///
/// On the writer other writers wait until it has ended: do not keep it while waiting for something
/// else. Where the work is one closure, [`SqliteConnection::transaction`] takes less time.
///
/// # Cancel safety
/// A future that is dropped while its statement runs ends the whole transaction: it is rolled back,
/// unless the commit itself had begun, and what follows in it fails with
/// [`TransactionOver`](SqliteErrorKind::TransactionOver).
pub struct SqliteTransaction<'c> {
    connection: &'c mut SqliteConnection,
    /// Which savepoint it is; 0 is the transaction itself.
    depth: u32,
    /// The connection's count when it began.
    rollbacks: u64,
    has_ended: bool,
    /// A savepoint has none.
    watch: TransactionWatch,
}

impl SqliteConnection {
    /// Begins a transaction: `BEGIN IMMEDIATE` on the writer, a snapshot on a reader. It is rolled
    /// back unless it is committed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = pool_sqlite::SqlitePool::connect(":memory:").await?;
    /// let mut writer = pool.write().await?;
    /// writer.call(|c| c.execute_batch("CREATE TABLE film (title TEXT)")).await?;
    ///
    /// let mut tx = writer.begin().await?;
    /// tx.call(|c| c.execute("INSERT INTO film VALUES ('Alien')", [])).await?;
    /// tx.commit().await?; // dropped instead, it is rolled back
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Busy`](SqliteErrorKind::Busy) if another process holds the lock for
    /// longer than the busy timeout; SQLite's, if a statement has begun a transaction already.
    pub async fn begin(&mut self) -> Result<SqliteTransaction<'_>, SqliteError> {
        let sql = match self.role {
            Role::Writer => "BEGIN IMMEDIATE",
            Role::Reader => "BEGIN",
        };
        let _ = self.come_home().await; // if that fails, `call` says so
        let (observers, operation) = (&self.shared.observers, self.activity.operation());
        let watch = TransactionWatch::begin(observers, BACKEND, operation);
        if let Err(error) = self.call(move |connection| connection.execute_batch(sql)).await {
            watch.not_begun();
            return Err(error);
        }
        let rollbacks = self.here()?.rollbacks.load(Ordering::Relaxed);
        self.is_held = true;
        Ok(SqliteTransaction { connection: self, depth: 0, rollbacks, has_ended: false, watch })
    }
}

impl SqliteTransaction<'_> {
    /// As [`SqliteConnection::call`], in this transaction.
    ///
    /// A closure is not to end the transaction, not by `COMMIT` either: that fails and rolls back.
    /// Nothing that it does after the end is kept.
    ///
    /// # Errors
    /// As there; and [`TransactionOver`](SqliteErrorKind::TransactionOver) if the transaction had
    /// ended before, or has ended in a closure that would else have succeeded.
    pub async fn call<T, F>(&mut self, run: F) -> Result<T, SqliteError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let done = self.connection().await?.call(move |connection| run(connection)).await;
        self.within(done)
    }

    /// As [`SqliteConnection::inline`], in this transaction; else as [`call`](Self::call).
    ///
    /// # Errors
    /// As there.
    pub async fn inline<T, F>(&mut self, mut run: F) -> Result<T, SqliteError>
    where
        F: FnMut(&Connection) -> rusqlite::Result<T>,
    {
        let done = self.connection().await?.inline(move |connection| run(connection)).await;
        self.within(done)
    }

    /// Begins a transaction within this one: what is rolled back of it leaves the rest as it was.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn savepoint(&mut self) -> Result<SqliteTransaction<'_>, SqliteError> {
        let (depth, rollbacks) = (self.depth + 1, self.rollbacks);
        self.call(move |connection| connection.execute_batch(&format!("SAVEPOINT pool_{depth}")))
            .await?;
        let (connection, watch) = (&mut *self.connection, TransactionWatch::default());
        Ok(SqliteTransaction { connection, depth, rollbacks, has_ended: false, watch })
    }

    /// Keeps what was done; of a savepoint, as part of its transaction.
    ///
    /// # Errors
    /// [`TransactionOver`](SqliteErrorKind::TransactionOver) if it had ended before; SQLite's, such as
    /// a foreign key that is checked at the end: then it is rolled back.
    pub async fn commit(mut self) -> Result<(), SqliteError> {
        let sql = match self.depth {
            0 => "COMMIT".to_owned(),
            depth => format!("RELEASE pool_{depth}"),
        };
        self.connection().await?;
        if self.depth == 0 {
            self.connection.is_held = false; // this is the commit that may be
        }
        let mut watch = std::mem::take(&mut self.watch);
        watch.in_doubt();
        let done = self.connection.call(move |connection| connection.execute_batch(&sql)).await;
        match &done {
            Ok(()) => watch.end(TransactionEnd::Committed),
            Err(_) if matches!(self.connection.home, Home::Lost) => drop(watch),
            Err(_) => watch.end(TransactionEnd::RolledBack),
        }
        self.has_ended = done.is_ok();
        done
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// As [`SqliteConnection::call`]: then it is undone before the connection's next use.
    pub async fn rollback(mut self) -> Result<(), SqliteError> {
        let undo = undo(self.depth);
        let roll_back = move |connection: &mut Connection| match connection.is_autocommit() {
            true => Ok(()), // SQLite has done it
            false => connection.execute_batch(&undo),
        };
        self.connection.call(roll_back).await?;
        self.connection.is_held &= self.depth > 0;
        self.has_ended = true;
        Ok(())
    }

    /// The connection, in order and in a transaction still.
    pub(crate) async fn connection(&mut self) -> Result<&mut SqliteConnection, SqliteError> {
        self.connection.come_home().await?;
        match self.is_over()? {
            true => Err(self.over()),
            false => Ok(self.connection),
        }
    }

    /// What something that ran in the transaction has come to, if that is where it ran to its end.
    pub(crate) fn within<T>(&mut self, done: Result<T, SqliteError>) -> Result<T, SqliteError> {
        let is_over = done.is_ok() && self.is_over()?;
        within(done, is_over).map_err(|error| error.of(&self.connection.shared.database))
    }

    fn is_over(&mut self) -> Result<bool, SqliteError> {
        let opened = self.connection.here()?;
        Ok(has_ended(&opened.connection, &opened.rollbacks, self.rollbacks))
    }

    fn over(&self) -> SqliteError {
        over().of(&self.connection.shared.database)
    }
}

impl Opened {
    /// Runs a closure in a transaction that is this function's alone to commit. With whether one
    /// could be begun.
    pub(crate) fn in_transaction<T>(
        &mut self,
        behavior: TransactionBehavior,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> (bool, Result<T, SqliteError>) {
        let tx = match self.connection.transaction_with_behavior(behavior) {
            Ok(tx) => tx,
            Err(error) => return (false, Err(error.into())),
        };
        let rollbacks = self.rollbacks.load(Ordering::Relaxed);
        self.is_held.store(true, Ordering::Relaxed);
        let ran = run(&tx).map_err(SqliteError::from);
        self.is_held.store(false, Ordering::Relaxed);
        let ran = within(ran, has_ended(&tx, &self.rollbacks, rollbacks));
        (true, ran.and_then(|value| tx.commit().map(|()| value).map_err(SqliteError::from)))
    }
}

/// Whether the transaction that was begun at this count of rollbacks is no more.
fn has_ended(connection: &Connection, rollbacks: &AtomicU64, begun_at: u64) -> bool {
    connection.is_autocommit() || rollbacks.load(Ordering::Relaxed) != begun_at
}

fn within<T>(done: Result<T, SqliteError>, is_over: bool) -> Result<T, SqliteError> {
    match done {
        Ok(_) if is_over => Err(over()),
        Err(error) if error.code() == Some(ffi::SQLITE_CONSTRAINT_COMMITHOOK) => Err(over()),
        done => done,
    }
}

fn over() -> SqliteError {
    let text = "the transaction has ended: it was rolled back since a statement in it was \
                interrupted or failed, or a statement ended it; nothing is kept outside of it";
    SqliteError::text(SqliteErrorKind::TransactionOver, text)
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if matches!(self.connection.home, Home::Lost) {
            self.watch.in_doubt();
        }
        if !self.has_ended {
            self.connection.undo = Some(undo(self.depth).into());
            self.connection.is_held &= self.depth > 0;
        }
    }
}

fn undo(depth: u32) -> String {
    match depth {
        0 => ALL.to_owned(),
        depth => format!("ROLLBACK TO pool_{depth}; RELEASE pool_{depth}"),
    }
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction")
            .field("connection", &self.connection)
            .field("savepoint", &self.depth)
            .finish()
    }
}
