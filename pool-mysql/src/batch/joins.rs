//! When an update of many rows may be a join: where it does the same as one for each row.
//!
//! The values are joined as a table, a column of which has one type for all rows: what the table's
//! column and the values have in common. Where that is not as good as both, other rows may be found
//! (two numbers compared as floating-point ones) or other values stored (a `BIT` as text). A
//! constant is converted to the column's type instead.
//!
//! MySQL, since it gives each parameter a type (8.0.22), takes a moment that is joined with a NULL
//! for one of whole seconds, and cuts off the rest without a word.

use mysql_async::Value as Sent;
use mysql_async::consts::ColumnType;

use super::bulk::Types;
use super::plan::{DIALECT, Plan};
use crate::error::MySqlError;
use crate::transaction::MySqlTransaction;

/// Whether these rows may be written by one statement.
pub(super) async fn joins(
    tx: &mut MySqlTransaction<'_>,
    plan: Plan<'_>,
    rows: &[Vec<Sent>],
) -> Result<bool, MySqlError> {
    let Plan::Update(update) = plan else { return Ok(true) };
    if rows.len() == 1 {
        return Ok(true);
    }
    let names = update.names().map(|name| name.quoted(DIALECT));
    let names = names.collect::<Result<Vec<_>, _>>()?.join(", ");
    let sql = format!("SELECT {names} FROM {}", update.table_name().quoted(DIALECT)?);
    let mut call = tx.on().call(Some(&sql)).await?;
    let prepared = call.prepared_own(&sql).await.map(|prepared| prepared.statement.columns());
    let columns = call.end(prepared)?;
    let cuts = !tx.connection.server().is_mariadb;
    Ok(columns.iter().enumerate().all(|(at, column)| {
        let of = column.column_type();
        let is_key = at < plan.key_width();
        let mut values = rows.iter().map(|row| &row[at]);
        let mut types = Types::default();
        values.clone().for_each(|value| types.add(value));
        types.is_one_kind()
            && !(cuts && has_fractions_beside_nulls(values.clone()))
            && values.all(|value| fits(value, of, is_key))
    }))
}

/// Whether a column that the table's and such values have in common is as good as both.
fn fits(value: &Sent, column: ColumnType, is_key: bool) -> bool {
    use ColumnType::*;
    // The client library counts BIT among the numbers.
    let is_number = column.is_numeric_type() && column != MYSQL_TYPE_BIT;
    let is_text = column.is_character_type()
        || matches!(
            column,
            MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB | MYSQL_TYPE_BLOB
        );
    match value {
        Sent::NULL => true,
        Sent::Int(_) | Sent::UInt(_) => {
            let is_float = matches!(column, MYSQL_TYPE_FLOAT | MYSQL_TYPE_DOUBLE);
            (is_number || column == MYSQL_TYPE_YEAR) && !(is_key && is_float)
        }
        Sent::Double(_) | Sent::Float(_) => is_number && !is_key,
        Sent::Bytes(_) => is_text || !is_key && (is_number || column == MYSQL_TYPE_JSON),
        Sent::Date(..) => {
            matches!(column, MYSQL_TYPE_DATE | MYSQL_TYPE_DATETIME | MYSQL_TYPE_TIMESTAMP)
        }
        Sent::Time(..) => column == MYSQL_TYPE_TIME,
    }
}

fn has_fractions_beside_nulls<'v>(values: impl Iterator<Item = &'v Sent> + Clone) -> bool {
    let is_fraction = |value: &Sent| matches!(value, Sent::Date(.., micros) if *micros > 0);
    values.clone().any(is_fraction) && values.clone().any(|value| *value == Sent::NULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_seconds_are_seen_beside_nulls() {
        let (whole, part) = (Sent::Date(1, 1, 1, 0, 0, 1, 0), Sent::Date(1, 1, 1, 0, 0, 1, 1));
        let has = |values: &[Sent]| has_fractions_beside_nulls(values.iter());
        assert!(has(&[Sent::NULL, whole.clone(), part.clone()]));
        assert!(!has(&[Sent::NULL, whole.clone()]) && !has(&[whole, part]) && !has(&[]));
    }

    #[test]
    fn what_is_compared_exactly_may_be_joined() {
        let (text, double) = (Sent::Bytes(b"1".to_vec()), Sent::Double(1.0));
        let (decimal, bit) = (ColumnType::MYSQL_TYPE_NEWDECIMAL, ColumnType::MYSQL_TYPE_BIT);
        assert!(fits(&Sent::Int(1), decimal, true) && fits(&Sent::NULL, bit, true));
        assert!(fits(&text, decimal, false) && !fits(&text, decimal, true));
        assert!(fits(&double, decimal, false) && !fits(&double, decimal, true));
        assert!(fits(&text, ColumnType::MYSQL_TYPE_VAR_STRING, true));
        for value in [text, double, Sent::Int(1)] {
            assert!(!fits(&value, bit, false));
        }
    }
}
