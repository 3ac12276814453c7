//! [`Batch`] on MySQL and MariaDB: chunks of fixed sizes in one transaction, ids by padded lists.
//!
//! # Which way is taken
//!
//! | what | how |
//! |---|---|
//! | an insert | `INSERT .. VALUES (..), (..)`, a statement for each chunk |
//! | the same, on MariaDB | the statement for one row, with the values of a chunk in bulk, unless a column of them mixes types |
//! | an update | `UPDATE .. JOIN`, the values of a chunk as a table |
//! | the same, where a join would compare or store other than for each row: decimal and floating-point keys, `BIT` columns, columns that mix types, on MySQL fractions of seconds beside NULLs | `UPDATE .. WHERE key = ?`: on MariaDB in bulk, else row by row |
//! | rows by their ids, or by their parents' | `.. IN (?, ..)`, 1,024 ids for each query |
//!
//! A chunk has at most 1,000 rows (an update's 250), 65,535 values, and 1 MiB of them; less where
//! `max_allowed_packet` is small. After one of an insert that went in bulk, the next may have 8,000
//! rows, whatever the number of their values; if it mixes types, it is several statements. What is
//! left over is split into powers of two, and ids are repeated up to one, so that a plan has few
//! statements, each prepared once per connection.
//!
//! `ON DUPLICATE KEY UPDATE` takes the new values as `VALUES(column)`: MySQL would have another
//! word for it since 8.0.20 and warns of this one, but MariaDB knows no other.
//! [`OnConflict::Ignore`](pool_sql::OnConflict::Ignore) sets a column to itself, since `IGNORE` also
//! stores what does not fit as something else.
//!
//! Which values go where: see the crate's documentation.
//!
//! # Why nothing is half-written
//!
//! Every write is in a transaction, or in a savepoint where one is open, whoever began it. An error
//! undoes it before the batch returns, and the connection goes on: a row that does not fit as well
//! as what the server says. [`MySqlError::rows`](crate::MySqlError::rows) says which row it was,
//! counted from 0; or among which it is, where the server does not say. A row that is larger than
//! `max_allowed_packet` is not sent. Dropped, a batch is the connection's last call, like any other:
//! it is closed, and its transaction is rolled back with it, the user's own too. Only if the commit
//! itself was on its way may a dropped batch be there: then all of it. None of this holds for
//! tables without transactions, such as MyISAM's.
//!
//! Outside of a transaction, each query for 1,024 ids sees the data as of its own begin.

mod bulk;
mod joins;
mod limits;
mod plan;
mod read;
mod row_number;
mod write;

use pool_sql::{
    Batch, BatchFuture, Found, Insert, Progress, Related, RelatedRows, SelectByIds, Update, Value,
};

use crate::connection::MySqlConnection;
use crate::error::MySqlError;
use crate::transaction::MySqlTransaction;
pub(crate) use bulk::is_uniform;
use limits::Limits;
use plan::Plan;

/// The same for a connection and for a transaction.
macro_rules! batches {
    ($of:ty) => {
        impl Batch for $of {
            type Error = MySqlError;

            fn insert_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Insert,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, MySqlError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                let limits = Limits::of_server(self.on().connection.server());
                let (plan, rows) = (Plan::Insert(plan), rows.into_iter());
                Box::pin(write::write(self.nested(), plan, limits, rows, progress))
            }

            fn update_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Update,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, MySqlError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                let limits = Limits::of_server(self.on().connection.server());
                let (plan, rows) = (Plan::Update(plan), rows.into_iter());
                Box::pin(write::write(self.nested(), plan, limits, rows, progress))
            }

            async fn select_by_ids(
                &mut self,
                plan: &SelectByIds,
                ids: &[Value<'_>],
            ) -> Result<Found, MySqlError> {
                read::by_ids(self.on(), plan, ids).await
            }

            async fn load_related(
                &mut self,
                plan: &Related,
                parents: &[Value<'_>],
            ) -> Result<RelatedRows, MySqlError> {
                read::related(self.on(), plan, parents).await
            }
        }
    };
}

batches!(MySqlConnection);
batches!(MySqlTransaction<'_>);
