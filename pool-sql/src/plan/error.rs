//! What can be wrong with a plan or with the rows given to it.
use std::fmt;

use crate::ident::Dialect;
use crate::value::ValueType;

/// A plan that cannot be rendered, or rows that do not fit it. Names tables, columns and positions,
/// never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // of the fields: their names and the messages say it
pub enum PlanError {
    /// A name is empty.
    EmptyName,
    /// A name has a NUL character in it.
    NulInName { name: Box<str> },
    /// A table's name has more than one dot.
    TooManyDots { name: Box<str> },
    /// A name is longer than the database allows.
    NameTooLong {
        name: Box<str>,
        dialect: Dialect,
        length: usize,
        limit: usize,
        unit: &'static str,
    },
    /// No columns were named.
    NoColumns { table: String },
    /// A column is named twice.
    DuplicateColumn { table: String, column: Box<str> },
    /// A column of the conflict clause is not inserted.
    NotAmongColumns { table: String, column: Box<str>, columns: Vec<Box<str>> },
    /// On conflict every column is part of the key, so there is nothing left to update.
    NothingToUpdate { table: String },
    /// The plan does not say which column finds the rows: key, id or parent.
    NoKey { table: String, method: &'static str },
    /// Rows are limited per parent, but not ordered: which ones come would be chance.
    NoOrder { table: String },
    /// A statement for no rows at all.
    NoRows,
    /// One statement would bind more values than the database takes.
    TooManyPlaceholders { dialect: Dialect, placeholders: usize, limit: usize },
    /// A row has more or fewer values than the plan has columns.
    RowWidth { row: u64, wanted: usize, found: usize },
    /// An id cannot be handed to SQLite as JSON. Positions count from 0, also those of rows.
    IdNotInJson { position: usize, found: ValueType },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("a table or column name is empty"),
            Self::NulInName { name } => {
                write!(f, "the name {name:?} has a NUL in it; no database takes one")
            }
            Self::TooManyDots { name } => write!(
                f,
                "the table name `{name}` has more than one dot; write `table` or `schema.table`, \
                 or build it with TableName::new if a part has a dot in it"
            ),
            Self::NameTooLong { name, dialect, length, limit, unit } => {
                write!(
                    f,
                    "the name `{name}` has {length} {unit}; {dialect:?} takes at most {limit}"
                )
            }
            Self::NoColumns { table } => {
                write!(f, "the plan for `{table}` has no columns; name them with columns([..])")
            }
            Self::DuplicateColumn { table, column } => {
                write!(
                    f,
                    "the plan for `{table}` names the column `{column}` twice; once is enough"
                )
            }
            Self::NotAmongColumns { table, column, columns } => write!(
                f,
                "the conflict clause for `{table}` names the column `{column}`, which is not \
                 inserted; the columns are: {}",
                columns.join(", ")
            ),
            Self::NothingToUpdate { table } => write!(
                f,
                "every column inserted into `{table}` is part of the conflict key, so there is \
                 nothing to update; use OnConflict::Ignore"
            ),
            Self::NoKey { table, method } => {
                write!(
                    f,
                    "the plan for `{table}` does not say how rows are found; call {method}(..)"
                )
            }
            Self::NoOrder { table } => write!(
                f,
                "the plan for `{table}` takes some rows of each parent, but no order says which; \
                 call order_by(..)"
            ),
            Self::NoRows => f.write_str("a statement was asked for no rows; ask for at least one"),
            Self::TooManyPlaceholders { dialect, placeholders, limit } => write!(
                f,
                "one statement would bind {placeholders} values, but {dialect:?} takes at most \
                 {limit}; use fewer rows or columns per statement"
            ),
            Self::RowWidth { row, wanted, found } => {
                write!(f, "row {row} has {found} values, but the plan has {wanted} columns")
            }
            Self::IdNotInJson { position, found } => write!(
                f,
                "id {position} is {found:?}: SQLite loads by integer ids up to i64::MAX and by text \
                 without NUL; no other type survives the way through JSON"
            ),
        }
    }
}

impl std::error::Error for PlanError {}
