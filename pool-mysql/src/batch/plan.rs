//! [`Plan`]: an insert or an update, as statements for one row or for many.

use std::sync::Arc;

use mysql_async::Value as Sent;
use pool_sql::{Chunker, Dialect, Ident, Insert, PlanError, Update, Value};

use super::bulk::BULK_ROWS;
use super::limits::Limits;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::values::encode::{Misfit, sent};

pub(super) const DIALECT: Dialect = Dialect::MySql;

/// What is written.
#[derive(Clone, Copy)]
pub(super) enum Plan<'p> {
    Insert(&'p Insert),
    Update(&'p Update),
}

impl Plan<'_> {
    /// Groups rows into what one statement takes.
    pub(super) fn chunker(self, limits: Limits) -> Chunker {
        let chunker = match self {
            Self::Insert(plan) => plan.chunker(DIALECT),
            Self::Update(plan) => plan.chunker(DIALECT),
        };
        limits.of(chunker, self.width())
    }

    /// Groups rows of an insert into what goes in bulk.
    pub(super) fn bulk_chunker(self, limits: Limits) -> Chunker {
        limits.of(self.chunker(limits).max_rows(BULK_ROWS), self.width())
    }

    /// The statement for so many rows.
    pub(super) fn sql(self, rows: usize) -> Result<String, PlanError> {
        match self {
            Self::Insert(plan) => plan.sql(DIALECT, rows),
            Self::Update(plan) if rows == 1 => update_one(plan),
            Self::Update(plan) => plan.sql(DIALECT, rows),
        }
    }

    /// How many values a row has.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Insert(plan) => plan.column_names().len(),
            Self::Update(plan) => plan.names().count(),
        }
    }

    /// How many of a row's values find the row.
    pub(super) fn key_width(self) -> usize {
        match self {
            Self::Insert(_) => 0,
            Self::Update(plan) => plan.key_names().len(),
        }
    }

    /// A row as it is sent. `number` is its number, from 0.
    pub(super) fn row(self, values: &[Value<'_>], number: u64) -> Result<Vec<Sent>, MySqlError> {
        let mut row = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            match sent(*value) {
                Ok(value) => row.push(value),
                Err(misfit) => return Err(self.unfit(number, at, misfit)),
            }
        }
        Ok(row)
    }

    #[cold]
    fn unfit(self, row: u64, at: usize, misfit: Misfit) -> MySqlError {
        let name = match self {
            Self::Insert(plan) => plan.column_names().get(at),
            Self::Update(plan) => plan.names().nth(at),
        };
        let name = name.map_or("?", Ident::as_str);
        let text = format!("row {row}, column `{name}`: {misfit}");
        MySqlError::text(MySqlErrorKind::Type, text)
    }

    /// The values in the order of the statement for one row, from that of a row.
    pub(super) fn turn(self, row: &mut [Sent]) {
        row.rotate_left(self.key_width().min(row.len()));
    }
}

/// Of one row; a column is compared with its value as everywhere, so by an index.
fn update_one(plan: &Update) -> Result<String, PlanError> {
    plan.sql(DIALECT, 1)?; // says what the plan lacks
    let list = |names: &[Ident], separator: &str| -> Result<String, PlanError> {
        let names = names.iter().map(|name| Ok(format!("{} = ?", name.quoted(DIALECT)?)));
        Ok(names.collect::<Result<Vec<_>, PlanError>>()?.join(separator))
    };
    let table = plan.table_name().quoted(DIALECT)?;
    let (set, key) = (list(plan.column_names(), ", ")?, list(plan.key_names(), " AND ")?);
    Ok(format!("UPDATE {table} SET {set} WHERE {key}"))
}

/// The statements' texts by their number of rows: there are few, and they are long.
pub(super) struct Texts<'p> {
    plan: Plan<'p>,
    made: Vec<(usize, Arc<str>)>,
}

impl<'p> Texts<'p> {
    pub(super) fn new(plan: Plan<'p>) -> Self {
        Self { plan, made: Vec::new() }
    }

    pub(super) fn of(&mut self, rows: usize) -> Result<Arc<str>, PlanError> {
        if let Some((_, text)) = self.made.iter().find(|(other, _)| *other == rows) {
            return Ok(text.clone());
        }
        let text: Arc<str> = self.plan.sql(rows)?.into();
        self.made.push((rows, text.clone()));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_of_one_row_takes_the_columns_first() {
        let plan = Update::table("a.t`").unwrap().key("k").unwrap().key("l").unwrap();
        assert!(matches!(Plan::Update(&plan).sql(1), Err(PlanError::NoColumns { .. })));
        let plan = plan.columns(["c", "d?"]).unwrap();
        let plan = Plan::Update(&plan);
        assert_eq!(
            plan.sql(1).unwrap(),
            "UPDATE `a`.`t``` SET `c` = ?, `d?` = ? WHERE `k` = ? AND `l` = ?"
        );
        let mut row = plan.row(&[1, 2, 3, 4].map(Value::I64), 0).unwrap();
        plan.turn(&mut row);
        assert_eq!(row, [3, 4, 1, 2].map(Sent::Int));
        let error = plan.row(&[Value::I64(1), Value::F64(f64::NAN)], 7).unwrap_err();
        assert!(error.to_string().starts_with("row 7, column `l`: an F64"), "{error}");
    }
}
