//! [`Batch`] on whichever database it is, by its own way.

use pool_sql::{
    Batch, BatchFuture, Found, Insert, Progress, Related, RelatedRows, SelectByIds, Update, Value,
};

use crate::connection::{AnyConnection, Connection};
use crate::error::AnyError;
use crate::transaction::{AnyTransaction, Transaction};

macro_rules! batches {
    ($of:ty, $one:ident) => {
        impl Batch for $of {
            type Error = AnyError;

            fn insert_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Insert,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, AnyError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                each!($one, &mut self.0, on => {
                    let work = on.insert_many(plan, rows, progress);
                    Box::pin(async move { Ok(work.await?) })
                })
            }

            fn update_many<'a, 'r: 'a, I, R>(
                &'a mut self,
                plan: &'a Update,
                rows: I,
                progress: impl FnMut(Progress) + Send + 'a,
            ) -> BatchFuture<'a, AnyError>
            where
                I: IntoIterator<Item = R>,
                I::IntoIter: Send + 'a,
                R: AsRef<[Value<'r>]> + Send + Sync + 'a,
            {
                each!($one, &mut self.0, on => {
                    let work = on.update_many(plan, rows, progress);
                    Box::pin(async move { Ok(work.await?) })
                })
            }

            async fn select_by_ids(
                &mut self,
                plan: &SelectByIds,
                ids: &[Value<'_>],
            ) -> Result<Found, AnyError> {
                each!($one, &mut self.0, on => Ok(on.select_by_ids(plan, ids).await?))
            }

            async fn load_related(
                &mut self,
                plan: &Related,
                parents: &[Value<'_>],
            ) -> Result<RelatedRows, AnyError> {
                each!($one, &mut self.0, on => Ok(on.load_related(plan, parents).await?))
            }
        }
    };
}

batches!(AnyConnection, Connection);
batches!(AnyTransaction<'_>, Transaction);
