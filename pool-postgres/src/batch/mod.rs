//! [`Batch`] on PostgreSQL: COPY or arrays in one transaction, ids by `= ANY($1)`.
//!
//! # Which way is taken
//!
//! | what | how |
//! |---|---|
//! | an insert of up to 1,000 rows, or with `ON CONFLICT` | `INSERT .. SELECT * FROM UNNEST($1, ..)`, a statement for each chunk |
//! | an insert of more | the same for the first chunk, and one `COPY .. FROM STDIN (FORMAT binary)` for all others, if it does the same |
//! | an insert that returns rows | `UNNEST` |
//! | an update | `UPDATE .. FROM UNNEST(..)`, a statement for each chunk |
//! | rows by their ids, or by their parents' | one query, the ids as one array |
//!
//! A chunk has at most 1,000 rows, and 1 MiB of values. An `UNNEST` binds one array for each column,
//! so its text is the same for any number of rows and is prepared once; the number of parameters is
//! no limit. A COPY ignores rules and policies, and cannot write to a view: the server is asked
//! whether there is any of that, and then arrays are used. It would write an identity column that is
//! `GENERATED ALWAYS` as well; the first chunk fails of it, as it does of all that the user may not
//! do. The types of the columns are the server's; each batch asks for them, which takes the right to
//! read the columns.
//!
//! # Why nothing is half-written
//!
//! Every write is in a transaction, or in a savepoint where one is open, whoever began it. An error
//! undoes it before the batch returns: a row that does not fit as well as what the server says. A
//! COPY with such a row is ended by CopyFail, so that the connection is in step again. Dropped, a
//! batch sends what undoes it, and nothing else is sent before that is answered. Only if the commit
//! itself was on its way may a dropped batch be there: then all of it.
//!
//! Progress of a COPY is what was sent: the server reads it in its own time, and takes it as a whole.

mod bounds;
#[cfg(test)]
mod live;
mod read;
mod rows;
mod statements;
mod write;

use std::future::Future;
use std::pin::Pin;

use pool_sql::{
    Batch, BatchFuture, Found, Ident, Insert, PlanError, Progress, Related, RelatedRows, Row,
    SelectByIds, Update, Value,
};

use crate::connection::PgConnection;
use crate::error::PgError;
use crate::transaction::PgTransaction;
use write::Target;

/// The rows of an insert under way; boxed as [`BatchFuture`] is.
type Inserting<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, PgError>> + Send + 'a>>;

/// The same for a connection and for a transaction, which is known to be one.
macro_rules! batches {
    ($of:ty, is_nested: $is_nested:expr) => {
        impl Batch for $of {
            type Error = PgError;

            fn insert_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Insert,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, PgError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                let target = Target { on: self.on(), is_nested: $is_nested };
                Box::pin(target.insert(plan, rows.into_iter(), progress))
            }

            fn update_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Update,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, PgError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                let target = Target { on: self.on(), is_nested: $is_nested };
                Box::pin(target.update(plan, rows.into_iter(), progress))
            }

            async fn select_by_ids(
                &mut self,
                plan: &SelectByIds,
                ids: &[Value<'_>],
            ) -> Result<Found, PgError> {
                read::by_ids(self.on(), plan, ids).await
            }

            async fn load_related(
                &mut self,
                plan: &Related,
                parents: &[Value<'_>],
            ) -> Result<RelatedRows, PgError> {
                read::related(self.on(), plan, parents).await
            }
        }

        impl $of {
            /// Inserts every row, or none, and returns `columns` of what was inserted: ids that the
            /// server made, defaults. In the order of the rows; a row that
            /// [`OnConflict::Ignore`](pool_sql::OnConflict::Ignore) skipped is not among them.
            ///
            /// ```no_run
            /// # use pool_postgres::pool_sql::{Insert, Value};
            /// # async fn f(conn: &mut pool_postgres::PgConnection) -> Result<(), pool_postgres::PgError> {
            /// let plan = Insert::into("film")?.columns(["title"])?;
            /// let rows = [[Value::Text("Alien")], [Value::Text("Aliens")]];
            /// for row in conn.insert_returning(&plan, rows, ["id"]).await? {
            ///     println!("{:?}", row.get::<i64>("id"));
            /// }
            /// # Ok(()) }
            /// ```
            ///
            /// # Errors
            /// As [`Batch::insert_many`]; a column of a type that does not read as a value.
            ///
            /// # Cancel safety
            /// As [`Batch`].
            pub fn insert_returning<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Insert,
                rows: I,
                columns: impl IntoIterator<Item: AsRef<str>>,
            ) -> Pin<Box<dyn Future<Output = Result<Vec<Row>, PgError>> + Send + 'a>>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                let target = Target { on: self.on(), is_nested: $is_nested };
                let names = columns.into_iter().map(|name| Ident::parse(name.as_ref()));
                let names: Result<Vec<_>, PlanError> = names.collect();
                let rows = rows.into_iter();
                let inserting: Inserting<'a> = Box::pin(async move {
                    let names = named(names?, plan)?;
                    target.insert_returning(plan, rows, &names).await
                });
                inserting
            }
        }
    };
}

batches!(PgConnection, is_nested: false);
batches!(PgTransaction<'_>, is_nested: true);

/// Without a column nothing would come back.
fn named(names: Vec<Ident>, plan: &Insert) -> Result<Vec<Ident>, PlanError> {
    match names.is_empty() {
        true => Err(PlanError::NoColumns { table: plan.table().display() }),
        false => Ok(names),
    }
}
