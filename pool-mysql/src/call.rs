//! [`Call`]: a statement under way, from the check that the connection is in step to the last row
//! that its caller wants.
//!
//! Mostly nothing has to be done first: the link is ready, the transaction is where it should be, and
//! the statement is prepared. Then a call begins without awaiting anything, and that is plain code.
//! What is seldom (what a dropped transaction owes, rows that nobody read, a statement to prepare) has
//! a future of its own on the heap, so that it is no part of the usual way.

use std::sync::Arc;

use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, Params, QueryResult, Row, Value};
use pool_core::{Activity, Busy};
use pool_sql::{Statement, TransactionWatch, Watch};

use crate::batch::is_uniform;
use crate::cache::{Cache, Limit, Prepared, Text};
use crate::common::Common;
use crate::connection::MySqlConnection;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::link::Link;
use crate::statements::Statements;
use crate::text::{Leaves, left_by};

/// The server does not know the prepared statement, or wants it prepared again.
const FORGOTTEN: [u16; 2] = [1243, 1615];

/// What the observers know these databases by.
const BACKEND: &str = "mysql";

/// What a row takes of a bulk's packet: with each value goes a byte that says whether it is NULL.
pub(crate) fn row_bytes(row: &[Value]) -> u64 {
    row.iter().map(|value| value.bin_len() + 1).sum()
}

/// A statement under way. Dropped before [`end`](Self::end), it leaves the link busy, which latches
/// the connection.
pub(crate) struct Call<'c> {
    link: &'c mut Link,
    cache: &'c mut Cache,
    left: &'c mut Leaves,
    common: &'c Common,
    activity: &'c Activity,
    /// How much the server takes at once.
    max_packet: usize,
    /// Statements were prepared in another database: they are closed before they are run.
    is_stale: &'c mut bool,
    /// The server has answered, and not only to a prepare.
    is_answered: bool,
    watch: Watch,
    _busy: Busy<'c>,
}

impl<'c> Statements<'c> {
    /// Begins a statement: what a dropped transaction owes is done first, and a statement of a
    /// transaction has to find it there still.
    pub(crate) async fn call(self, sql: Option<&str>) -> Result<Call<'c>, MySqlError> {
        if self.is_in_order() {
            let call = self.connection.start(sql);
            call.link.take_up();
            return Ok(call);
        }
        // Seldom, and so apart.
        Box::pin(self.call_in_order(sql)).await
    }

    fn is_in_order(&self) -> bool {
        let MySqlConnection { link, owed, is_stale, .. } = &*self.connection;
        let is_there = || link.status().is_some_and(|status| status.in_transaction);
        link.is_ready() && owed.is_none() && !is_stale && (!self.in_transaction || is_there())
    }

    async fn call_in_order(self, sql: Option<&str>) -> Result<Call<'c>, MySqlError> {
        match self.in_transaction {
            true => self.connection.check_transaction().await?,
            false => self.connection.undo().await?,
        }
        self.connection.begin(sql).await
    }
}

impl MySqlConnection {
    /// Whether there is still a transaction.
    pub(crate) async fn check_transaction(&mut self) -> Result<(), MySqlError> {
        if self.owed.is_some() {
            self.undo().await?;
        }
        if self.link.ask_status().await?.is_some_and(|status| status.in_transaction) {
            return Ok(());
        }
        self.was_refused = true;
        Err(MySqlError::text(
            MySqlErrorKind::TransactionOver,
            "the transaction has ended: the server rolled it back (a deadlock), or a statement in it \
             committed it (CREATE TABLE and its like); nothing is run outside of it",
        ))
    }

    /// Begins a statement, whatever is owed.
    pub(crate) async fn begin(&mut self, sql: Option<&str>) -> Result<Call<'_>, MySqlError> {
        self.link.check()?;
        let mut call = self.start(sql);
        if let Err(error) = call.link.begin().await {
            call.watch.end(Some(error.observed()));
            return Err(error);
        }
        match call.close_stale().await {
            Ok(()) => Ok(call),
            Err(error) => Err(call.end::<()>(Err(error)).expect_err("as it was")),
        }
    }

    /// The observers are told. The link is to be taken up.
    fn start(&mut self, sql: Option<&str>) -> Call<'_> {
        self.is_used = true;
        let Self { link, cache, left, common, activity, is_stale, max_packet, .. } = self;
        let mut watch = Watch::default();
        if !common.observers.is_empty() {
            let mut statement = Statement::new(BACKEND);
            (statement.operation, statement.sql) = (activity.operation(), sql);
            watch = Watch::begin(&common.observers, statement);
        }
        let (max_packet, is_answered, _busy) = (*max_packet, false, activity.busy());
        Call {
            link,
            cache,
            left,
            common,
            activity,
            max_packet,
            is_stale,
            is_answered,
            watch,
            _busy,
        }
    }
}

impl<'c> Call<'c> {
    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.link.busy()
    }

    /// How much one statement may take; whether its values may go apart.
    pub(crate) fn limit(&self, apart: bool) -> Limit {
        Limit { max_packet: self.max_packet, apart }
    }

    /// How many bytes of values go at once, where a statement is run for each of many rows.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        (self.max_packet as u64 / 8).min(1024 * 1024)
    }

    /// It leaves something in the session, whether it works or not.
    pub(crate) fn leaves(&mut self, leaves: Leaves) {
        *self.left = leaves.max(*self.left);
        *self.is_stale |= leaves >= Leaves::Database;
    }

    async fn close_stale(&mut self) -> Result<(), MySqlError> {
        while *self.is_stale {
            match self.cache.take_any() {
                Some(old) => self.conn().close(old).await?,
                None => *self.is_stale = false,
            }
        }
        Ok(())
    }

    /// It is about to begin a transaction, of which the observers are to be told.
    pub(crate) fn watch_transaction(&self) -> TransactionWatch {
        TransactionWatch::begin(&self.common.observers, BACKEND, self.activity.operation())
    }

    /// Sends a text of one or more statements, and waits for the first answer.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<(), MySqlError> {
        self.limit(true).check_text(sql)?;
        self.leaves(left_by(sql));
        self.is_answered = true;
        self.conn().query_iter(sql).await?;
        Ok(())
    }

    /// Runs a text of our own that leaves nothing, to its end.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), MySqlError> {
        self.is_answered = true;
        Ok(self.conn().query_drop(sql).await?)
    }

    /// A round trip.
    pub(crate) async fn ping(&mut self) -> Result<(), MySqlError> {
        self.is_answered = true;
        Ok(self.conn().ping().await?)
    }

    /// Finds a statement prepared, or prepares it.
    pub(crate) async fn prepared(&mut self, sql: &str) -> Result<Arc<Prepared>, MySqlError> {
        self.find_or_prepare(sql, Text::parse).await
    }

    /// The same for a text of our own, which has no names and leaves nothing.
    pub(crate) async fn prepared_own(&mut self, sql: &str) -> Result<Arc<Prepared>, MySqlError> {
        self.find_or_prepare(sql, |sql| Ok(Text::own(sql))).await
    }

    #[inline]
    async fn find_or_prepare(
        &mut self,
        sql: &str,
        text: fn(&str) -> Result<Text, MySqlError>,
    ) -> Result<Arc<Prepared>, MySqlError> {
        if let Some(found) = self.cache.find(sql) {
            self.common.statements.hit();
            return Ok(found);
        }
        Box::pin(self.prepare(sql, text)).await
    }

    async fn prepare(
        &mut self,
        sql: &str,
        text: fn(&str) -> Result<Text, MySqlError>,
    ) -> Result<Arc<Prepared>, MySqlError> {
        self.common.statements.miss();
        self.limit(true).check_text(sql)?;
        let text = text(sql)?;
        // First: the server may keep no more than those of all connections.
        if let Some(old) = self.cache.make_room() {
            self.conn().close(old).await?;
        }
        let statement = self.conn().prep(text.sql()).await?;
        let prepared = Arc::new(text.prepared_as(statement));
        self.cache.keep(sql, prepared.clone());
        Ok(prepared)
    }

    /// Runs a prepared statement, and waits for the first answer.
    pub(crate) async fn exec(&mut self, sql: &str, params: Params) -> Result<(), MySqlError> {
        let prepared = self.prepared(sql).await?;
        self.exec_prepared(sql, prepared, params).await
    }

    /// The same with a text of our own, which has no names and leaves nothing.
    pub(crate) async fn exec_own(&mut self, sql: &str, params: Params) -> Result<(), MySqlError> {
        let prepared = self.prepared_own(sql).await?;
        self.exec_prepared(sql, prepared, params).await
    }

    /// The same with a text whose parameters have places only.
    pub(crate) async fn exec_placed(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<(), MySqlError> {
        let prepared = self.find_or_prepare(sql, |sql| Ok(Text::placed(sql))).await?;
        self.exec_prepared(sql, prepared, Params::Positional(values)).await
    }

    async fn exec_prepared(
        &mut self,
        sql: &str,
        prepared: Arc<Prepared>,
        params: Params,
    ) -> Result<(), MySqlError> {
        let values = prepared.values(sql, params, self.limit(true))?;
        self.leaves(prepared.leaves);
        self.is_answered = true;
        let values = Params::Positional(values);
        let sent = self.conn().exec_iter(&prepared.statement, values).await.map(drop);
        self.said(sql, sent)
    }

    /// Runs a prepared statement for each of the rows, to the end of its answers: in bulk, if each
    /// column of them has one type.
    pub(crate) async fn exec_rows(
        &mut self,
        sql: &str,
        prepared: &Prepared,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), MySqlError> {
        let bytes = rows.iter().map(|row| row_bytes(row)).sum::<u64>();
        // In one packet: the driver sends the types in the first one only.
        if rows.len() > 1 && bytes < self.max_packet as u64 / 2 && is_uniform(&rows) {
            return self.exec_bulk(sql, prepared, rows).await;
        }
        for row in rows {
            self.is_answered = true;
            let row = Params::Positional(row);
            let sent = self.conn().exec_drop(&prepared.statement, row).await;
            self.said(sql, sent)?;
        }
        Ok(())
    }

    /// The same by MariaDB's bulk protocol, for rows that go into one packet, and whose columns have
    /// one type each.
    pub(crate) async fn exec_bulk(
        &mut self,
        sql: &str,
        prepared: &Prepared,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), MySqlError> {
        self.is_answered = true;
        // As they are: of a mere list of values the driver would make another list.
        let rows = rows.into_iter().map(Params::Positional);
        let sent = self.conn().exec_batch(&prepared.statement, rows).await;
        self.said(sql, sent)
    }

    /// A prepared statement was run so: it is taken out of the cache if the server has forgotten it.
    fn said<T>(&mut self, sql: &str, done: Result<T, mysql_async::Error>) -> Result<T, MySqlError> {
        let said = done.map_err(MySqlError::from);
        if let Err(error) = &said
            && error.code().is_some_and(|code| FORGOTTEN.contains(&code))
        {
            self.cache.forget(sql);
        }
        said
    }

    /// Closes a prepared statement.
    pub(crate) async fn close(&mut self, sql: &str) -> Result<(), MySqlError> {
        match self.cache.forget(sql) {
            Some(statement) => Ok(self.conn().close(statement).await?),
            None => Ok(()),
        }
    }

    /// Reads the rows of the first answer, and what else the server sends to its end.
    pub(crate) async fn read<P: Protocol>(
        &mut self,
        mut take: impl FnMut(Row),
    ) -> Result<(), MySqlError> {
        let mut rows = QueryResult::<'_, '_, P>::new(self.conn());
        while let Some(row) = rows.next().await? {
            take(row);
        }
        // The driver holds back an error that came after the first answer.
        if !rows.is_empty() || self.conn().last_ok_packet().is_none() {
            QueryResult::<'_, '_, P>::new(self.conn()).drop_result().await?;
        }
        Ok(())
    }

    /// The call has ended so, and nothing is left to read.
    pub(crate) fn end<T>(self, done: Result<T, MySqlError>) -> Result<T, MySqlError> {
        let done = match self.is_answered {
            true => self.link.end(done),
            false => self.link.end_unanswered(done),
        };
        self.watch.end(done.as_ref().err().map(MySqlError::observed));
        done
    }

    /// The answer has begun; its rows are read as their reader wants. Without a watch, it has ended:
    /// there are none.
    pub(crate) async fn into_rows<P: Protocol>(
        mut self,
        begun: Result<(), MySqlError>,
    ) -> Result<(&'c mut Link, Option<Watch>), MySqlError> {
        if let Err(error) = begun {
            return self.end(Err(error));
        }
        if QueryResult::<'_, '_, P>::new(self.conn()).is_empty() {
            let done = self.read::<P>(drop).await; // the driver's note that there are none
            let Self { link, watch, .. } = self;
            let done = link.end(done);
            watch.end(done.as_ref().err().map(MySqlError::observed));
            return done.map(|()| (link, None));
        }
        self.link.keep_rows(Ok::<_, MySqlError>(()))?;
        Ok((self.link, Some(self.watch)))
    }
}
