//! Which row of a statement failed: MariaDB keeps its number with the error, since 10.7.

use mysql_async::prelude::Queryable;

use crate::connection::MySqlConnection;

/// Without a block the number could only go to a variable of the session.
const QUESTION: &str = "BEGIN NOT ATOMIC DECLARE n BIGINT; \
     GET DIAGNOSTICS CONDITION 1 n = ROW_NUMBER; SELECT n; END";

/// The number, from 1, of the row of which the last statement failed; if the server knows.
pub(super) async fn ask(connection: &mut MySqlConnection) -> Option<u64> {
    if !connection.server().is_mariadb {
        return None;
    }
    // Not a call within the transaction: its check would ask the server something else first.
    let mut call = connection.begin(Some(QUESTION)).await.ok()?;
    let said = call.conn().query_first::<Option<u64>, _>(QUESTION).await;
    let said = call.end(said.map_err(Into::into)).ok()?;
    said.flatten().filter(|number| *number > 0)
}
