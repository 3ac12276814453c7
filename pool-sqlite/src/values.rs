//! Statements with values: [`Queries`] on SQLite, and rows as rows of values.
//!
//! A statement goes to the connection's thread with copies of its values, like any closure given to
//! [`call`](SqliteConnection::call). There it is prepared once and kept.

use std::fmt;
use std::sync::Arc;

use pool_sql::{OwnedValue, Queries, Row, Value, ValueType};
use rusqlite::types::{self, ValueRef};
use rusqlite::{Connection, Params, Statement};

use crate::connection::SqliteConnection;
use crate::error::{SqliteError, SqliteErrorKind};
use crate::transaction::SqliteTransaction;

impl Queries for SqliteConnection {
    type Error = SqliteError;

    async fn query_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, SqliteError> {
        let (sql, values) = (sql.to_owned(), bound(values)?);
        self.call(move |connection| {
            let mut rows = Vec::new();
            query(connection, &sql, rusqlite::params_from_iter(values), &mut rows)?;
            Ok(rows)
        })
        .await
    }

    async fn execute_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, SqliteError> {
        let (sql, values) = (sql.to_owned(), bound(values)?);
        self.call(move |connection| execute(connection, &sql, values)).await
    }
}

impl Queries for SqliteTransaction<'_> {
    type Error = SqliteError;

    async fn query_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, SqliteError> {
        let done = self.connection().await?.query_values(sql, values).await;
        self.within(done)
    }

    async fn execute_values(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, SqliteError> {
        let done = self.connection().await?.execute_values(sql, values).await;
        self.within(done)
    }
}

/// Adds what a query finds.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    rows: &mut Vec<Row>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    // A list in one of the driver's versions that we work with, an iterator in the other.
    #[allow(clippy::useless_conversion)]
    let columns: Arc<[Box<str>]> = statement.column_names().into_iter().map(Box::from).collect();
    let is_empty = is_empty(&statement);
    let mut found = statement.query(values)?;
    if is_empty {
        return Ok(());
    }
    while let Some(row) = found.next()? {
        let value = |at| row.get_ref(at).and_then(|value| own(value, at));
        let values = (0..columns.len()).map(value).collect::<rusqlite::Result<_>>()?;
        rows.push(Row::new(columns.clone(), values));
    }
    Ok(())
}

/// Runs a statement to its end, and says how many rows it touched.
fn execute(connection: &Connection, sql: &str, values: Vec<types::Value>) -> rusqlite::Result<u64> {
    let before = connection.total_changes();
    let mut statement = connection.prepare_cached(sql)?;
    let is_empty = is_empty(&statement);
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    if is_empty {
        return Ok(0);
    }
    while rows.next()?.is_some() {}
    // What SQLite says last is of an earlier statement, if this one touched nothing.
    let touched = connection.total_changes() != before;
    Ok(if touched { connection.changes() } else { 0 })
}

/// Whether the text was blank, or nothing but comments: running that would be an error to SQLite.
fn is_empty(statement: &Statement<'_>) -> bool {
    // A statement has a text; the rest is only quicker to ask.
    statement.column_count() == 0 && statement.readonly() && statement.expanded_sql().is_none()
}

/// Copies of values, as SQLite takes them.
fn bound(values: &[Value<'_>]) -> Result<Vec<types::Value>, SqliteError> {
    let bind = |(at, value)| {
        let copy = stored(value).and_then(|value| value.try_into().ok());
        copy.ok_or_else(|| unfit(format_args!("value {}", at + 1), value))
    };
    values.iter().enumerate().map(bind).collect()
}

/// As one of the types that SQLite has, if it can be stored without a change.
#[inline]
pub(crate) fn stored<'v>(value: &'v Value<'_>) -> Option<ValueRef<'v>> {
    Some(match value {
        Value::Null(_) => ValueRef::Null,
        Value::Bool(yes) => ValueRef::Integer((*yes).into()),
        Value::I64(number) | Value::Timestamp(number) | Value::Time(number) => {
            ValueRef::Integer(*number)
        }
        Value::U64(number) => ValueRef::Integer((*number).try_into().ok()?),
        Value::Date(days) => ValueRef::Integer((*days).into()),
        Value::F64(number) if number.is_nan() => return None, // it would be NULL
        Value::F64(number) => ValueRef::Real(*number),
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => {
            ValueRef::Text(text.as_bytes())
        }
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        Value::Uuid(bytes) => ValueRef::Blob(bytes),
        _ => return None,
    })
}

/// The value at that place cannot be stored.
#[cold]
pub(crate) fn unfit(place: fmt::Arguments<'_>, value: &Value<'_>) -> SqliteError {
    let text = format!(
        "{place}: SQLite stores no {:?} like this one: its integers end at 9223372036854775807, and \
         NaN is none of its numbers",
        value.value_type()
    );
    SqliteError::text(SqliteErrorKind::Type, text)
}

fn own(value: ValueRef<'_>, at: usize) -> rusqlite::Result<OwnedValue> {
    Ok(match value {
        ValueRef::Null => OwnedValue::Null(ValueType::Unknown),
        ValueRef::Integer(number) => OwnedValue::I64(number),
        ValueRef::Real(number) => OwnedValue::F64(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => OwnedValue::Text(text.into()),
            Err(error) => return Err(rusqlite::Error::Utf8Error(at, error)),
        },
        ValueRef::Blob(bytes) => OwnedValue::Bytes(bytes.into()),
    })
}
