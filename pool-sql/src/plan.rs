//! Batch plans: what to insert, update or load, without its values, rendered as SQL for a dialect.
//!
//! A plan is built once and used with any number of rows. Its names are parsed when it is built;
//! `sql` renders it for a dialect and a row count, and refuses a plan that is not complete.
mod error;
mod insert;
mod related;
mod render;
mod select;
mod update;

pub use error::PlanError;
pub use insert::{Insert, OnConflict};
pub use related::{Direction, Related};
pub use select::{SelectByIds, ids_per_statement, json_ids, pad_ids};
pub use update::Update;

use crate::ident::{Ident, TableName};

/// Parses column names; none and the same one twice are errors.
fn parse_columns(
    table: &TableName,
    columns: impl IntoIterator<Item: AsRef<str>>,
) -> Result<Vec<Ident>, PlanError> {
    let mut parsed = Vec::new();
    for column in columns {
        let column = Ident::parse(column.as_ref())?;
        if parsed.contains(&column) {
            return Err(PlanError::DuplicateColumn {
                table: table.display(),
                column: column.as_str().into(),
            });
        }
        parsed.push(column);
    }
    if parsed.is_empty() { Err(no_columns(table)) } else { Ok(parsed) }
}

fn no_columns(table: &TableName) -> PlanError {
    PlanError::NoColumns { table: table.display() }
}

/// The first of `wanted` that is not among `columns` is an error.
fn check_among(table: &TableName, columns: &[Ident], wanted: &[Ident]) -> Result<(), PlanError> {
    match wanted.iter().find(|name| !columns.contains(name)) {
        None => Ok(()),
        Some(name) => Err(PlanError::NotAmongColumns {
            table: table.display(),
            column: name.as_str().into(),
            columns: columns.iter().map(|column| column.as_str().into()).collect(),
        }),
    }
}

/// `columns` with `needed` at the end unless it is there, and where it is.
fn with_column(columns: &[Ident], needed: &Ident) -> (Vec<Ident>, usize) {
    let mut columns = columns.to_vec();
    let index = columns.iter().position(|column| column == needed).unwrap_or_else(|| {
        columns.push(needed.clone());
        columns.len() - 1
    });
    (columns, index)
}
