//! The calls that a connection and a transaction have in common: the driver's `Queryable`, with the
//! latch before each, and errors where the driver panics.

use std::borrow::Cow;
use std::sync::Arc;

use mysql_async::prelude::FromRow;
use mysql_async::{BinaryProtocol, Column, Params, Row, TextProtocol};

use crate::call::row_bytes;
use crate::connection::MySqlConnection;
use crate::error::MySqlError;
use crate::rows::{MySqlRows, convert};
use crate::transaction::MySqlTransaction;

/// Rows that go at once, where a statement is run for each of many.
const CHUNK_ROWS: usize = 1_000;

/// A statement that is known to be one: it was prepared.
///
/// It belongs to no connection: run on another one, or after its place in the statement cache was
/// needed, it is prepared there again.
#[derive(Clone, Debug)]
pub struct MySqlStatement {
    sql: Arc<str>,
    columns: Arc<[Column]>,
    num_params: u16,
}

impl MySqlStatement {
    /// The columns of its rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many parameters it takes.
    pub fn num_params(&self) -> u16 {
        self.num_params
    }
}

impl AsRef<str> for MySqlStatement {
    fn as_ref(&self) -> &str {
        &self.sql
    }
}

/// Whose calls they are.
pub(crate) struct Statements<'c> {
    pub(crate) connection: &'c mut MySqlConnection,
    /// It has to be open still.
    pub(crate) in_transaction: bool,
}

impl<'c> Statements<'c> {
    async fn query_iter(self, sql: &str) -> Result<MySqlRows<'c, TextProtocol>, MySqlError> {
        let mut call = self.call(Some(sql)).await?;
        let begun = call.query(sql).await;
        call.into_rows::<TextProtocol>(begun).await.map(MySqlRows::new)
    }

    async fn exec_iter(
        self,
        sql: &str,
        params: Params,
    ) -> Result<MySqlRows<'c, BinaryProtocol>, MySqlError> {
        let mut call = self.call(Some(sql)).await?;
        let begun = call.exec(sql, params).await;
        call.into_rows::<BinaryProtocol>(begun).await.map(MySqlRows::new)
    }

    async fn query_each(self, sql: &str, take: impl FnMut(Row)) -> Result<(), MySqlError> {
        let mut call = self.call(Some(sql)).await?;
        let mut done = call.query(sql).await;
        if done.is_ok() {
            done = call.read::<TextProtocol>(take).await;
        }
        call.end(done)
    }

    async fn exec_each(
        self,
        sql: &str,
        params: Params,
        take: impl FnMut(Row),
    ) -> Result<(), MySqlError> {
        let mut call = self.call(Some(sql)).await?;
        let mut done = call.exec(sql, params).await;
        if done.is_ok() {
            done = call.read::<BinaryProtocol>(take).await;
        }
        call.end(done)
    }

    async fn prep(self, sql: &str) -> Result<MySqlStatement, MySqlError> {
        let mut call = self.call(Some(sql)).await?;
        let prepared = call.prepared(sql).await.map(|prepared| MySqlStatement {
            sql: sql.into(),
            columns: prepared.statement.columns(),
            num_params: prepared.statement.num_params(),
        });
        call.end(prepared)
    }

    async fn close(self, sql: &str) -> Result<(), MySqlError> {
        let mut call = self.call(None).await?;
        let closed = call.close(sql).await;
        call.end(closed)
    }

    async fn ping(self) -> Result<(), MySqlError> {
        let mut call = self.call(None).await?;
        let pinged = call.ping().await;
        call.end(pinged)
    }

    async fn exec_batch<P, I>(self, sql: &str, rows: I) -> Result<(), MySqlError>
    where
        P: Into<Params> + Send,
        I: IntoIterator<Item = P> + Send,
        I::IntoIter: Send,
    {
        let mut call = self.call(Some(sql)).await?;
        let done = async {
            let prepared = call.prepared(sql).await?;
            call.leaves(prepared.leaves);
            let (limit, chunk_bytes) = (call.limit(false), call.chunk_bytes());
            let mut rows = rows.into_iter();
            loop {
                let (mut chunk, mut bytes) = (Vec::new(), 0);
                let mut next = None;
                while chunk.len() < CHUNK_ROWS && bytes < chunk_bytes {
                    next = rows.next().map(|row| prepared.values(sql, row.into(), limit));
                    let Some(Ok(row)) = next else { break };
                    bytes += row_bytes(&row);
                    chunk.push(row);
                    next = None;
                }
                let is_full = chunk.len() == CHUNK_ROWS || bytes >= chunk_bytes;
                call.exec_rows(sql, &prepared, chunk).await?;
                match next {
                    Some(Err(error)) => return Err(error),
                    _ if !is_full => return Ok(()),
                    _ => {}
                }
            }
        }
        .await;
        call.end(done)
    }
}

/// Rows converted one by one; the first that does not convert is the error, once all are read.
struct Converted<T> {
    rows: Vec<T>,
    failed: Option<MySqlError>,
}

impl<T> Converted<T> {
    fn new() -> Self {
        Self { rows: Vec::new(), failed: None }
    }

    fn take<R: FromRow>(&mut self, row: Row, f: impl FnOnce(R) -> T) {
        if self.failed.is_none() {
            match convert(row) {
                Ok(row) => self.rows.push(f(row)),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn all(self) -> Result<Vec<T>, MySqlError> {
        self.failed.map_or(Ok(self.rows), Err)
    }
}

/// The first row, converted; the others are read and forgotten.
fn take_first<T: FromRow>(first: &mut Option<Result<T, MySqlError>>) -> impl FnMut(Row) {
    |row| {
        if first.is_none() {
            *first = Some(convert(row));
        }
    }
}

/// What the last statement's answer said besides its rows.
macro_rules! said {
    ($($(#[$doc:meta])* fn $name:ident() -> $type:ty;)*) => {
        $($(#[$doc])*
        pub fn $name(&self) -> $type {
            self.said().$name()
        })*
    };
}

macro_rules! statements {
    ($of:ty) => {
        impl $of {
            /// Runs a text of one or more statements, without parameters, and returns the first's
            /// rows.
            ///
            /// # Errors
            /// The server's; [`Type`](crate::MySqlErrorKind::Type) for a row that does not convert; that an
            /// earlier call was dropped ([`Abandoned`](crate::MySqlErrorKind::Abandoned)) or the connection is lost.
            pub async fn query<T, Q>(&mut self, sql: Q) -> Result<Vec<T>, MySqlError>
            where
                T: FromRow + Send,
                Q: AsRef<str> + Send,
            {
                self.query_map(sql, |row: T| row).await
            }

            /// The same, with what a closure makes of each row.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn query_map<T, U, Q, F>(
                &mut self,
                sql: Q,
                mut f: F,
            ) -> Result<Vec<U>, MySqlError>
            where
                T: FromRow + Send,
                U: Send,
                Q: AsRef<str> + Send,
                F: FnMut(T) -> U + Send,
            {
                let mut all = Converted::new();
                self.on().query_each(sql.as_ref(), |row| all.take(row, &mut f)).await?;
                all.all()
            }

            /// The same, and returns the first row.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn query_first<T, Q>(&mut self, sql: Q) -> Result<Option<T>, MySqlError>
            where
                T: FromRow + Send,
                Q: AsRef<str> + Send,
            {
                let mut first = None;
                self.on().query_each(sql.as_ref(), take_first(&mut first)).await?;
                first.transpose()
            }

            /// The same, for no rows.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn query_drop<Q: AsRef<str> + Send>(
                &mut self,
                sql: Q,
            ) -> Result<(), MySqlError> {
                self.on().query_each(sql.as_ref(), drop).await
            }

            /// The same, with the rows as they come.
            ///
            /// # Errors
            /// As [`query`](Self::query); also while the rows come.
            pub async fn query_iter<Q: AsRef<str> + Send>(
                &mut self,
                sql: Q,
            ) -> Result<MySqlRows<'_, TextProtocol>, MySqlError> {
                self.on().query_iter(sql.as_ref()).await
            }

            /// Prepares a statement, or finds it prepared.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn prep<Q: AsRef<str> + Send>(
                &mut self,
                sql: Q,
            ) -> Result<MySqlStatement, MySqlError> {
                self.on().prep(sql.as_ref()).await
            }

            /// Closes a prepared statement. It need not be done: the statement cache is bounded.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn close_statement<Q: AsRef<str> + Send>(
                &mut self,
                statement: Q,
            ) -> Result<(), MySqlError> {
                self.on().close(statement.as_ref()).await
            }

            /// Runs a statement with parameters, `?` or `:name`, given by text or prepared, and
            /// returns its rows.
            ///
            /// # Errors
            /// As [`query`](Self::query); and [`Params`](crate::MySqlErrorKind::Params) for parameters that are not
            /// those of the statement: nothing is sent then.
            pub async fn exec<T, Q, P>(
                &mut self,
                statement: Q,
                params: P,
            ) -> Result<Vec<T>, MySqlError>
            where
                T: FromRow + Send,
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
            {
                self.exec_map(statement, params, |row: T| row).await
            }

            /// The same, with what a closure makes of each row.
            ///
            /// # Errors
            /// As [`exec`](Self::exec).
            pub async fn exec_map<T, U, Q, P, F>(
                &mut self,
                statement: Q,
                params: P,
                mut f: F,
            ) -> Result<Vec<U>, MySqlError>
            where
                T: FromRow + Send,
                U: Send,
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
                F: FnMut(T) -> U + Send,
            {
                let mut all = Converted::new();
                let take = |row| all.take(row, &mut f);
                self.on().exec_each(statement.as_ref(), params.into(), take).await?;
                all.all()
            }

            /// The same, and returns the first row.
            ///
            /// # Errors
            /// As [`exec`](Self::exec).
            pub async fn exec_first<T, Q, P>(
                &mut self,
                statement: Q,
                params: P,
            ) -> Result<Option<T>, MySqlError>
            where
                T: FromRow + Send,
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
            {
                let mut first = None;
                let take = take_first(&mut first);
                self.on().exec_each(statement.as_ref(), params.into(), take).await?;
                first.transpose()
            }

            /// The same, for no rows.
            ///
            /// # Errors
            /// As [`exec`](Self::exec).
            pub async fn exec_drop<Q, P>(
                &mut self,
                statement: Q,
                params: P,
            ) -> Result<(), MySqlError>
            where
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
            {
                self.on().exec_each(statement.as_ref(), params.into(), drop).await
            }

            /// The same, with the rows as they come.
            ///
            /// # Errors
            /// As [`exec`](Self::exec); also while the rows come.
            pub async fn exec_iter<Q, P>(
                &mut self,
                statement: Q,
                params: P,
            ) -> Result<MySqlRows<'_, BinaryProtocol>, MySqlError>
            where
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
            {
                self.on().exec_iter(statement.as_ref(), params.into()).await
            }

            /// Runs a statement once for each row of parameters: in a few round trips where the server
            /// is MariaDB, else in one for each row. [`Batch`](pool_sql::Batch) is fast on both.
            ///
            /// What does not fit ends it there; the rows before it are run. Use a transaction.
            ///
            /// # Errors
            /// As [`exec`](Self::exec).
            pub async fn exec_batch<Q, P, I>(
                &mut self,
                statement: Q,
                rows: I,
            ) -> Result<(), MySqlError>
            where
                Q: AsRef<str> + Send,
                P: Into<Params> + Send,
                I: IntoIterator<Item = P> + Send,
                I::IntoIter: Send,
            {
                self.on().exec_batch(statement.as_ref(), rows).await
            }

            /// Proves by a round trip that the server is there.
            ///
            /// # Errors
            /// That it is not; or as [`query`](Self::query).
            pub async fn ping(&mut self) -> Result<(), MySqlError> {
                self.on().ping().await
            }

            said! {
                /// The number that the last statement gave to an `AUTO_INCREMENT` column, if it did;
                /// of several, the first.
                fn last_insert_id() -> Option<u64>;
                /// How many rows the last statement changed. Rows that were as they were to be do not
                /// count, unless `found-rows` is set; one that was replaced counts twice.
                fn affected_rows() -> u64;
                /// What the server said of the last statement, such as `Records: 3  Duplicates: 0`.
                fn info() -> Cow<'_, str>;
            }

            /// How many warnings the last statement made; `SHOW WARNINGS` shows them.
            pub fn warnings(&self) -> u16 {
                self.said().get_warnings()
            }
        }
    };
}

impl MySqlConnection {
    pub(crate) fn on(&mut self) -> Statements<'_> {
        Statements { connection: self, in_transaction: false }
    }

    fn said(&self) -> &mysql_async::Conn {
        self.link.conn()
    }
}

impl MySqlTransaction<'_> {
    pub(crate) fn on(&mut self) -> Statements<'_> {
        Statements { connection: self.connection, in_transaction: true }
    }

    fn said(&self) -> &mysql_async::Conn {
        self.connection.link.conn()
    }
}

statements!(MySqlConnection);
statements!(MySqlTransaction<'_>);
