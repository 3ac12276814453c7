//! Statements with values: [`Queries`] on PostgreSQL, and the server's formats for values.
//!
//! Directly, a statement is prepared (and kept), so the server has said which types its parameters
//! have, and each value is encoded as that or refused. Behind a pooler nothing is prepared: the text
//! goes along with its values, which are written as text where only the server knows the type.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod format;
mod numeric;
mod worded;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use pool_sql::{Queries, Row, Value, ValueType};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::connection::PgConnection;
use crate::error::{PgError, PgErrorKind};
use crate::transaction::PgTransaction;
pub(crate) use worded::worded;

macro_rules! queries {
    ($of:ty) => {
        impl Queries for $of {
            type Error = PgError;

            async fn query_values(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<Vec<Row>, PgError> {
                self.on().query_values(sql, values).await
            }

            async fn execute_values(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<u64, PgError> {
                self.on().execute_values(sql, values).await
            }
        }
    };
}

queries!(PgConnection);
queries!(PgTransaction<'_>);

/// A value as a parameter of whatever type the server says.
pub(crate) struct Param<'v> {
    value: Value<'v>,
    /// Which one it is, from 1.
    number: usize,
}

impl<'v> Param<'v> {
    pub(crate) fn all(values: &[Value<'v>]) -> Vec<Self> {
        (1..).zip(values).map(|(number, value)| Self { value: *value, number }).collect()
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        encode::put(self.value, ty, out).map_err(|misfit| {
            let number = self.number;
            let cast = match (ty, cast_of(self.value.value_type())) {
                (&Type::TEXT, Some(cast)) => format!(
                    "; where the server cannot tell a parameter's type it takes it for text, and a \
                     cast says what it is: ${number}::{cast}"
                ),
                _ => String::new(),
            };
            PgError::text(PgErrorKind::Type, format!("${number}: {misfit}{cast}")).into()
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The driver logs parameters; not these.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The type that a value is meant as; text needs none.
fn cast_of(of: ValueType) -> Option<&'static str> {
    Some(match of {
        ValueType::Bool => "bool",
        ValueType::I64 => "int8",
        ValueType::U64 | ValueType::Decimal => "numeric",
        ValueType::F64 => "float8",
        ValueType::Bytes => "bytea",
        ValueType::Uuid => "uuid",
        ValueType::Timestamp => "timestamptz",
        ValueType::Date => "date",
        ValueType::Time => "time",
        ValueType::Json => "jsonb",
        _ => return None,
    })
}

/// Adds the driver's rows.
pub(crate) fn append(found: &[tokio_postgres::Row], rows: &mut Vec<Row>) -> Result<(), PgError> {
    let Some(first) = found.first() else { return Ok(()) };
    let columns: Arc<[Box<str>]> =
        first.columns().iter().map(|column| column.name().into()).collect();
    rows.reserve(found.len());
    for row in found {
        rows.push(decode::row(row, &columns)?);
    }
    Ok(())
}

/// What a parameter failed with to be written, without the driver's words around it.
pub(crate) fn plain(error: PgError) -> PgError {
    let driver = error.source();
    let ours = driver.and_then(|driver| driver.source()?.downcast_ref::<PgError>());
    ours.cloned().unwrap_or(error)
}
