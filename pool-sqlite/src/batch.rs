//! [`Batch`] on SQLite: multi-row statements in one immediate transaction, ids by `json_each`.
//!
//! Rows are encoded as they come into a flat arena, a few statements at a time, which goes over to
//! the connection's thread in one hop. The transaction spans the hops; a batch that is dropped on
//! the way is rolled back before the connection is used again.

use std::ops::Range;

use pool_sql::plan::{ids_per_statement, json_ids};
use pool_sql::{
    Batch, BatchFuture, BatchReport, Chunker, Dialect, Found, Insert, OwnedValue, PlanError,
    Progress, Related, RelatedRows, Row, SelectByIds, Update, Value, ValueType, Wanted,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use crate::connection::SqliteConnection;
use crate::error::SqliteError;

const DIALECT: Dialect = Dialect::Sqlite;
/// Statements that go over in one hop.
const STATEMENTS_A_HOP: usize = 4;

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
        let sql = |rows| plan.sql(DIALECT, rows);
        Box::pin(self.write(plan.chunker(DIALECT), sql, rows.into_iter(), progress))
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
        let sql = |rows| plan.sql(DIALECT, rows);
        Box::pin(self.write(plan.chunker(DIALECT), sql, rows.into_iter(), progress))
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

impl SqliteConnection {
    async fn write<'r, I>(
        &mut self,
        chunker: Chunker,
        sql: impl Fn(usize) -> Result<String, PlanError> + Send,
        rows: I,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<BatchReport, SqliteError>
    where
        I: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send,
    {
        let mut chunks = chunker.chunks(rows);
        let Some(mut hop) = Hop::fill(&mut chunks, &chunker, &sql)? else {
            return Ok(BatchReport::default());
        };
        let watch = self.watch();
        let bounds = match self.begin().await {
            Ok(bounds) => bounds,
            Err(error) => return watch.done(Err(error)),
        };
        // From here on, whoever comes next undoes the batch, unless it is done.
        self.undo = Some(bounds.undo);
        let (mut report, mut so_far) = (BatchReport::default(), Progress::default());
        let done = loop {
            let sizes = std::mem::take(&mut hop.chunks);
            match self.run_on(move |opened| hop.execute(&opened.connection)).await {
                Ok(Ok(done)) => done.into_iter().for_each(|(n, hit)| report.add_statement(n, hit)),
                Ok(Err(error)) => break Err(error.into()),
                Err(error) => break Err(error),
            }
            for rows in sizes {
                so_far.add_chunk(rows);
                progress(so_far);
            }
            hop = match Hop::fill(&mut chunks, &chunker, &sql) {
                Ok(Some(next)) => next,
                Ok(None) => break self.finish(bounds).await,
                Err(error) => break Err(error.into()),
            };
        };
        match done {
            Ok(()) => self.undo = None,
            Err(_) => drop(self.come_home().await),
        }
        watch.done(done.map(|()| report))
    }

    /// Begins what makes the batch all or nothing.
    async fn begin(&mut self) -> Result<Bounds, SqliteError> {
        self.come_home().await?;
        let bounds = match self.here()?.connection.is_autocommit() {
            true => Bounds::TRANSACTION,
            false => Bounds::SAVEPOINT,
        };
        self.run_on(move |opened| opened.connection.execute_batch(bounds.begin)).await??;
        Ok(bounds)
    }

    async fn finish(&mut self, bounds: Bounds) -> Result<(), SqliteError> {
        Ok(self.run_on(move |opened| opened.connection.execute_batch(bounds.end)).await??)
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
                query(connection, sql, &values, &mut rows)?;
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
}

/// A few statements with their values, on the way to the connection's thread.
#[derive(Default)]
struct Hop {
    statements: Vec<(String, usize, Range<usize>)>,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
    /// The chunks it was filled with, in rows.
    chunks: Vec<usize>,
}

enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl Hop {
    /// The next few statements, or none if there are no more rows.
    fn fill<'r, R: AsRef<[Value<'r>]>>(
        chunks: &mut impl Iterator<Item = Result<Vec<R>, PlanError>>,
        chunker: &Chunker,
        sql: impl Fn(usize) -> Result<String, PlanError>,
    ) -> Result<Option<Self>, PlanError> {
        let mut hop = Self::default();
        for chunk in chunks.take(STATEMENTS_A_HOP) {
            let chunk = chunk?;
            for rows in chunker.statements(&chunk) {
                hop.add(sql(rows.len())?, rows);
            }
            hop.chunks.push(chunk.len());
        }
        Ok((!hop.chunks.is_empty()).then_some(hop))
    }

    fn add<'r>(&mut self, sql: String, rows: &[impl AsRef<[Value<'r>]>]) {
        let from = self.cells.len();
        for value in rows.iter().flat_map(|row| row.as_ref()) {
            let cell = self.cell(value);
            self.cells.push(cell);
        }
        self.statements.push((sql, rows.len(), from..self.cells.len()));
    }

    fn cell(&mut self, value: &Value<'_>) -> Cell {
        match *value {
            Value::Null(_) => Cell::Null,
            Value::Bool(yes) => Cell::Integer(i64::from(yes)),
            Value::I64(number) | Value::Timestamp(number) | Value::Time(number) => {
                Cell::Integer(number)
            }
            Value::Date(days) => Cell::Integer(i64::from(days)),
            // SQLite has no larger integer: as text it stays exact.
            Value::U64(number) => match i64::try_from(number) {
                Ok(number) => Cell::Integer(number),
                Err(_) => Cell::Text(self.keep(number.to_string().as_bytes())),
            },
            Value::F64(number) => Cell::Real(number),
            Value::Text(text) | Value::Decimal(text) | Value::Json(text) => {
                Cell::Text(self.keep(text.as_bytes()))
            }
            Value::Bytes(bytes) => Cell::Blob(self.keep(bytes)),
            Value::Uuid(bytes) => Cell::Blob(self.keep(&bytes)),
            _ => Cell::Null,
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    /// Runs the statements; says for each how many rows it was given and how many it touched.
    fn execute(&self, connection: &Connection) -> rusqlite::Result<Vec<(usize, u64)>> {
        let run = |(sql, rows, cells): &(String, usize, Range<usize>)| {
            let mut statement = connection.prepare_cached(sql)?;
            let values = self.cells[cells.clone()].iter().map(|cell| Bound { cell, hop: self });
            let affected = statement.execute(rusqlite::params_from_iter(values))?;
            Ok((*rows, affected as u64))
        };
        self.statements.iter().map(run).collect()
    }
}

struct Bound<'h> {
    cell: &'h Cell,
    hop: &'h Hop,
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = |range: &Range<usize>| &self.hop.bytes[range.clone()];
        Ok(ToSqlOutput::Borrowed(match self.cell {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(range) => ValueRef::Text(bytes(range)),
            Cell::Blob(range) => ValueRef::Blob(bytes(range)),
        }))
    }
}

fn query(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    rows: &mut Vec<Row>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    // A list in one of the driver's versions that we work with, an iterator in the other.
    #[allow(clippy::useless_conversion)]
    let columns: std::sync::Arc<[Box<str>]> =
        statement.column_names().into_iter().map(Box::from).collect();
    let mut found = statement.query(values)?;
    while let Some(row) = found.next()? {
        let value = |at| row.get_ref(at).and_then(|value| own(value, at));
        let values = (0..columns.len()).map(value).collect::<rusqlite::Result<_>>()?;
        rows.push(Row::new(columns.clone(), values));
    }
    Ok(())
}

fn own(value: ValueRef<'_>, at: usize) -> rusqlite::Result<OwnedValue> {
    Ok(match value {
        ValueRef::Null => OwnedValue::Null(ValueType::Unknown),
        ValueRef::Integer(number) => OwnedValue::I64(number),
        ValueRef::Real(number) => OwnedValue::F64(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => OwnedValue::Text(text.into()),
            Err(error) => return Err(rusqlite::Error::Utf8Error(at, error)),
        },
        ValueRef::Blob(bytes) => OwnedValue::Bytes(bytes.into()),
    })
}
