//! Statements with values: the trait that every SQL backend's connection and transaction implements.
use crate::row::Row;
use crate::value::Value;

/// One statement with [`Value`]s, in the database's own placeholder style: `?1` in SQLite, `$1` in
/// PostgreSQL, `?` in MySQL. [`placeholders`](crate::placeholders) makes them from one style for all.
///
/// * The text is one statement; a `;` may follow it, another statement may not. A statement of which
///   nothing comes back has no rows.
/// * A statement may be any that the database prepares. `INSERT .. RETURNING` and its like give their
///   rows to [`query_values`](Self::query_values).
/// * A value goes where the database takes its type without loss, else it is an error; the backends
///   say which go where. Nothing is guessed from a text.
///
/// # Cancel safety
/// A dropped future gives its statement up, as any other of the backend's: it is ended before
/// anything else runs on the connection, or the connection is not used again. A transaction in which
/// that happens may be over.
///
/// ```
/// use pool_sql::{Queries, Value};
///
/// async fn rename<C: Queries>(conn: &mut C, id: i64, title: &str) -> Result<bool, C::Error> {
///     let sql = "UPDATE film SET title = $2 WHERE id = $1"; // as PostgreSQL has it
///     let renamed = conn.execute_values(sql, &[Value::from(id), Value::from(title)]).await?;
///     Ok(renamed == 1)
/// }
/// ```
pub trait Queries: Send {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// The database's; another number of values than placeholders; a value that does not go where its
    /// placeholder stands; a column of a type that values do not have.
    fn query_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, Self::Error>> + Send;

    /// Runs a statement and returns how many rows it inserted, updated or deleted, as the database
    /// counts them: MySQL does not count a row that an update left as it was. Rows that it returns
    /// are dropped; what is counted of a `SELECT` is the database's affair.
    ///
    /// # Errors
    /// As [`query_values`](Self::query_values).
    fn execute_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}
