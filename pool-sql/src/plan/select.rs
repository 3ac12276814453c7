//! Loading rows by their ids: one statement for any number of them.
use std::fmt::Write as _;

use super::render::Sql;
use super::{PlanError, no_columns, parse_columns, with_column};
use crate::ident::{Dialect, Ident, TableName};
use crate::value::Value;

/// Selects the rows with given ids.
///
/// ```
/// use pool_sql::{Dialect, SelectByIds};
///
/// let plan = SelectByIds::from("plots")?.id_column("id")?.columns(["title"])?;
/// assert_eq!(
///     plan.sql(Dialect::Postgres, 3)?,
///     r#"SELECT "title", "id" FROM "plots" WHERE "id" = ANY($1)"#,
/// );
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SelectByIds {
    table: TableName,
    id: Option<Ident>,
    columns: Vec<Ident>,
}

impl SelectByIds {
    /// A plan for `table` or `schema.table`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn from(table: impl TryInto<TableName, Error: Into<PlanError>>) -> Result<Self, PlanError> {
        Ok(Self { table: table.try_into().map_err(Into::into)?, id: None, columns: Vec::new() })
    }

    /// The column that holds the ids.
    ///
    /// # Errors
    /// A name that is none.
    pub fn id_column(mut self, column: impl AsRef<str>) -> Result<Self, PlanError> {
        self.id = Some(Ident::parse(column.as_ref())?);
        Ok(self)
    }

    /// The columns to load. The id comes last where it is not among them.
    ///
    /// # Errors
    /// None, one twice, or a name that is none.
    pub fn columns(
        mut self,
        columns: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, PlanError> {
        self.columns = parse_columns(&self.table, columns)?;
        Ok(self)
    }

    /// The statement for `count` ids.
    ///
    /// It binds one value for SQLite, the array of [`json_ids`]; one for PostgreSQL, an array; and
    /// for MySQL the ids of [`pad_ids`].
    ///
    /// # Errors
    /// No id column, no columns, no ids, too many ids for one statement, a name too long for the
    /// dialect.
    pub fn sql(&self, dialect: Dialect, count: usize) -> Result<String, PlanError> {
        let (columns, _) = self.loaded()?;
        if count == 0 {
            return Err(PlanError::NoRows);
        }
        let id = self.id()?;
        let mut sql = Sql::new(dialect);
        sql.text("SELECT ").names(&columns).text(" FROM ").table(&self.table);
        sql.text(" WHERE ").among_ids(id, count);
        sql.finish()
    }

    /// Where the id is in the rows that come back.
    ///
    /// # Errors
    /// No id column, no columns.
    pub fn id_index(&self) -> Result<usize, PlanError> {
        Ok(self.loaded()?.1)
    }

    fn id(&self) -> Result<&Ident, PlanError> {
        let table = || self.table.display();
        self.id.as_ref().ok_or_else(|| PlanError::NoKey { table: table(), method: "id_column" })
    }

    fn loaded(&self) -> Result<(Vec<Ident>, usize), PlanError> {
        if self.columns.is_empty() {
            return Err(no_columns(&self.table));
        }
        Ok(with_column(&self.columns, self.id()?))
    }
}

/// How many ids one statement takes: all of them where they are bound as one array, 1,024 for MySQL.
pub const fn ids_per_statement(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => usize::MAX,
        Dialect::MySql => 1_024,
    }
}

/// The ids for MySQL's `IN (..)`: the last one repeated up to a power of two, so that the number of
/// different statements stays small.
///
/// ```
/// use pool_sql::{Value, plan::pad_ids};
///
/// let ids = [Value::I64(1), Value::I64(2), Value::I64(3)];
/// assert_eq!(pad_ids(&ids).last(), Some(Value::I64(3)));
/// assert_eq!(pad_ids(&ids).count(), 4);
/// ```
pub fn pad_ids<'a>(ids: &[Value<'a>]) -> impl Iterator<Item = Value<'a>> {
    let padding = ids.len().next_power_of_two() - ids.len();
    let last = ids.last().into_iter().flat_map(move |last| std::iter::repeat_n(last, padding));
    ids.iter().chain(last).copied()
}

/// The ids as the JSON array that the SQLite statements bind.
///
/// ```
/// use pool_sql::{Value, plan::json_ids};
///
/// assert_eq!(json_ids(&[Value::I64(7), Value::Text("a\"b")])?, r#"[7,"a\"b"]"#);
/// assert!(json_ids(&[Value::F64(0.5)]).is_err());
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
///
/// # Errors
/// [`PlanError::IdNotInJson`] for what JSON does not carry to SQLite unchanged: bytes (and UUIDs
/// stored as such), floating-point and decimal numbers, integers over `i64::MAX`, text with a NUL,
/// dates and times.
pub fn json_ids(ids: &[Value<'_>]) -> Result<String, PlanError> {
    let mut json = String::from("[");
    for (position, id) in ids.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        match *id {
            Value::Null(_) => json.push_str("null"),
            Value::I64(id) => json.push_str(&id.to_string()),
            Value::U64(id) if i64::try_from(id).is_ok() => json.push_str(&id.to_string()),
            Value::Text(id) if !id.contains('\0') => push_json_text(&mut json, id),
            _ => {
                return Err(PlanError::IdNotInJson { position, found: id.value_type() });
            }
        }
    }
    json.push(']');
    Ok(json)
}

fn push_json_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\x1f' => {
                // Writing to a String does not fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_of_each_dialect() {
        let plan = SelectByIds::from("t").unwrap().id_column("id").unwrap();
        let plan = plan.columns(["id", "c"]).unwrap();
        assert_eq!(plan.id_index(), Ok(0));
        assert_eq!(
            plan.sql(Dialect::Sqlite, 99).unwrap(),
            "SELECT `id`, `c` FROM `t` WHERE `id` IN (SELECT value FROM json_each(?1))"
        );
        assert_eq!(
            plan.sql(Dialect::Postgres, 99).unwrap(),
            r#"SELECT "id", "c" FROM "t" WHERE "id" = ANY($1)"#
        );
        assert_eq!(
            plan.sql(Dialect::MySql, 3).unwrap(),
            "SELECT `id`, `c` FROM `t` WHERE `id` IN (?, ?, ?, ?)"
        );
    }

    #[test]
    fn incomplete_plans_say_what_is_missing() {
        let t = || SelectByIds::from("t").unwrap();
        let no_id = t().columns(["c"]).unwrap().sql(Dialect::MySql, 1).unwrap_err();
        assert!(no_id.to_string().ends_with("call id_column(..)"), "{no_id}");
        assert!(t().id_column("id").unwrap().sql(Dialect::MySql, 1).is_err());
    }

    #[test]
    fn json_is_escaped_and_refuses_what_it_would_change() {
        let ids = [
            Value::I64(i64::MIN),
            Value::U64(7),
            Value::Text("\"\\\n\x01é\u{1F9E8}/"),
            Value::from(None::<i64>),
        ];
        assert_eq!(
            json_ids(&ids).unwrap(),
            "[-9223372036854775808,7,\"\\\"\\\\\\u000a\\u0001é\u{1F9E8}/\",null]"
        );
        assert_eq!(json_ids(&[]).unwrap(), "[]");
        for bad in [Value::U64(1 << 63), Value::Bytes(b"x"), Value::F64(1.0), Value::Text("a\0")] {
            assert_eq!(
                json_ids(&[Value::I64(1), bad]),
                Err(PlanError::IdNotInJson { position: 1, found: bad.value_type() })
            );
        }
    }

    #[test]
    fn padding_repeats_the_last() {
        assert_eq!(pad_ids(&[]).count(), 0);
        for n in 1..40_usize {
            let ids: Vec<_> = (0..n as u32).map(Value::from).collect();
            let padded: Vec<_> = pad_ids(&ids).collect();
            assert_eq!(padded.len(), n.next_power_of_two());
            assert!(padded[n..].iter().all(|id| *id == ids[n - 1]));
        }
    }
}
