//! [`Statements`]: statements on a connection, in a transaction or not: prepared, cached, healed.
//!
//! A statement that is given as text is prepared once per connection and kept. What the server has
//! forgotten since (`DEALLOCATE ALL`) or takes no more (a table's columns changed) is prepared anew
//! and tried again, where nothing was executed yet and no transaction has failed of it.
//!
//! Behind a pooler nothing is prepared outside a transaction: the text goes along each time with the
//! types of its parameters, which are inferred from the values (see [`crate::infer`]).

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;

use futures_core::Stream;
use pool_sql::Value;
use tokio::time::timeout;
use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Client, Column, Row, RowStream, SimpleQueryMessage, Statement};

use crate::cache::Cache;
use crate::common::Profile;
use crate::copy::{PgCopyIn, PgCopyOut};
use crate::error::{PgError, PgErrorKind};
use crate::infer::types_of;
use crate::rows::PgRowStream;
use crate::session::{Call, MOMENT, Session};
use crate::text::{is_local_set, leaves_state};
use crate::values::{Param, append, plain, worded};
use crate::wire::Transaction;

/// Parameters of a statement, as the driver takes them.
pub(crate) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// What statements are run on.
#[derive(Clone, Copy)]
pub(crate) struct Statements<'c> {
    pub(crate) client: &'c Client,
    pub(crate) session: &'c Session,
    /// They are a transaction's, and nothing is run outside of it.
    pub(crate) is_within: bool,
}

/// A statement by its text, or prepared: what [`query`](crate::PgConnection::query) and its kin take.
pub trait Query: sealed::Sealed + Sync {}

impl<Q: sealed::Sealed + Sync + ?Sized> Query for Q {}

mod sealed {
    use super::PgStatement;

    /// Which of the two it is.
    #[derive(Debug)]
    pub enum Form<'q> {
        Text(&'q str),
        Prepared(&'q PgStatement<'q>),
    }

    pub trait Sealed {
        fn form(&self) -> Form<'_>;
    }

    impl Sealed for str {
        fn form(&self) -> Form<'_> {
            Form::Text(self)
        }
    }

    impl Sealed for String {
        fn form(&self) -> Form<'_> {
            Form::Text(self)
        }
    }

    impl Sealed for PgStatement<'_> {
        fn form(&self) -> Form<'_> {
            Form::Prepared(self)
        }
    }
}

use sealed::Form;

/// A prepared statement, of the connection that prepared it and only for as long as it is held.
#[derive(Clone, Debug)]
pub struct PgStatement<'c> {
    statement: Statement,
    session: u64,
    connection: PhantomData<&'c ()>,
}

impl PgStatement<'_> {
    /// The driver's statement, if it was prepared on this connection.
    pub(crate) fn of(&self, session: &Session) -> Result<&Statement, PgError> {
        if self.session == session.id {
            return Ok(&self.statement);
        }
        let text = "the statement was prepared on another connection; prepare it on this one";
        Err(PgError::text(PgErrorKind::Sql, text))
    }

    /// The types of its parameters.
    pub fn params(&self) -> &[Type] {
        self.statement.params()
    }

    /// The columns of what it returns.
    pub fn columns(&self) -> &[Column] {
        self.statement.columns()
    }
}

/// What a statement is run for.
#[derive(Clone, Copy)]
enum For {
    Rows,
    One,
    Count,
}

enum Answer {
    Rows(Vec<Row>),
    /// The first row, and how many there are.
    One(Option<Row>, usize),
    Count(u64),
}

impl Answer {
    fn rows(self) -> Vec<Row> {
        match self {
            Self::Rows(rows) => rows,
            Self::One(..) | Self::Count(_) => Vec::new(),
        }
    }

    fn one(self) -> (Option<Row>, usize) {
        match self {
            Self::One(row, found) => (row, found),
            Self::Rows(_) | Self::Count(_) => (None, 0),
        }
    }

    fn count(self) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Rows(_) | Self::One(..) => 0,
        }
    }
}

impl<'c> Statements<'c> {
    /// Begins a call, see [`Session::call`] and [`Session::call_within`].
    pub(crate) async fn call(self, sql: Option<&str>) -> Result<Call<'c>, PgError> {
        match self.is_within {
            true => self.session.call_within(self.client, sql).await,
            false => self.session.call(self.client, sql).await,
        }
    }

    /// Begins a call that copies in.
    async fn copy(self, sql: &str) -> Result<Call<'c>, PgError> {
        let call = self.session.copy(self.client, sql).await?;
        if self.is_within { call.within() } else { Ok(call) }
    }

    pub(crate) async fn prepare(self, sql: &str) -> Result<PgStatement<'c>, PgError> {
        let call = self.call(Some(sql)).await?;
        if let Err(refused) = self.names_allowed() {
            return call.end(Err(refused));
        }
        let prepared = self.statement(sql).await;
        let (statement, _) = call.finish(prepared).await?;
        Ok(self.own(statement))
    }

    pub(crate) async fn prepare_typed(
        self,
        sql: &str,
        types: &[Type],
    ) -> Result<PgStatement<'c>, PgError> {
        let call = self.call(Some(sql)).await?;
        if let Err(refused) = self.names_allowed() {
            return call.end(Err(refused));
        }
        self.note(sql);
        let orphan = self.session.prepares();
        let prepared = self.client.prepare_typed(sql, types).await;
        orphan.adopted();
        Ok(self.own(call.finish(prepared).await?))
    }

    fn own(self, statement: Statement) -> PgStatement<'c> {
        PgStatement { statement, session: self.session.id, connection: PhantomData }
    }

    pub(crate) async fn query<Q: Query + ?Sized>(
        self,
        query: &Q,
        params: Params<'_>,
    ) -> Result<Vec<Row>, PgError> {
        self.run(query, params, For::Rows).await.map(Answer::rows)
    }

    pub(crate) async fn query_opt<Q: Query + ?Sized>(
        self,
        query: &Q,
        params: Params<'_>,
    ) -> Result<Option<Row>, PgError> {
        match self.run(query, params, For::One).await?.one() {
            (row, 0 | 1) => Ok(row),
            (_, found) => Err(wrong_number(found, "at most one")),
        }
    }

    pub(crate) async fn query_one<Q: Query + ?Sized>(
        self,
        query: &Q,
        params: Params<'_>,
    ) -> Result<Row, PgError> {
        match self.run(query, params, For::One).await?.one() {
            (Some(row), 1) => Ok(row),
            (_, found) => Err(wrong_number(found, "one")),
        }
    }

    pub(crate) async fn execute<Q: Query + ?Sized>(
        self,
        query: &Q,
        params: Params<'_>,
    ) -> Result<u64, PgError> {
        self.run(query, params, For::Count).await.map(Answer::count)
    }

    async fn run<Q: Query + ?Sized>(
        self,
        query: &Q,
        params: Params<'_>,
        wanted: For,
    ) -> Result<Answer, PgError> {
        match query.form() {
            Form::Prepared(statement) => {
                let statement = statement.of(self.session)?;
                let call = self.call(None).await?;
                call.finish(self.once(statement, params, wanted).await).await
            }
            Form::Text(sql) if self.is_pooled() => {
                let call = self.call(Some(sql)).await?;
                match types_of(params) {
                    Ok(typed) => call.finish(self.once_typed(sql, &typed, wanted).await).await,
                    Err(error) => call.end(Err(error)),
                }
            }
            Form::Text(sql) => {
                let call = self.call(Some(sql)).await?;
                let before = self.before();
                let done = self.run_cached(sql, params, wanted).await;
                self.forget_local(before, sql);
                call.finish(done).await
            }
        }
    }

    async fn run_cached(
        self,
        sql: &str,
        params: Params<'_>,
        wanted: For,
    ) -> Result<Answer, tokio_postgres::Error> {
        let (statement, is_old) = self.statement(sql).await?;
        match self.once(&statement, params, wanted).await {
            Err(error) if is_old && Box::pin(self.heals(sql, &error)).await => {
                let (statement, _) = self.statement(sql).await?;
                self.once(&statement, params, wanted).await
            }
            done => done,
        }
    }

    async fn once(
        self,
        statement: &Statement,
        params: Params<'_>,
        wanted: For,
    ) -> Result<Answer, tokio_postgres::Error> {
        match wanted {
            For::Rows => self.client.query(statement, params).await.map(Answer::Rows),
            For::One => {
                first(self.client.query_raw(statement, params.iter().copied()).await?).await
            }
            For::Count => self.client.execute(statement, params).await.map(Answer::Count),
        }
    }

    pub(crate) async fn query_typed(
        self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PgError> {
        self.run_typed(sql, params, For::Rows).await.map(Answer::rows)
    }

    pub(crate) async fn execute_typed(
        self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, PgError> {
        self.run_typed(sql, params, For::Count).await.map(Answer::count)
    }

    async fn run_typed(
        self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
        wanted: For,
    ) -> Result<Answer, PgError> {
        let call = self.call(Some(sql)).await?;
        self.note(sql);
        let done = match self.is_pooled() {
            true => self.once_typed(sql, params, wanted).await,
            false => self.once_prepared(sql, params, wanted).await,
        };
        call.finish(done).await
    }

    /// The driver, sending a statement and its parameters at once, looks up types that it does not
    /// know while the rows come, and waits for ever if there are many. So it is prepared first.
    async fn once_prepared(
        self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
        wanted: For,
    ) -> Result<Answer, tokio_postgres::Error> {
        let types: Vec<_> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let params: Vec<_> = params.iter().map(|(param, _)| *param).collect();
        let orphan = self.session.prepares();
        let prepared = self.client.prepare_typed(sql, &types).await;
        orphan.adopted();
        self.once(&prepared?, &params, wanted).await
    }

    async fn once_typed(
        self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
        wanted: For,
    ) -> Result<Answer, tokio_postgres::Error> {
        match wanted {
            For::Rows => self.client.query_typed(sql, params).await.map(Answer::Rows),
            For::One => {
                let params = params.iter().map(|(param, ty)| (*param, ty.clone()));
                first(self.client.query_typed_raw(sql, params).await?).await
            }
            For::Count => self.client.execute_typed(sql, params).await.map(Answer::Count),
        }
    }

    pub(crate) async fn query_values(
        self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<pool_sql::Row>, PgError> {
        let found = self.run_values(sql, values, For::Rows).await.map(Answer::rows)?;
        let mut rows = Vec::new();
        append(&found, &mut rows)?;
        Ok(rows)
    }

    pub(crate) async fn execute_values(
        self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, PgError> {
        self.run_values(sql, values, For::Count).await.map(Answer::count)
    }

    async fn run_values(
        self,
        sql: &str,
        values: &[Value<'_>],
        wanted: For,
    ) -> Result<Answer, PgError> {
        if self.is_pooled() {
            let worded = worded(sql, values)?;
            let params: Vec<_> = worded
                .iter()
                .map(|value| (value as &(dyn ToSql + Sync), value.declared_type()))
                .collect();
            return self.run_typed(sql, &params, wanted).await.map_err(plain);
        }
        let params = Param::all(values);
        let params: Vec<_> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        self.run(sql, &params, wanted).await.map_err(plain)
    }

    pub(crate) async fn query_raw<Q, P, I>(
        self,
        query: &Q,
        params: I,
    ) -> Result<PgRowStream<'c>, PgError>
    where
        Q: Query + ?Sized,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
    {
        let params: Vec<P> = params.into_iter().collect();
        let (mut call, stream) = match query.form() {
            Form::Prepared(statement) => {
                let statement = statement.of(self.session)?;
                let call = self.call(None).await?;
                (call, self.stream(statement, &params).await)
            }
            Form::Text(sql) if self.is_pooled() => {
                let call = self.call(Some(sql)).await?;
                let types = match types_of_borrowed(&params) {
                    Ok(types) => types,
                    Err(error) => return call.end(Err(error)),
                };
                (call, self.client.query_typed_raw(sql, params.into_iter().zip(types)).await)
            }
            Form::Text(sql) => {
                let call = self.call(Some(sql)).await?;
                (call, self.stream_cached(sql, &params).await)
            }
        };
        match stream {
            Ok(stream) => {
                call.streams();
                Ok(PgRowStream::new(stream, call, self.session))
            }
            Err(error) => call.finish(Err(error)).await,
        }
    }

    async fn stream_cached<P: BorrowToSql>(
        self,
        sql: &str,
        params: &[P],
    ) -> Result<RowStream, tokio_postgres::Error> {
        let (statement, is_old) = self.statement(sql).await?;
        match self.stream(&statement, params).await {
            Err(error) if is_old && Box::pin(self.heals(sql, &error)).await => {
                let (statement, _) = self.statement(sql).await?;
                self.stream(&statement, params).await
            }
            done => done,
        }
    }

    fn stream<P: BorrowToSql>(
        self,
        statement: &Statement,
        params: &[P],
    ) -> impl Future<Output = Result<RowStream, tokio_postgres::Error>> {
        self.client.query_raw(statement, params.iter().map(BorrowToSql::borrow_to_sql))
    }

    pub(crate) async fn simple_query(self, sql: &str) -> Result<Vec<SimpleQueryMessage>, PgError> {
        let call = self.call(Some(sql)).await?;
        self.note(sql);
        let done = self.client.simple_query(sql).await;
        call.finish(done).await
    }

    pub(crate) async fn batch_execute(self, sql: &str) -> Result<(), PgError> {
        let call = self.call(Some(sql)).await?;
        let before = self.before();
        self.note(sql);
        let done = self.client.batch_execute(sql).await;
        self.forget_local(before, sql);
        call.finish(done).await
    }

    /// Whether the session was unchanged before a call, and how many calls there were.
    fn before(self) -> (bool, u64, bool) {
        let (begun, alone) = self.session.calls();
        (self.session.wire.has_state(), begun, alone)
    }

    /// What was noted since is nothing, if all there was is a statement for its transaction only.
    fn forget_local(self, (had_state, begun, alone): (bool, u64, bool), sql: &str) {
        let wire = &self.session.wire;
        let unseen = had_state || !wire.has_state() || !is_local_set(sql);
        if !unseen && alone && self.session.calls() == (begun, alone) {
            wire.forget_state();
        }
    }

    pub(crate) async fn copy_in<T>(self, sql: &str) -> Result<PgCopyIn<'c, T>, PgError>
    where
        T: bytes::Buf + Send + 'static,
    {
        let call = self.copy(sql).await?;
        let statement = match self.for_copy(sql).await {
            Ok(statement) => statement,
            Err(error) => return call.end(Err(error)),
        };
        match self.client.copy_in(&statement).await {
            Ok(sink) => Ok(PgCopyIn::new(sink, call, self.session)),
            Err(error) => {
                // The driver sends the copy's end to a server that has not begun one, and takes the
                // answer for that of the next question.
                self.session.wire.break_off();
                call.end(Err(self.session.said(error)))
            }
        }
    }

    pub(crate) async fn copy_out(self, sql: &str) -> Result<PgCopyOut<'c>, PgError> {
        let mut call = self.call(Some(sql)).await?;
        let statement = match self.for_copy(sql).await {
            Ok(statement) => statement,
            Err(error) => return call.end(Err(error)),
        };
        match self.client.copy_out(&statement).await {
            Ok(stream) => {
                call.streams();
                Ok(PgCopyOut::new(stream, call, self.session))
            }
            Err(error) => call.finish(Err(error)).await,
        }
    }

    /// The driver copies by prepared statements only.
    async fn for_copy(self, sql: &str) -> Result<Statement, PgError> {
        if self.is_pooled() {
            self.names_allowed()?;
        }
        let prepared = self.statement(sql).await;
        prepared.map(|(statement, _)| statement).map_err(|error| self.session.said(error))
    }

    /// A statement from the cache, or prepared. Says too whether it is an old one.
    async fn statement(self, sql: &str) -> Result<(Statement, bool), tokio_postgres::Error> {
        let session = self.session;
        // What the server was told to forget is not in there any more.
        let keeps = !self.is_pooled() && !session.wire.has_forgotten();
        if keeps && let Some(statement) = self.cache(|cache| cache.find(sql)) {
            session.common.statements.hit();
            return Ok((statement, true));
        }
        session.common.statements.miss();
        Ok((Box::pin(self.prepared(sql, keeps)).await?, false))
    }

    /// Prepares a statement, and keeps it if it may be kept.
    async fn prepared(self, sql: &str, keeps: bool) -> Result<Statement, tokio_postgres::Error> {
        let orphan = self.session.prepares();
        let prepared = self.client.prepare(sql).await;
        orphan.adopted();
        let statement = prepared?;
        if !self.note(sql) && keeps {
            drop(self.cache(|cache| cache.keep(sql, statement.clone())));
        }
        Ok(statement)
    }

    /// Notes a statement that leaves something in the session. True if so.
    fn note(self, sql: &str) -> bool {
        let leaves = leaves_state(sql);
        if leaves {
            self.session.wire.note_state();
        }
        leaves
    }

    /// Whether a statement failed since the server has another idea of it, and may be tried again
    /// after it was prepared anew.
    async fn heals(self, sql: &str, error: &tokio_postgres::Error) -> bool {
        if !is_stale(error) {
            return false;
        }
        drop(self.cache(|cache| cache.forget(sql)));
        let (_, alone) = self.session.calls();
        if !alone || timeout(MOMENT, self.session.wire.quiet()).await.is_err() {
            return false; // it is not known whether a transaction has failed of it
        }
        self.session.wire.transaction() == Transaction::None
    }

    fn cache<T>(self, work: impl FnOnce(&mut Cache) -> T) -> T {
        // Nothing in here panics half-way.
        let mut cache = self.session.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        work(&mut cache)
    }

    fn is_pooled(self) -> bool {
        self.session.common.profile == Profile::Pooler
    }

    /// Behind a pooler a prepared statement lives as long as a transaction.
    fn names_allowed(self) -> Result<(), PgError> {
        if !self.is_pooled() || self.session.wire.transaction() == Transaction::Open {
            return Ok(());
        }
        let text = "behind a pooler in transaction mode a prepared statement, and so a COPY, works \
                    only inside a transaction: begin one, or give the text to query(..)";
        Err(PgError::text(PgErrorKind::Profile, text))
    }
}

/// Whether the server refused a prepared statement before it executed anything: by the function
/// that says so, since what a statement itself raises may have the same code.
fn is_stale(error: &tokio_postgres::Error) -> bool {
    let Some(said) = error.as_db_error() else { return false };
    matches!(
        (said.code().code(), said.routine()),
        ("26000", Some("FetchPreparedStatement")) | ("0A000", Some("RevalidateCachedQuery"))
    )
}

/// Reads all rows, and keeps the first.
async fn first(rows: RowStream) -> Result<Answer, tokio_postgres::Error> {
    let mut rows = pin!(rows);
    let (mut first, mut found) = (None, 0);
    while let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await.transpose()? {
        found += 1;
        first.get_or_insert(row);
    }
    Ok(Answer::One(first, found))
}

fn wrong_number(found: usize, wanted: &str) -> PgError {
    PgError::text(PgErrorKind::Rows, format!("the query returned {found} rows, not {wanted}"))
}

fn types_of_borrowed<P: BorrowToSql>(params: &[P]) -> Result<Vec<Type>, PgError> {
    let params = params.iter().enumerate();
    params.map(|(at, param)| crate::infer::type_of(at, param.borrow_to_sql())).collect()
}
