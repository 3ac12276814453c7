//! Reading: rows by their ids or their parents' ids, some ids for each query.

use mysql_async::{BinaryProtocol, Params};
use pool_sql::plan::{ids_per_statement, pad_ids};
use pool_sql::{Found, PlanError, Related, RelatedRows, Row, SelectByIds, Value, Wanted};

use super::limits::Limits;
use super::plan::DIALECT;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::statements::Statements;
use crate::values::decode::Rows;
use crate::values::encode::sent;

pub(super) async fn by_ids(
    on: Statements<'_>,
    plan: &SelectByIds,
    ids: &[Value<'_>],
) -> Result<Found, MySqlError> {
    let (wanted, at) = (Wanted::new(ids), plan.id_index()?);
    let rows = query(on, wanted.ids(), &[], |count| plan.sql(DIALECT, count)).await?;
    Ok(wanted.found(rows, at))
}

pub(super) async fn related(
    on: Statements<'_>,
    plan: &Related,
    parents: &[Value<'_>],
) -> Result<RelatedRows, MySqlError> {
    let (wanted, at) = (Wanted::new(parents), plan.parent_index()?);
    let page = plan.page();
    let page = page.as_ref().map_or(&[][..], |page| &page[..]);
    let rows = query(on, wanted.ids(), page, |count| plan.sql(DIALECT, count)).await?;
    Ok(wanted.related(rows, at))
}

async fn query(
    on: Statements<'_>,
    ids: &[Value<'_>],
    page: &[i64],
    sql: impl Fn(usize) -> Result<String, PlanError> + Send,
) -> Result<Vec<Row>, MySqlError> {
    let Statements { connection, in_transaction } = on;
    let limits = Limits::of_server(connection.server());
    let mut all = Vec::new();
    let mut position = 0;
    for ids in limits.parts(ids, ids_per_statement(DIALECT)) {
        let (sql, mut values) = (sql(ids.len())?, Vec::new());
        for (at, id) in (position..).zip(pad_ids(ids)) {
            let unfit =
                |misfit| MySqlError::text(MySqlErrorKind::Type, format!("id {at}: {misfit}"));
            values.push(sent(id).map_err(unfit)?);
        }
        position += ids.len();
        values.extend(page.iter().map(|number| mysql_async::Value::Int(*number)));
        let mut rows = Rows::default();
        let on = Statements { connection: &mut *connection, in_transaction };
        let mut call = on.call(Some(&sql)).await?;
        let done = async {
            call.exec_own(&sql, Params::Positional(values)).await?;
            call.read::<BinaryProtocol>(|row| rows.add(row)).await
        }
        .await;
        call.end(done)?;
        all.append(&mut rows.all);
    }
    Ok(all)
}
