//! Writing: chunks of rows in one transaction, in bulk or as statements of many rows.

use std::future::Future;
use std::sync::Arc;

use mysql_async::{BinaryProtocol, Params, Value as Sent};
use pool_sql::chunk::Chunks;
use pool_sql::{BatchReport, Progress, Value, split_tail};

use super::bulk::Columns;
use super::joins::joins;
use super::limits::Limits;
use super::plan::{Plan, Texts};
use super::row_number;
use crate::call::Call;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::transaction::MySqlTransaction;
use crate::values::encode::{as_text, too_large};

/// What a batch may be of.
pub(super) trait Rows<'r>: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send {}

impl<'r, I> Rows<'r> for I where I: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send {}

/// Writes the rows within the transaction or savepoint that `begin` begins; without rows, or where
/// one of the first chunk does not fit, it begins none.
pub(super) async fn write<'c, 'r>(
    begin: impl Future<Output = Result<MySqlTransaction<'c>, MySqlError>> + Send,
    plan: Plan<'_>,
    limits: Limits,
    rows: impl Rows<'r>,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<BatchReport, MySqlError> {
    let (chunker, bulk_chunker) = (plan.chunker(limits), plan.bulk_chunker(limits));
    let mut texts = Texts::new(plan);
    texts.of(1)?; // a plan that lacks something sends nothing
    let mut chunks = chunker.chunks(rows);
    let Some(first) = next_chunk(&mut chunks, plan, 0).transpose()? else {
        return Ok(BatchReport::default());
    };

    let mut tx = begin.await?;
    let is_mariadb = tx.connection.server().is_mariadb;
    let (max_rows, report) = (chunker.rows_per_statement(), BatchReport::default());
    let mut writer = Writer { tx: &mut tx, plan, limits, texts, is_mariadb, max_rows, report };
    let mut so_far = Progress::default();
    let done = async {
        let mut next = Some(first);
        while let Some(chunk) = next {
            let count = chunk.rows.len();
            // Only after one in bulk: else what is left of each is split into small statements.
            let was_bulk = writer.chunk(chunk).await?;
            chunks.limit(if was_bulk { bulk_chunker } else { chunker });
            so_far.add_chunk(count);
            progress(so_far);
            next = next_chunk(&mut chunks, plan, writer.report.rows).transpose()?;
        }
        Ok(writer.report)
    }
    .await;
    match done {
        Ok(report) => tx.commit().await.map(|()| report),
        Err(error) => {
            // Why it could not be undone, if so, is the lesser news: then the server has undone it,
            // or the connection is lost.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

/// Some rows as they are sent.
struct Chunk {
    rows: Vec<Vec<Sent>>,
    is_uniform: bool,
}

/// The next chunk, the first row of which has this number. Rows are converted as they come: a list of
/// thousands of them is not written and read twice.
fn next_chunk<'r, I: Rows<'r>>(
    chunks: &mut Chunks<'r, I>,
    plan: Plan<'_>,
    from: u64,
) -> Option<Result<Chunk, MySqlError>> {
    let (mut columns, mut number) = (Columns::new(plan.width()), from);
    let rows = chunks.next_of(|row| {
        let row = plan.row(row.as_ref(), number)?;
        columns.add(&row);
        number += 1;
        Ok(row)
    })?;
    Some(rows.map(|rows| Chunk { rows, is_uniform: columns.are_uniform() }))
}

struct Writer<'t, 'c, 'p> {
    tx: &'t mut MySqlTransaction<'c>,
    plan: Plan<'p>,
    limits: Limits,
    texts: Texts<'p>,
    /// It has the bulk protocol, and takes each value by its own type.
    is_mariadb: bool,
    max_rows: usize,
    report: BatchReport,
}

impl Writer<'_, '_, '_> {
    /// Whether it went in bulk, as an insert.
    async fn chunk(&mut self, chunk: Chunk) -> Result<bool, MySqlError> {
        let (plan, Chunk { mut rows, is_uniform }) = (self.plan, chunk);
        let (is_update, in_bulk) = (plan.key_width() > 0, self.is_mariadb && is_uniform);
        if in_bulk && !is_update && rows.len() > 1 {
            return self.bulk(rows).await.map(|()| true);
        }
        let is_joined = joins(self.tx, plan, &rows).await?;
        // An update in bulk is one for each row all the same, to the server.
        if in_bulk && !is_joined {
            rows.iter_mut().for_each(|row| plan.turn(row));
            return self.bulk(rows).await.map(|()| false);
        }
        for count in split_tail(rows.len(), if is_joined { self.max_rows } else { 1 }) {
            let rest = rows.split_off(count);
            self.statement(std::mem::replace(&mut rows, rest)).await?;
        }
        Ok(false)
    }

    /// All rows by one statement that has all of their values.
    async fn statement(&mut self, mut rows: Vec<Vec<Sent>>) -> Result<(), MySqlError> {
        let count = rows.len();
        let mut values: Vec<_> = match rows.pop() {
            Some(mut row) if count == 1 => {
                self.plan.turn(&mut row);
                row
            }
            last => rows.into_iter().chain(last).flatten().collect(),
        };
        if !self.is_mariadb {
            // MySQL keeps the types of a statement's first values: a decimal that comes later would be
            // rounded to a double. As text each is read as what it says.
            values.iter_mut().for_each(as_text);
        }
        if let Some(bytes) = too_large(&values, self.limits.max_packet) {
            let text = format!(
                "row {} takes {bytes} bytes, but the server takes packets of {} \
                 (max_allowed_packet): raise it there, or store less in one row",
                self.report.rows, self.limits.max_packet
            );
            return Err(MySqlError::text(MySqlErrorKind::TooLarge, text));
        }
        let sql = self.texts.of(count)?;
        let mut call = self.call(&sql).await?;
        let done = async {
            call.exec_own(&sql, Params::Positional(values)).await?;
            call.read::<BinaryProtocol>(drop).await
        }
        .await;
        let ended = call.end(done);
        self.note(count, ended).await
    }

    /// All rows, each column of which has one type, by the statement for one of them.
    async fn bulk(&mut self, rows: Vec<Vec<Sent>>) -> Result<(), MySqlError> {
        let (count, sql) = (rows.len(), self.texts.of(1)?);
        let mut call = self.call(&sql).await?;
        let done = async {
            let prepared = call.prepared_own(&sql).await?;
            call.exec_bulk(&sql, &prepared, rows).await
        }
        .await;
        let ended = call.end(done);
        self.note(count, ended).await
    }

    async fn call(&mut self, sql: &Arc<str>) -> Result<Call<'_>, MySqlError> {
        self.tx.on().call(Some(sql)).await
    }

    /// Counts a statement; or says which of its rows it failed of.
    async fn note(
        &mut self,
        count: usize,
        ended: Result<(), MySqlError>,
    ) -> Result<(), MySqlError> {
        let from = self.report.rows;
        match ended {
            Ok(()) => {
                self.report.add_statement(count, self.tx.connection.link.conn().affected_rows());
                Ok(())
            }
            Err(error) if error.db().is_none() => Err(error),
            Err(error) if count == 1 => Err(error.of_rows(from..from + 1)),
            // What it numbers are the table's rows then, or those of each row's own statement.
            Err(error) if self.plan.key_width() > 0 => {
                Err(error.of_rows(from..from + count as u64))
            }
            Err(error) => {
                let among = from..from + count as u64;
                let found = row_number::ask(self.tx.connection).await;
                let found = found.map(|number| from + number - 1).filter(|at| among.contains(at));
                Err(error.of_rows(found.map_or(among, |at| at..at + 1)))
            }
        }
    }
}
