//! Reading: rows by their ids or their parents' ids, in one query.

use pool_sql::{Dialect, Found, Related, RelatedRows, SelectByIds, Value, Wanted};
use tokio_postgres::types::ToSql;

use super::bounds::Bounds;
use super::rows::Ids;
use crate::common::Profile;
use crate::error::PgError;
use crate::statements::Statements;
use crate::values::{append, plain};
use crate::wire::Transaction;

const DIALECT: Dialect = Dialect::Postgres;

pub(super) async fn by_ids(
    on: Statements<'_>,
    plan: &SelectByIds,
    ids: &[Value<'_>],
) -> Result<Found, PgError> {
    let wanted = Wanted::new(ids);
    let at = plan.id_index()?;
    if ids.is_empty() {
        return Ok(wanted.found(Vec::new(), at));
    }
    let sql = plan.sql(DIALECT, wanted.ids().len())?;
    let rows = query(on, &sql, &[&Ids(wanted.ids())]).await?;
    Ok(wanted.found(rows, at))
}

pub(super) async fn related(
    on: Statements<'_>,
    plan: &Related,
    parents: &[Value<'_>],
) -> Result<RelatedRows, PgError> {
    let wanted = Wanted::new(parents);
    let at = plan.parent_index()?;
    if parents.is_empty() {
        return Ok(wanted.related(Vec::new(), at));
    }
    let sql = plan.sql(DIALECT, wanted.ids().len())?;
    let ids = Ids(wanted.ids());
    let rows = match plan.page() {
        Some([above, up_to]) => query(on, &sql, &[&ids, &above, &up_to]).await?,
        None => query(on, &sql, &[&ids]).await?,
    };
    Ok(wanted.related(rows, at))
}

async fn query(
    on: Statements<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<pool_sql::Row>, PgError> {
    let found = match on.session.common.profile {
        Profile::Direct => on.query(sql, params).await,
        Profile::Pooler => pooled(on, sql, params).await,
    };
    let mut rows = Vec::new();
    append(&found.map_err(plain)?, &mut rows)?;
    Ok(rows)
}

/// Behind a pooler: prepared, since the type of the ids is the server's to say, and so in a
/// transaction.
async fn pooled(
    on: Statements<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<tokio_postgres::Row>, PgError> {
    let prepared = async {
        let statement = on.prepare_typed(sql, &[]).await?;
        on.query(&statement, params).await
    };
    on.session.silence().await; // of a dropped transaction the wire still tells
    if on.session.wire.transaction() == Transaction::Open {
        return prepared.await;
    }
    let bounds = Bounds::begin(on, false).await?;
    let done = prepared.await;
    bounds.end(done).await
}
