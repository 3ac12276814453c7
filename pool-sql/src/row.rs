//! Rows: what a query returned, with typed access by column name.
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::value::{OwnedValue, Value};

/// One row. All rows of a result share their column names.
///
/// ```
/// use pool_sql::{OwnedValue, Row, Value};
/// use std::sync::Arc;
///
/// let columns: Arc<[Box<str>]> = Arc::from(["id".into(), "title".into()]);
/// let row = Row::new(columns, vec![OwnedValue::I64(1), Value::Text("Dune").into_owned()]);
///
/// assert_eq!(row.get::<i64>("id")?, 1);
/// assert_eq!(row.get::<Option<String>>("title")?.as_deref(), Some("Dune"));
/// assert_eq!(
///     row.get::<i64>("title").unwrap_err().to_string(),
///     "column `title` is Text[4], which does not read as i64; the columns are: id, title",
/// );
/// # Ok::<(), pool_sql::RowError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Row {
    columns: Arc<[Box<str>]>,
    values: Vec<OwnedValue>,
}

impl Row {
    /// A row with `values` under `columns`; a value beyond the columns is reachable by position only.
    pub fn new(columns: Arc<[Box<str>]>, values: Vec<OwnedValue>) -> Self {
        Self { columns, values }
    }

    /// The column names, in the order of the values.
    pub fn columns(&self) -> &[Box<str>] {
        &self.columns
    }

    /// The value of the first column with this exact name.
    pub fn value(&self, name: &str) -> Option<Value<'_>> {
        self.at(self.columns.iter().position(|column| **column == *name)?)
    }

    /// The value at a position, from 0.
    pub fn at(&self, index: usize) -> Option<Value<'_>> {
        self.values.get(index).map(OwnedValue::as_ref)
    }

    /// The value of a column as a Rust type.
    ///
    /// # Errors
    /// [`RowError`] if there is no such column, or its value does not read as `T` without loss.
    /// NULL reads as `Option<T>` only.
    pub fn get<'a, T: FromValue<'a>>(&'a self, name: &str) -> Result<T, RowError> {
        let value = self.value(name);
        value.and_then(T::from_value).ok_or_else(|| RowError {
            column: name.to_owned(),
            wanted: T::WANTED,
            found: value.map(|value| format!("{value:?}")),
            columns: self.columns.clone(),
        })
    }

    /// The values, in the order of the columns.
    pub fn into_values(self) -> Vec<OwnedValue> {
        self.values
    }
}

/// Column names with types and lengths; no content.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.columns.iter().zip(&self.values)).finish()
    }
}

/// Why [`Row::get`] has no answer. Names columns and types, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    column: String,
    wanted: &'static str,
    found: Option<String>,
    columns: Arc<[Box<str>]>,
}

impl RowError {
    /// The column that was asked for.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Whether the row has no such column; otherwise the type was wrong.
    pub fn is_missing_column(&self) -> bool {
        self.found.is_none()
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, wanted, found, columns } = self;
        match found {
            Some(found) => {
                write!(f, "column `{column}` is {found}, which does not read as {wanted}")?;
            }
            None => write!(f, "there is no column `{column}` to read as {wanted}")?,
        }
        write!(f, "; the columns are: {}", columns.join(", "))
    }
}

impl std::error::Error for RowError {}

/// A Rust type that a value can be read as, without loss.
///
/// `bool` also reads 0 and 1, and `[u8; 16]` also reads 16 bytes, for databases that store truth
/// values and UUIDs so.
pub trait FromValue<'a>: Sized {
    /// The type's name in errors.
    const WANTED: &'static str;

    /// The value, or `None` if it is NULL, of another type or out of range.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn from_value(value: Value<'a>) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! read {
    ($($target:ty { $($pattern:pat => $convert:expr,)* })*) => {$(
        impl<'a> FromValue<'a> for $target {
            const WANTED: &'static str = stringify!($target);

            fn from_value(value: Value<'a>) -> Option<Self> {
                match value {
                    $($pattern => $convert,)*
                    _ => None,
                }
            }
        }
    )*};
}

macro_rules! read_integer {
    ($($target:ty)*) => {read! {$(
        $target {
            Value::I64(v) => v.try_into().ok(),
            Value::U64(v) => v.try_into().ok(),
        }
    )*}};
}

read_integer! { i16 i32 i64 u16 u32 u64 }

read! {
    bool {
        Value::Bool(v) => Some(v),
        Value::I64(0) | Value::U64(0) => Some(false),
        Value::I64(1) | Value::U64(1) => Some(true),
    }
    f64 {
        Value::F64(v) => Some(v),
        Value::I64(v) => i32::try_from(v).ok().map(Self::from),
    }
    &'a str {
        Value::Text(v) | Value::Decimal(v) | Value::Json(v) => Some(v),
    }
    String {
        Value::Text(v) | Value::Decimal(v) | Value::Json(v) => Some(v.to_owned()),
    }
    &'a [u8] {
        Value::Bytes(v) => Some(v),
    }
    Vec<u8> {
        Value::Bytes(v) => Some(v.to_vec()),
    }
    [u8; 16] {
        Value::Uuid(v) => Some(v),
        Value::Bytes(v) => v.try_into().ok(),
    }
    SystemTime {
        Value::Timestamp(v) => {
            let distance = Duration::from_micros(v.unsigned_abs());
            if v < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ValueType;

    fn row(values: Vec<OwnedValue>) -> Row {
        let names: Vec<Box<str>> =
            ["a", "b", "c", "d"][..values.len()].iter().map(|&n| n.into()).collect();
        Row::new(names.into(), values)
    }

    #[test]
    fn reads_without_loss_or_not_at_all() {
        let row = row(vec![
            OwnedValue::U64(u64::MAX),
            OwnedValue::I64(-1),
            OwnedValue::Null(ValueType::Unknown),
            OwnedValue::I64(1),
        ]);
        assert_eq!(row.get("a"), Ok(u64::MAX));
        assert!(row.get::<i64>("a").is_err());
        assert!(row.get::<u64>("b").is_err());
        assert_eq!(row.get("c"), Ok(None::<String>));
        assert!(row.get::<String>("c").is_err());
        assert_eq!(row.get("d"), Ok(true));
        assert_eq!(row.get("d"), Ok(1.0));
        assert_eq!(row.at(3), Some(Value::I64(1)));
        assert_eq!(row.at(4), None);
    }

    #[test]
    fn times_round_trip() {
        for time in [UNIX_EPOCH - Duration::from_micros(5), UNIX_EPOCH + Duration::from_secs(5)] {
            assert_eq!(row(vec![Value::from(time).into_owned()]).get("a"), Ok(time));
        }
    }

    #[test]
    fn errors_name_the_columns_and_no_value() {
        let row = row(vec![Value::Text("secret").into_owned(), OwnedValue::I64(2)]);
        let missing = row.get::<i64>("x").unwrap_err();
        assert!(missing.is_missing_column());
        assert_eq!(
            missing.to_string(),
            "there is no column `x` to read as i64; the columns are: a, b"
        );
        let wrong = row.get::<Vec<u8>>("a").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "column `a` is Text[6], which does not read as Vec<u8>; the columns are: a, b"
        );
        assert_eq!(format!("{row:?}"), r#"{"a": Text[6], "b": I64}"#);
    }
}
