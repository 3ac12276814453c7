//! [`Batch`] on SQLite: multi-row statements in one immediate transaction, ids by `json_each`.
//!
//! Rows are encoded as they come into a flat arena, a few statements at a time: a hop, which goes
//! over to the connection's thread. While that executes one, the next are encoded here. The whole
//! batch is one job and one transaction there; the last hop commits. A batch that is dropped on the
//! way is rolled back before the connection is used again.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::Poll;
use std::time::Duration;

use pool_sql::plan::{ids_per_statement, json_ids};
use pool_sql::{
    Batch, BatchFuture, BatchReport, Chunker, Dialect, Found, Ident, Insert, PlanError, Progress,
    Related, RelatedRows, Row, SelectByIds, Update, Value, Wanted,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use tokio::sync::mpsc;

use crate::connection::SqliteConnection;
use crate::error::SqliteError;
use crate::open::Opened;
use crate::transaction::SqliteTransaction;
use crate::values::{query, stored, unfit};
use crate::watch::JobWatch;

const DIALECT: Dialect = Dialect::Sqlite;
/// Statements in a hop.
const STATEMENTS_A_HOP: usize = 4;
/// Hops in memory: one that is executed, one that is filled, and one on its way.
const HOPS: u32 = 3;
/// While no hop comes, the thread looks now and then whether the batch was given up.
const GLANCE: Duration = Duration::from_millis(20);

impl Batch for SqliteConnection {
    type Error = SqliteError;

    fn insert_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Insert,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, SqliteError>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        Box::pin(self.write(Plan::Insert(plan), rows.into_iter(), progress))
    }

    fn update_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Update,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, SqliteError>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        Box::pin(self.write(Plan::Update(plan), rows.into_iter(), progress))
    }

    async fn select_by_ids(
        &mut self,
        plan: &SelectByIds,
        ids: &[Value<'_>],
    ) -> Result<Found, SqliteError> {
        let wanted = Wanted::new(ids);
        let rows = self.query_ids(wanted.ids(), &[], |count| plan.sql(DIALECT, count)).await?;
        Ok(wanted.found(rows, plan.id_index()?))
    }

    async fn load_related(
        &mut self,
        plan: &Related,
        parents: &[Value<'_>],
    ) -> Result<RelatedRows, SqliteError> {
        let wanted = Wanted::new(parents);
        let page = plan.page();
        let page = page.as_ref().map_or(&[][..], |page| &page[..]);
        let rows = self.query_ids(wanted.ids(), page, |count| plan.sql(DIALECT, count)).await?;
        Ok(wanted.related(rows, plan.parent_index()?))
    }
}

/// Each a savepoint in the transaction, which has to be there still.
impl Batch for SqliteTransaction<'_> {
    type Error = SqliteError;

    fn insert_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Insert,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, SqliteError>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        let rows = rows.into_iter();
        Box::pin(async move {
            let done = self.connection().await?.insert_many(plan, rows, progress).await;
            self.within(done)
        })
    }

    fn update_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Update,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, SqliteError>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        let rows = rows.into_iter();
        Box::pin(async move {
            let done = self.connection().await?.update_many(plan, rows, progress).await;
            self.within(done)
        })
    }

    async fn select_by_ids(
        &mut self,
        plan: &SelectByIds,
        ids: &[Value<'_>],
    ) -> Result<Found, SqliteError> {
        let done = self.connection().await?.select_by_ids(plan, ids).await;
        self.within(done)
    }

    async fn load_related(
        &mut self,
        plan: &Related,
        parents: &[Value<'_>],
    ) -> Result<RelatedRows, SqliteError> {
        let done = self.connection().await?.load_related(plan, parents).await;
        self.within(done)
    }
}

impl SqliteConnection {
    async fn write<'r, I>(
        &mut self,
        plan: Plan<'_>,
        rows: I,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<BatchReport, SqliteError>
    where
        I: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send,
    {
        let chunker = plan.chunker();
        let mut chunks = chunker.chunks(rows);
        let mut encoder = Encoder::new(plan);
        let mut fill = move |hop: &mut Hop| hop.fill(&mut chunks, &chunker, &mut encoder);
        let mut first = Hop::default();
        fill(&mut first)?;
        if first.chunks.is_empty() {
            return Ok(BatchReport::default());
        }
        let watch = self.watch();
        let mut transaction = JobWatch::default();
        let done = self.write_hops(first, fill, progress, &mut transaction).await;
        match done {
            Ok(_) => self.undo = None,
            Err(_) => drop(self.come_home().await),
        }
        let done = watch.done(&self.shared, done);
        transaction.end(done.is_ok());
        done
    }

    /// Executes a hop and those that follow it, in a transaction or a savepoint.
    async fn write_hops(
        &mut self,
        first: Hop,
        mut fill: impl FnMut(&mut Hop) -> Result<(), SqliteError> + Send,
        mut progress: impl FnMut(Progress) + Send,
        transaction: &mut JobWatch,
    ) -> Result<BatchReport, SqliteError> {
        self.come_home().await?;
        let bounds = if self.here()?.connection.is_autocommit() {
            *transaction = self.watch_transaction();
            Bounds::TRANSACTION
        } else {
            Bounds::SAVEPOINT
        };
        // From here on, whoever comes next undoes the batch, unless it is done.
        (self.undo, self.used) = (Some(bounds.undo.into()), true);
        let (filled, inbox) = channel();
        let (outbox, mut executed) = mpsc::unbounded_channel();
        let job = move |opened: &mut Opened| bounds.execute(opened, &inbox, &outbox);
        let (mut report, mut so_far) = (BatchReport::default(), Progress::default());
        let mut note = |hop: &mut Hop| {
            hop.done.drain(..).for_each(|(rows, hit)| report.add_statement(rows, hit));
            for rows in hop.chunks.drain(..) {
                so_far.add_chunk(rows);
                progress(so_far);
            }
        };
        let (mut hops, mut is_last, mut unfit) = (1, first.is_last, Ok(()));
        let _ = filled.send(first);
        let (begun, ran) = {
            let mut running = pin!(self.run_on(job));
            let early = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await;
            while !is_last {
                let mut hop = match executed.try_recv() {
                    Ok(hop) => hop,
                    Err(_) if hops < HOPS => {
                        hops += 1;
                        Hop::default()
                    }
                    Err(_) => match executed.recv().await {
                        Some(hop) => hop,
                        None => break, // the thread takes no more: it says why
                    },
                };
                note(&mut hop);
                unfit = fill(&mut hop);
                if unfit.is_err() {
                    break;
                }
                is_last = hop.is_last;
                let _ = filled.send(hop);
            }
            drop(filled);
            while let Some(mut hop) = executed.recv().await {
                note(&mut hop);
            }
            match early {
                Poll::Ready(ran) => ran?,
                Poll::Pending => running.await?,
            }
        };
        if !begun {
            self.undo = None;
            std::mem::take(transaction).not_begun();
        }
        ran?;
        unfit?;
        Ok(report)
    }

    async fn query_ids(
        &mut self,
        ids: &[Value<'_>],
        page: &[i64],
        sql: impl Fn(usize) -> Result<String, PlanError> + Send,
    ) -> Result<Vec<Row>, SqliteError> {
        let mut queries = Vec::new();
        for ids in ids.chunks(ids_per_statement(DIALECT)) {
            queries.push((sql(ids.len())?, json_ids(ids)?, page.to_vec()));
        }
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        self.call(move |connection| {
            let mut rows = Vec::new();
            for (sql, ids, page) in &queries {
                let mut values: Vec<&dyn ToSql> = vec![ids];
                values.extend(page.iter().map(|number| number as &dyn ToSql));
                query(connection, sql, &values[..], &mut rows)?;
            }
            Ok(rows)
        })
        .await
    }
}

/// What makes a batch all or nothing.
#[derive(Clone, Copy)]
struct Bounds {
    begin: &'static str,
    end: &'static str,
    undo: &'static str,
}

impl Bounds {
    const TRANSACTION: Self = Self { begin: "BEGIN IMMEDIATE", end: "COMMIT", undo: "ROLLBACK" };
    /// Inside a transaction of the user's.
    const SAVEPOINT: Self = Self {
        begin: "SAVEPOINT pool_batch",
        end: "RELEASE pool_batch",
        undo: "ROLLBACK TO pool_batch; RELEASE pool_batch",
    };

    /// Executes hops as they come in, on the connection's thread; each goes out again. If the last
    /// one never comes, nothing is committed. Says too whether it had begun.
    fn execute(
        self,
        opened: &Opened,
        inbox: &Receiver<Hop>,
        outbox: &mpsc::UnboundedSender<Hop>,
    ) -> (bool, rusqlite::Result<()>) {
        match opened.connection.execute_batch(self.begin) {
            Ok(()) => (true, self.execute_hops(opened, inbox, outbox)),
            Err(error) => (false, Err(error)),
        }
    }

    fn execute_hops(
        self,
        opened: &Opened,
        inbox: &Receiver<Hop>,
        outbox: &mpsc::UnboundedSender<Hop>,
    ) -> rusqlite::Result<()> {
        let given_up = || opened.given_up.load(Ordering::Acquire);
        loop {
            let mut hop = match inbox.recv_timeout(GLANCE) {
                Ok(hop) => hop,
                Err(RecvTimeoutError::Timeout) if !given_up() => continue,
                Err(_) => return Ok(()), // whoever comes next undoes it
            };
            for statement in &hop.statements {
                if given_up() {
                    return Ok(());
                }
                hop.done.push(statement.execute(&opened.connection, &hop.cells, &hop.bytes)?);
            }
            if hop.is_last && !given_up() {
                opened.connection.execute_batch(self.end)?;
            }
            let is_last = hop.is_last;
            let _ = outbox.send(hop);
            if is_last {
                return Ok(());
            }
        }
    }
}

/// A few statements with their values, on the way to the connection's thread, and back for more.
#[derive(Default)]
struct Hop {
    statements: Vec<Rows>,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
    /// The chunks it was filled with, in rows.
    chunks: Vec<usize>,
    /// It is not full: no rows come after these.
    is_last: bool,
    /// For each statement that was executed, how many rows it was given and how many it touched.
    done: Vec<(usize, u64)>,
}

enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

/// What is to be done with each row.
#[derive(Clone, Copy)]
enum Plan<'p> {
    Insert(&'p Insert),
    Update(&'p Update),
}

impl Plan<'_> {
    fn chunker(self) -> Chunker {
        match self {
            Self::Insert(plan) => plan.chunker(DIALECT),
            Self::Update(plan) => plan.chunker(DIALECT),
        }
    }

    fn sql(self, rows: usize) -> Result<String, PlanError> {
        match self {
            Self::Insert(plan) => plan.sql(DIALECT, rows),
            Self::Update(plan) => plan.sql(DIALECT, rows),
        }
    }

    #[cold]
    fn unfit(self, row: u64, at: usize, value: &Value<'_>) -> SqliteError {
        let name = match self {
            Self::Insert(plan) => plan.column_names().get(at),
            Self::Update(plan) => plan.names().nth(at),
        };
        unfit(format_args!("row {row}, column `{}`", name.map_or("?", Ident::as_str)), value)
    }
}

/// Rows become statements.
struct Encoder<'p> {
    plan: Plan<'p>,
    /// The statements' texts by their number of rows: there are few, and they are long.
    texts: Vec<(usize, Arc<str>)>,
    /// How many rows there were.
    rows: u64,
}

impl<'p> Encoder<'p> {
    fn new(plan: Plan<'p>) -> Self {
        Self { plan, texts: Vec::new(), rows: 0 }
    }

    fn text(&mut self, rows: usize) -> Result<Arc<str>, PlanError> {
        if let Some((_, text)) = self.texts.iter().find(|(other, _)| *other == rows) {
            return Ok(text.clone());
        }
        let text: Arc<str> = self.plan.sql(rows)?.into();
        self.texts.push((rows, text.clone()));
        Ok(text)
    }

    /// Adds a statement for these rows.
    fn add<'r>(
        &mut self,
        rows: &[impl AsRef<[Value<'r>]>],
        hop: &mut Hop,
    ) -> Result<(), SqliteError> {
        let (sql, from) = (self.text(rows.len())?, hop.cells.len());
        for row in rows {
            for (at, value) in row.as_ref().iter().enumerate() {
                let stored = stored(value).ok_or_else(|| self.plan.unfit(self.rows, at, value))?;
                hop.push(stored);
            }
            self.rows += 1;
        }
        hop.statements.push(Rows { sql, count: rows.len(), cells: from..hop.cells.len() });
        Ok(())
    }
}

impl Hop {
    /// Replaces what it carries by the next few statements, or nothing if there are no more rows.
    fn fill<'r, R: AsRef<[Value<'r>]>>(
        &mut self,
        chunks: &mut impl Iterator<Item = Result<Vec<R>, PlanError>>,
        chunker: &Chunker,
        encoder: &mut Encoder<'_>,
    ) -> Result<(), SqliteError> {
        self.statements.clear();
        self.cells.clear();
        self.bytes.clear();
        for chunk in chunks.take(STATEMENTS_A_HOP) {
            let chunk = chunk?;
            for rows in chunker.statements(&chunk) {
                encoder.add(rows, self)?;
            }
            self.chunks.push(chunk.len());
        }
        self.is_last = self.chunks.len() < STATEMENTS_A_HOP;
        Ok(())
    }

    fn push(&mut self, value: ValueRef<'_>) {
        let cell = match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(text) => Cell::Text(self.keep(text)),
            ValueRef::Blob(bytes) => Cell::Blob(self.keep(bytes)),
        };
        self.cells.push(cell);
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }
}

/// A statement: its text, how many rows it has, and where their values lie.
struct Rows {
    sql: Arc<str>,
    count: usize,
    cells: Range<usize>,
}

impl Rows {
    /// Says how many rows it was given and how many it touched.
    fn execute(
        &self,
        connection: &Connection,
        cells: &[Cell],
        bytes: &[u8],
    ) -> rusqlite::Result<(usize, u64)> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let values = cells[self.cells.clone()].iter().map(|cell| Bound { cell, bytes });
        let affected = statement.execute(rusqlite::params_from_iter(values))?;
        Ok((self.count, affected as u64))
    }
}

struct Bound<'h> {
    cell: &'h Cell,
    bytes: &'h [u8],
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = |range: &Range<usize>| &self.bytes[range.clone()];
        Ok(ToSqlOutput::Borrowed(match self.cell {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(range) => ValueRef::Text(bytes(range)),
            Cell::Blob(range) => ValueRef::Blob(bytes(range)),
        }))
    }
}
