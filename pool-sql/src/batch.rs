//! Batches: the trait that every SQL backend's connection implements, and what a write answers.
use std::pin::Pin;

use crate::plan::{Insert, PlanError, Related, SelectByIds, Update};
use crate::value::Value;
use crate::wanted::{Found, RelatedRows};

/// Many rows in few statements, each backend in the way that is fastest and correct for it.
///
/// Writes are all or nothing: one transaction, or a savepoint inside one that is open. Rows are taken
/// from the iterator a chunk at a time, so a scan of any length is never in memory at once.
///
/// Dropping a future before it is done leaves nothing written; the backend rolls back before the
/// connection is used again.
///
/// ```
/// use pool_sql::{Batch, Insert, Value};
///
/// struct File { path: String, size: u64 }
///
/// async fn store<C: Batch>(conn: &mut C, files: &[File]) -> Result<u64, C::Error> {
///     let plan = Insert::into("files")?.columns(["path", "size"])?;
///     let rows = files.iter().map(|f| [Value::from(&f.path), Value::from(f.size)]);
///     let report = conn.insert_many(&plan, rows, |so_far| println!("{}", so_far.rows_done)).await?;
///     Ok(report.rows)
/// }
/// ```
pub trait Batch: Send {
    /// What can go wrong: the driver's errors and a plan's.
    type Error: std::error::Error + From<PlanError> + Send + Sync + 'static;

    /// Inserts every row, or none.
    ///
    /// `progress` is called after each chunk that the database has taken; the transaction may still
    /// fail after that.
    ///
    /// # Errors
    /// The database's, an incomplete plan, or [`PlanError::RowWidth`] for a row that does not fit it.
    fn insert_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Insert,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, Self::Error>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a;

    /// Updates the row of each key, or none if one fails. A key that is not there is no failure;
    /// [`BatchReport::affected`] tells.
    ///
    /// # Errors
    /// As [`Batch::insert_many`].
    fn update_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Update,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, Self::Error>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a;

    /// Loads rows by their ids. No ids, no query.
    ///
    /// # Errors
    /// The database's, an incomplete plan, or an id of a type that the backend cannot look for.
    fn select_by_ids(
        &mut self,
        plan: &SelectByIds,
        ids: &[Value<'_>],
    ) -> impl Future<Output = Result<Found, Self::Error>> + Send;

    /// Loads the children of many parents in one query. No parents, no query.
    ///
    /// # Errors
    /// As [`Batch::select_by_ids`].
    fn load_related(
        &mut self,
        plan: &Related,
        parents: &[Value<'_>],
    ) -> impl Future<Output = Result<RelatedRows, Self::Error>> + Send;
}

/// A write under way.
///
/// It is boxed, once per batch: a future that named the iterator's type could not be spawned where
/// the rows borrow, as the compiler would not see that it is `Send` (rust-lang/rust#100013).
pub type BatchFuture<'a, E> = Pin<Box<dyn Future<Output = Result<BatchReport, E>> + Send + 'a>>;

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that the database has taken.
    pub rows_done: u64,
    /// Chunks that the database has taken.
    pub chunks_done: u64,
}

impl Progress {
    /// Counts one more chunk, of `rows` rows.
    pub fn add_chunk(&mut self, rows: usize) {
        self.rows_done += rows as u64;
        self.chunks_done += 1;
    }
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchReport {
    /// Rows given.
    pub rows: u64,
    /// Rows inserted or matched, as the database counts them. MySQL counts a row that an insert
    /// updated as two, and one that was there unchanged as none.
    pub affected: u64,
    /// Statements sent, without those of the transaction.
    pub statements: u64,
}

impl BatchReport {
    /// Counts one more statement, for `rows` rows, of which the database says `affected`.
    pub fn add_statement(&mut self, rows: usize, affected: u64) {
        self.rows += rows as u64;
        self.affected += affected;
        self.statements += 1;
    }
}
