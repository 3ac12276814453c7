//! [`MySqlTransaction`]: a transaction or a savepoint, rolled back unless it is committed.
//!
//! Two things end a transaction behind its user's back: the server rolls it back (a deadlock), and
//! some statements commit it (`CREATE TABLE` and its like). What follows would then be committed by
//! itself, statement by statement or, after a deadlock, as a transaction without its first half. So
//! before each statement the transaction has to be there still: the last answer says so, or, after an
//! error, a ping.

use std::fmt;

use mysql_async::IsolationLevel;
use pool_sql::{TransactionEnd, TransactionWatch};

use crate::connection::MySqlConnection;
use crate::error::MySqlError;
use crate::link::State;
use crate::statements::Statements;
use crate::text::Leaves;

/// A transaction, or a savepoint within one. Dropped, it is rolled back before anything else is done
/// on its connection, or when the connection comes back.
pub struct MySqlTransaction<'c> {
    pub(crate) connection: &'c mut MySqlConnection,
    /// Which savepoint it is; 0 is the transaction itself.
    depth: u32,
    has_ended: bool,
    /// A savepoint has none.
    watch: TransactionWatch,
}

/// A transaction in the making, see [`MySqlConnection::build_transaction`].
#[must_use = "nothing is begun until it is started"]
pub struct MySqlTransactionBuilder<'c> {
    connection: &'c mut MySqlConnection,
    isolation_level: Option<IsolationLevel>,
    read_only: Option<bool>,
    consistent_snapshot: bool,
}

impl<'c> MySqlTransactionBuilder<'c> {
    pub(crate) fn new(connection: &'c mut MySqlConnection) -> Self {
        Self { connection, isolation_level: None, read_only: None, consistent_snapshot: false }
    }

    /// With an isolation level. Default: the session's, which is `REPEATABLE READ` unless set.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = Some(level);
        self
    }

    /// Read only, or not.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Whether it sees the data as of its begin, not as of its first read.
    pub fn consistent_snapshot(mut self, on: bool) -> Self {
        self.consistent_snapshot = on;
        self
    }

    /// Begins it.
    ///
    /// # Errors
    /// The server's, or that the connection is lost.
    pub async fn start(self) -> Result<MySqlTransaction<'c>, MySqlError> {
        let mut how = Vec::new();
        if self.consistent_snapshot {
            how.push("WITH CONSISTENT SNAPSHOT");
        }
        match self.read_only {
            Some(true) => how.push("READ ONLY"),
            Some(false) => how.push("READ WRITE"),
            None => {}
        }
        let mut sql = format!("START TRANSACTION {}", how.join(", "));
        if let Some(level) = self.isolation_level {
            // For the next transaction only.
            sql = format!("SET TRANSACTION ISOLATION LEVEL {level}; {sql}");
        }
        let mut call = self.connection.on().call(Some(sql.trim_end())).await?;
        let watch = call.watch_transaction();
        let begun = call.run(&sql).await;
        if begun.is_err() && self.isolation_level.is_some() {
            call.leaves(Leaves::State); // the level is for the next transaction, whosever it is
        }
        if let Err(error) = call.end(begun) {
            watch.not_begun();
            return Err(error);
        }
        self.connection.was_refused = false;
        Ok(MySqlTransaction { connection: self.connection, depth: 0, has_ended: false, watch })
    }
}

impl MySqlTransaction<'_> {
    /// Keeps what was done; of a savepoint, as part of its transaction.
    ///
    /// # Errors
    /// [`TransactionOver`](crate::MySqlErrorKind::TransactionOver) if it had ended before: rolled back by
    /// the server or in a procedure, or committed by a statement such as `CREATE TABLE`. The server's;
    /// the connection is lost, and then nobody knows whether it was committed.
    pub async fn commit(mut self) -> Result<(), MySqlError> {
        let connection = &*self.connection;
        let is_there = connection.link.status().is_some_and(|status| status.in_transaction);
        if !is_there || connection.owed.is_some() || connection.was_refused || self.depth > 0 {
            self.connection.check_transaction().await?;
        }
        let sql = match self.depth {
            0 => "COMMIT".into(),
            depth => format!("RELEASE SAVEPOINT pool_{depth}"),
        };
        self.finish(&sql, TransactionEnd::Committed).await
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// The server's, or that the connection is lost: then it is undone all the same.
    pub async fn rollback(mut self) -> Result<(), MySqlError> {
        let undo = undo(self.depth);
        let end = self.undone();
        self.finish(&undo, end).await
    }

    /// What a batch is all or nothing by: a savepoint.
    pub(crate) async fn nested(&mut self) -> Result<MySqlTransaction<'_>, MySqlError> {
        self.savepoint().await
    }

    /// How it ends if it is left as it is: where the last answer says that there is none, a
    /// statement or the server has ended it, and nobody knows how.
    fn undone(&self) -> TransactionEnd {
        let link = &self.connection.link;
        let is_over = link.status().is_some_and(|status| !status.in_transaction);
        match is_over || link.state() == State::Lost {
            true => TransactionEnd::Lost,
            false => TransactionEnd::RolledBack,
        }
    }

    async fn finish(&mut self, sql: &str, end: TransactionEnd) -> Result<(), MySqlError> {
        let connection = &mut *self.connection;
        if self.depth == 0 {
            connection.owed = None; // it goes with the rest
        }
        let mut call = connection.on().call(Some(sql)).await?;
        let mut watch = std::mem::take(&mut self.watch);
        if end != TransactionEnd::RolledBack {
            watch.in_doubt();
        }
        let done = call.run(sql).await;
        let done = call.end(done);
        watch.end(match &done {
            Ok(()) => end,
            Err(error) if error.leaves_a_connection() => TransactionEnd::RolledBack,
            Err(_) => TransactionEnd::Lost,
        });
        self.has_ended = done.is_ok();
        done
    }

    /// Begins a transaction within this one: what is rolled back of it leaves the rest as it was.
    ///
    /// # Errors
    /// The server's, or that the connection is lost.
    pub async fn savepoint(&mut self) -> Result<MySqlTransaction<'_>, MySqlError> {
        self.connection.savepoint(self.depth + 1).await
    }
}

impl Drop for MySqlTransaction<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let owed = &mut self.connection.owed;
            *owed = Some(owed.unwrap_or(self.depth).min(self.depth));
        }
        if self.undone() == TransactionEnd::Lost {
            self.watch.in_doubt();
        }
    }
}

fn undo(depth: u32) -> String {
    match depth {
        0 => "ROLLBACK".into(),
        depth => {
            format!("ROLLBACK TO SAVEPOINT pool_{depth}; RELEASE SAVEPOINT pool_{depth}")
        }
    }
}

impl MySqlConnection {
    /// What a batch is all or nothing by: a transaction, or a savepoint if a text has begun one.
    pub(crate) async fn nested(&mut self) -> Result<MySqlTransaction<'_>, MySqlError> {
        if self.owed.is_some() {
            self.undo().await?;
        }
        if self.link.ask_status().await?.is_some_and(|status| status.in_transaction) {
            return self.savepoint(1).await;
        }
        self.transaction().await
    }

    async fn savepoint(&mut self, depth: u32) -> Result<MySqlTransaction<'_>, MySqlError> {
        let sql = format!("SAVEPOINT pool_{depth}");
        let on = Statements { connection: self, in_transaction: true };
        let mut call = on.call(Some(&sql)).await?;
        let begun = call.run(&sql).await;
        call.end(begun)?;
        let watch = TransactionWatch::default();
        Ok(MySqlTransaction { connection: self, depth, has_ended: false, watch })
    }

    /// Does what a dropped transaction owes.
    pub(crate) async fn undo(&mut self) -> Result<(), MySqlError> {
        let Some(depth) = self.owed else { return Ok(()) };
        // If not, the server has undone it already.
        let is_there = self.link.ask_status().await?.is_some_and(|status| status.in_transaction);
        if is_there {
            let sql = undo(depth);
            let mut call = self.begin(Some(&sql)).await?;
            let done = call.run(&sql).await;
            call.end(done)?;
        }
        self.owed = None;
        Ok(())
    }
}

impl fmt::Debug for MySqlTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlTransaction")
            .field("connection", &self.connection)
            .field("savepoint", &self.depth)
            .finish()
    }
}

impl fmt::Debug for MySqlTransactionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlTransactionBuilder").finish_non_exhaustive()
    }
}
