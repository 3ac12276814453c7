//! Writing: chunks of rows as arrays for `UNNEST`, or as one COPY.

use bytes::{Bytes, BytesMut};
use pool_sql::{
    BatchReport, Chunker, Dialect, Ident, Insert, OnConflict, Progress, Row, Update, Value,
};
use tokio_postgres::types::{ToSql, Type};

use super::bounds::Bounds;
use super::rows::{Column, CopyEncoder};
use super::statements;
use crate::common::Profile;
use crate::error::{PgError, PgErrorKind};
use crate::statements::{PgStatement, Statements};
use crate::values::format::Format;
use crate::values::{append, plain};

/// Rows in a chunk. More make no statement faster, and progress coarser.
const CHUNK: usize = 1_000;
/// Bytes that go to the driver at once: few enough to stay in a processor's cache, so many that
/// waking the driver's task does not count.
const PIECE: usize = 64 * 1024;

/// A COPY asks neither rules nor policies, and cannot write to a view. Where there is any of that, it
/// is no way to insert.
const COPIES: &str = "SELECT relkind IN ('r', 'p') AND NOT relhasrules \
     AND NOT row_security_active(oid) FROM pg_class WHERE oid = $1::text::regclass";

/// Where a batch is written.
#[derive(Clone, Copy)]
pub(super) struct Target<'c> {
    pub(super) on: Statements<'c>,
    /// A transaction is known to be open.
    pub(super) is_nested: bool,
}

/// What a batch may be of.
pub(super) trait Rows<'r>: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send {}

impl<'r, I> Rows<'r> for I where I: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send {}

impl Target<'_> {
    pub(super) async fn insert<'r>(
        self,
        plan: &Insert,
        rows: impl Rows<'r>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<BatchReport, PgError> {
        let types = statements::column_types(plan)?;
        let mut chunks = chunks(plan.column_names().len(), rows);
        let Some(first) = chunks.next().transpose()? else { return Ok(BatchReport::default()) };
        let second = chunks.next();
        let is_copy = second.is_some() && *plan.conflict() == OnConflict::Fail;
        let (first, rest) = (std::iter::once(Ok(first)), second.into_iter().chain(chunks));

        let bounds = Bounds::begin(self.on, self.is_nested).await?;
        let work = async {
            let shape = Shape::of(self.on, plan.column_names().to_vec(), &types).await?;
            let sql = statements::insert_unnest(plan, &shape.types, &[])?;
            let mut done = Done::new(progress);
            // Also before a COPY: it takes the table's lock, and fails of what the user or the
            // columns do not allow. Of a COPY that fails at its beginning the driver gets out of
            // step.
            self.arrays(&shape, &sql, first, &mut done).await?;
            if is_copy && self.copies(plan).await? {
                self.copy(plan, &shape, rest, &mut done).await?;
            } else {
                self.arrays(&shape, &sql, rest, &mut done).await?;
            }
            Ok(done.report)
        };
        let done = work.await;
        bounds.end(done).await
    }

    pub(super) async fn update<'r>(
        self,
        plan: &Update,
        rows: impl Rows<'r>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<BatchReport, PgError> {
        let types = statements::update_column_types(plan)?;
        let names: Vec<Ident> = plan.names().cloned().collect();
        let mut chunks = chunks(names.len(), rows);
        let Some(first) = chunks.next().transpose()? else { return Ok(BatchReport::default()) };
        let chunks = std::iter::once(Ok(first)).chain(chunks);

        let bounds = Bounds::begin(self.on, self.is_nested).await?;
        let work = async {
            let shape = Shape::of(self.on, names, &types).await?;
            let sql = statements::update_unnest(plan, &shape.types)?;
            let mut done = Done::new(progress);
            self.arrays(&shape, &sql, chunks, &mut done).await?;
            Ok(done.report)
        };
        let done = work.await;
        bounds.end(done).await
    }

    pub(super) async fn insert_returning<'r>(
        self,
        plan: &Insert,
        rows: impl Rows<'r>,
        returning: &[Ident],
    ) -> Result<Vec<Row>, PgError> {
        let types = statements::column_types(plan)?;
        let mut chunks = chunks(plan.column_names().len(), rows);
        let Some(first) = chunks.next().transpose()? else { return Ok(Vec::new()) };
        let chunks = std::iter::once(Ok(first)).chain(chunks);

        let bounds = Bounds::begin(self.on, self.is_nested).await?;
        let work = async {
            let shape = Shape::of(self.on, plan.column_names().to_vec(), &types).await?;
            let sql = statements::insert_unnest(plan, &shape.types, returning)?;
            // Not from the cache: of an old one the server may say that its result has other types
            // now, and a transaction that failed cannot heal that.
            let statement = self.on.prepare_typed(&sql, &[]).await?;
            let (mut inserted, mut seen) = (Vec::new(), 0);
            for chunk in chunks {
                let chunk = chunk?;
                let columns = shape.columns(&chunk, seen);
                let found = self.on.query(&statement, &params(&columns)).await.map_err(plain)?;
                append(&found, &mut inserted)?;
                seen += chunk.len() as u64;
            }
            Ok(inserted)
        };
        let done = work.await;
        bounds.end(done).await
    }

    /// One statement for each chunk.
    async fn arrays<'r, R: AsRef<[Value<'r>]> + Send + Sync>(
        self,
        shape: &Shape,
        sql: &str,
        chunks: impl Iterator<Item = Result<Vec<R>, PgError>> + Send,
        done: &mut Done<impl FnMut(Progress) + Send>,
    ) -> Result<(), PgError> {
        let statement = self.statement(sql).await?;
        for chunk in chunks {
            let chunk = chunk?;
            let columns = shape.columns(&chunk, done.report.rows);
            let params = params(&columns);
            let affected = match &statement {
                Some(statement) => self.on.execute(statement, &params).await,
                None => self.on.execute(sql, &params).await,
            };
            done.report.add_statement(chunk.len(), affected.map_err(plain)?);
            done.chunk(chunk.len());
        }
        Ok(())
    }

    /// Behind a pooler a text would be sent with types that are guessed from the values.
    async fn statement(&self, sql: &str) -> Result<Option<PgStatement<'_>>, PgError> {
        match self.on.session.common.profile {
            Profile::Pooler => self.on.prepare_typed(sql, &[]).await.map(Some),
            Profile::Direct => Ok(None),
        }
    }

    /// Whether a COPY does the same as an INSERT here.
    async fn copies(self, plan: &Insert) -> Result<bool, PgError> {
        let table = plan.table().quoted(Dialect::Postgres)?;
        let row = self.on.query_one(COPIES, &[&table]).await?;
        Ok(row.try_get(0)?)
    }

    /// One statement for all chunks. The next rows are encoded while the server reads.
    async fn copy<'r, R: AsRef<[Value<'r>]> + Send + Sync>(
        self,
        plan: &Insert,
        shape: &Shape,
        chunks: impl Iterator<Item = Result<Vec<R>, PgError>> + Send,
        done: &mut Done<impl FnMut(Progress) + Send>,
    ) -> Result<(), PgError> {
        let mut sink = self.on.copy_in::<Bytes>(&statements::copy_in(plan)?).await?;
        let mut out = BytesMut::with_capacity(2 * PIECE);
        let before = done.report.rows;
        let encoder = CopyEncoder::start(&shape.names, &shape.types, &mut out);
        let mut encoder = encoder.after(before);
        for chunk in chunks {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(unfit) => return Err(sink.abort(unfit).await),
            };
            for row in &chunk {
                if let Err(unfit) = encoder.row(row.as_ref(), &mut out) {
                    return Err(sink.abort(unfit).await);
                }
                if out.len() >= PIECE {
                    sink.send(out.split().freeze()).await?;
                    out.reserve(2 * PIECE);
                }
            }
            sink.send(out.split().freeze()).await?;
            if sink.has_failed() {
                // The server would read all that is left, and drop it.
                break;
            }
            done.chunk(chunk.len());
        }
        let rows = encoder.finish(&mut out) - before;
        sink.send(out.freeze()).await?;
        done.report.add_statement(rows as usize, sink.finish().await?);
        Ok(())
    }
}

/// How far a batch is, and whom it tells.
struct Done<P> {
    report: BatchReport,
    so_far: Progress,
    progress: P,
}

impl<P: FnMut(Progress)> Done<P> {
    fn new(progress: P) -> Self {
        Self { report: BatchReport::default(), so_far: Progress::default(), progress }
    }

    fn chunk(&mut self, rows: usize) {
        self.so_far.add_chunk(rows);
        (self.progress)(self.so_far);
    }
}

/// The columns that are written, and their types on this server.
struct Shape {
    names: Vec<Ident>,
    types: Vec<Type>,
}

impl Shape {
    /// Asks the server, by a statement that is not kept: the types of one that was prepared before
    /// stay what they were when the table changes.
    async fn of(on: Statements<'_>, names: Vec<Ident>, sql: &str) -> Result<Self, PgError> {
        let statement = on.prepare_typed(sql, &[]).await?;
        let columns = statement.columns();
        let types: Vec<_> = columns.iter().map(|column| column.type_().clone()).collect();
        for (name, ty) in names.iter().zip(&types) {
            // The pseudo-type has no array.
            if Format::of(ty).is_none() || *ty == Type::UNKNOWN {
                let text = format!(
                    "column `{}` is {}, which a batch cannot write: leave it out of the plan and \
                     set it by a statement of its own, or write to a column of type text",
                    name.as_str(),
                    ty.name()
                );
                return Err(PgError::text(PgErrorKind::Type, text));
            }
        }
        Ok(Self { names, types })
    }

    /// The values of some rows, column by column; errors count rows from `seen`.
    fn columns<'a, 'r, R>(&'a self, rows: &'a [R], seen: u64) -> Vec<Column<'a, 'r, R>>
    where
        R: AsRef<[Value<'r>]>,
    {
        let names = self.names.iter().enumerate();
        names.map(|(at, name)| Column::new(rows, at, name, seen)).collect()
    }
}

fn params<'p, 'r, R>(columns: &'p [Column<'_, 'r, R>]) -> Vec<&'p (dyn ToSql + Sync)>
where
    R: AsRef<[Value<'r>]> + Sync,
{
    columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect()
}

/// The rows in chunks, of 1,000 rows and 1 MiB at most.
fn chunks<'r, I: Rows<'r>>(
    width: usize,
    rows: I,
) -> impl Iterator<Item = Result<Vec<I::Item>, PgError>> + Send {
    // No limit by the number of values: each column is one, whatever the number of rows.
    let chunker = Chunker::new(Dialect::Postgres, width).max_rows(CHUNK);
    chunker.chunks(rows).map(|chunk| chunk.map_err(PgError::from))
}
