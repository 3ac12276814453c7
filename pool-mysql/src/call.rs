//! [`Call`]: a statement under way, from the check that the connection is in step to the last row
//! that its caller wants.

use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, Params, QueryResult, Row};
use pool_core::Busy;
use pool_sql::{Statement, Watch};

use crate::cache::{Cache, Limit, Prepared, Text};
use crate::common::Common;
use crate::connection::MySqlConnection;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::link::Link;
use crate::text::{Leaves, left_by};

/// The server does not know the prepared statement, or wants it prepared again.
const FORGOTTEN: [u16; 2] = [1243, 1615];

/// A statement under way. Dropped before [`end`](Self::end), it leaves the link busy, which latches
/// the connection.
pub(crate) struct Call<'c> {
    link: &'c mut Link,
    cache: &'c mut Cache,
    left: &'c mut Leaves,
    common: &'c Common,
    /// How much the server takes at once.
    max_packet: usize,
    watch: Watch,
    _busy: Busy<'c>,
}

impl MySqlConnection {
    /// Begins a statement: what a dropped transaction owes is done first.
    pub(crate) async fn call(&mut self, sql: Option<&str>) -> Result<Call<'_>, MySqlError> {
        if self.owed.is_some() {
            self.undo().await?;
        }
        self.begin(sql).await
    }

    /// Begins a statement of a transaction, which has to be there still.
    pub(crate) async fn call_within(&mut self, sql: Option<&str>) -> Result<Call<'_>, MySqlError> {
        self.check_transaction().await?;
        self.begin(sql).await
    }

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
        self.is_used = true;
        let max_packet = self.server().max_allowed_packet.map_or(usize::MAX, |max| max as usize);
        let Self { link, cache, left, common, activity, .. } = self;
        let busy = activity.busy();
        let mut statement = Statement::new("mysql");
        (statement.operation, statement.sql) = (activity.operation(), sql);
        link.check()?;
        let watch = Watch::begin(&common.observers, statement);
        if let Err(error) = link.begin().await {
            watch.end(Some(error.observed()));
            return Err(error);
        }
        Ok(Call { link, cache, left, common, max_packet, watch, _busy: busy })
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

    /// It leaves something in the session, whether it works or not.
    pub(crate) fn leaves(&mut self, leaves: Leaves) {
        *self.left = leaves.max(*self.left);
    }

    /// Sends a text of one or more statements, and waits for the first answer.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<(), MySqlError> {
        self.limit(true).check_text(sql)?;
        self.leaves(left_by(sql));
        self.conn().query_iter(sql).await?;
        Ok(())
    }

    /// Runs a text of our own that leaves nothing, to its end.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), MySqlError> {
        Ok(self.conn().query_drop(sql).await?)
    }

    /// Finds a statement prepared, or prepares it.
    pub(crate) async fn prepared(&mut self, sql: &str) -> Result<Prepared, MySqlError> {
        self.find_or_prepare(sql, Text::parse).await
    }

    /// The same for a text of our own, which has no names and leaves nothing.
    pub(crate) async fn prepared_own(&mut self, sql: &str) -> Result<Prepared, MySqlError> {
        self.find_or_prepare(sql, |sql| Ok(Text::own(sql))).await
    }

    async fn find_or_prepare(
        &mut self,
        sql: &str,
        text: impl FnOnce(&str) -> Result<Text, MySqlError>,
    ) -> Result<Prepared, MySqlError> {
        if let Some(found) = self.cache.find(sql) {
            self.common.statements.hit();
            return Ok(found);
        }
        self.common.statements.miss();
        self.limit(true).check_text(sql)?;
        let text = text(sql)?;
        // First: the server may keep no more than those of all connections.
        if let Some(old) = self.cache.make_room() {
            self.conn().close(old).await?;
        }
        let statement = self.conn().prep(text.sql()).await?;
        self.link.misled(true);
        let prepared = text.prepared_as(statement);
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

    async fn exec_prepared(
        &mut self,
        sql: &str,
        prepared: Prepared,
        params: Params,
    ) -> Result<(), MySqlError> {
        let values = prepared.values(sql, params, self.limit(true))?;
        self.leaves(prepared.leaves);
        let sent = self.conn().exec_iter(&prepared.statement, values).await.map(drop);
        self.said(sql, sent)
    }

    /// A prepared statement was run so: its answer tells of the session, and it is taken out of the
    /// cache if the server has forgotten it.
    pub(crate) fn said<T>(
        &mut self,
        sql: &str,
        done: Result<T, mysql_async::Error>,
    ) -> Result<T, MySqlError> {
        self.link.misled(false);
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
        // Also tells of an error that came after the first answer.
        Ok(rows.drop_result().await?)
    }

    /// The call has ended so, and nothing is left to read.
    pub(crate) fn end<T>(self, done: Result<T, MySqlError>) -> Result<T, MySqlError> {
        let done = self.link.end(done);
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
