//! The driver's rows as rows of values.

use std::error::Error;
use std::sync::Arc;

use pool_sql::{OwnedValue, ValueType};
use tokio_postgres::types::{FromSql, Type};

use super::format::{EPOCH_DAYS, EPOCH_MICROS, Format};
use super::numeric;
use crate::error::{PgError, PgErrorKind};

/// A row of the driver with its values read; `columns` are its column names, shared by all rows of
/// the result.
///
/// Integers and `oid` are `I64`, `numeric` is the text that the server would print, enums are text,
/// and a NULL has the type of its column ([`ValueType::Unknown`] if values have no such type). The
/// server's `infinity` and `-infinity` are the last and the first [`OwnedValue::Timestamp`] or
/// [`OwnedValue::Date`], which are written as such too: nothing changes on the way.
///
/// # Errors
/// [`PgErrorKind::Type`] for a column of a type that values do not have (arrays, intervals and so
/// on), and for a finite time beyond the microseconds of an `i64`.
pub(crate) fn row(
    row: &tokio_postgres::Row,
    columns: &Arc<[Box<str>]>,
) -> Result<pool_sql::Row, PgError> {
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        let raw: Option<Raw<'_>> = row.try_get(at)?;
        let read = value(raw.map(|raw| raw.0), column.type_());
        values.push(read.map_err(|fault| fault.of(column.name(), column.type_()))?);
    }
    Ok(pool_sql::Row::new(columns.clone(), values))
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// Values have no such type.
    Type,
    /// A time that no value can tell.
    Range,
    /// The bytes are not what the type is written as.
    Form,
}

impl Unread {
    fn of(self, column: &str, ty: &Type) -> PgError {
        let name = ty.name();
        let text = match self {
            Self::Type => format!(
                "column `{column}` is {name}, which does not read as a value; cast it to text in \
                 the SQL (::text)"
            ),
            Self::Range => format!(
                "column `{column}` has a {name} that no value can tell; cast it to text in the SQL \
                 (::text)"
            ),
            Self::Form => format!("column `{column}` is {name}, but is not written as one"),
        };
        PgError::text(PgErrorKind::Type, text)
    }
}

fn value(raw: Option<&[u8]>, ty: &Type) -> Result<OwnedValue, Unread> {
    let format = Format::of(ty);
    let Some(raw) = raw else {
        return Ok(OwnedValue::Null(format.map_or(ValueType::Unknown, Format::value_type)));
    };
    Ok(match format.ok_or(Unread::Type)? {
        Format::Bool => OwnedValue::Bool(exactly::<1>(raw)? != [0]),
        Format::Int2 => OwnedValue::I64(i16::from_be_bytes(exactly(raw)?).into()),
        Format::Int4 => OwnedValue::I64(i32::from_be_bytes(exactly(raw)?).into()),
        Format::Int8 => OwnedValue::I64(i64::from_be_bytes(exactly(raw)?)),
        Format::Oid => OwnedValue::I64(u32::from_be_bytes(exactly(raw)?).into()),
        Format::Float4 => OwnedValue::F64(f32::from_be_bytes(exactly(raw)?).into()),
        Format::Float8 => OwnedValue::F64(f64::from_be_bytes(exactly(raw)?)),
        Format::Numeric => OwnedValue::Decimal(numeric::read(raw).ok_or(Unread::Form)?),
        Format::Text => OwnedValue::Text(text(raw)?),
        Format::Bytea => OwnedValue::Bytes(raw.into()),
        Format::Uuid => OwnedValue::Uuid(exactly(raw)?),
        Format::Timestamp => OwnedValue::Timestamp(timestamp(i64::from_be_bytes(exactly(raw)?))?),
        Format::Date => OwnedValue::Date(date(i32::from_be_bytes(exactly(raw)?))?),
        Format::Time => OwnedValue::Time(i64::from_be_bytes(exactly(raw)?)),
        Format::Json => OwnedValue::Json(text(raw)?),
        Format::Jsonb => match raw {
            [1, json @ ..] => OwnedValue::Json(text(json)?), // the only version there is
            _ => return Err(Unread::Form),
        },
    })
}

fn exactly<const N: usize>(raw: &[u8]) -> Result<[u8; N], Unread> {
    raw.try_into().map_err(|_| Unread::Form)
}

fn text(raw: &[u8]) -> Result<Box<str>, Unread> {
    std::str::from_utf8(raw).map(Box::from).map_err(|_| Unread::Form)
}

fn timestamp(since: i64) -> Result<i64, Unread> {
    match since {
        i64::MIN | i64::MAX => Ok(since),
        // The last microsecond of all would read as `infinity`.
        _ => {
            let micros = since.checked_add(EPOCH_MICROS).filter(|micros| *micros != i64::MAX);
            micros.ok_or(Unread::Range)
        }
    }
}

fn date(since: i32) -> Result<i32, Unread> {
    match since {
        i32::MIN | i32::MAX => Ok(since),
        _ => since.checked_add(EPOCH_DAYS).ok_or(Unread::Range),
    }
}

/// The bytes of a value of any type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_has_the_type_of_its_column() {
        let null = |ty| value(None, &ty).unwrap().as_ref().value_type();
        assert_eq!(null(Type::NUMERIC), ValueType::Decimal);
        assert_eq!(null(Type::TIMESTAMP), ValueType::Timestamp);
        assert_eq!(null(Type::INT4_ARRAY), ValueType::Unknown);
    }

    #[test]
    fn the_ends_of_time_are_infinite_and_what_is_near_is_refused() {
        let at = |since: i64| value(Some(&since.to_be_bytes()), &Type::TIMESTAMPTZ);
        assert_eq!(at(0), Ok(OwnedValue::Timestamp(946_684_800_000_000)));
        assert_eq!(at(i64::MAX), Ok(OwnedValue::Timestamp(i64::MAX)));
        assert_eq!(at(i64::MIN), Ok(OwnedValue::Timestamp(i64::MIN)));
        assert_eq!(at(i64::MAX - EPOCH_MICROS), Err(Unread::Range));
        assert_eq!(at(i64::MAX - 1), Err(Unread::Range));
        let day = |since: i32| value(Some(&since.to_be_bytes()), &Type::DATE);
        assert_eq!(day(-10_957), Ok(OwnedValue::Date(0)));
        assert_eq!(day(i32::MAX), Ok(OwnedValue::Date(i32::MAX)));
    }

    #[test]
    fn bytes_that_are_not_of_the_type_are_refused() {
        for (raw, ty) in [
            (&[1, 2, 3][..], Type::INT4),
            (&[], Type::BOOL),
            (&[0xFF], Type::TEXT),
            (b"\x02{}", Type::JSONB),
            (&[], Type::JSONB),
            (&[0; 15], Type::UUID),
            (&[0; 3], Type::NUMERIC),
        ] {
            assert_eq!(value(Some(raw), &ty), Err(Unread::Form), "{ty}");
        }
    }

    #[test]
    fn an_error_names_column_and_type_and_a_way_out() {
        let error = value(Some(&[]), &Type::INTERVAL).unwrap_err().of("age", &Type::INTERVAL);
        assert_eq!(error.kind(), PgErrorKind::Type);
        assert_eq!(
            error.to_string(),
            "column `age` is interval, which does not read as a value; cast it to text in the SQL \
             (::text)"
        );
    }
}
