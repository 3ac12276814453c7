//! Values: what is bound to a statement and what comes back, without a driver's types.
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A borrowed value: copied freely, bound without an allocation.
///
/// Built with [`From`]; `None` becomes a NULL that keeps its type. `Debug` shows the type and the
/// length, never the content, so that values cannot leak into logs.
///
/// ```
/// use pool_sql::{Value, ValueType};
///
/// assert_eq!(Value::from(7_i32), Value::I64(7));
/// assert_eq!(Value::from(None::<&str>), Value::Null(ValueType::Text));
/// assert_eq!(format!("{:?}", Value::from("a secret")), "Text[8]");
/// ```
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// NULL, with the type that the column would have.
    Null(ValueType),
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer; backends without one store it if it fits, else refuse it.
    U64(u64),
    /// A floating-point number.
    F64(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An exact decimal number, written out: `"-12.50"`.
    Decimal(&'a str),
    /// A UUID in network order.
    Uuid([u8; 16]),
    /// Microseconds since the Unix epoch, UTC.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// A JSON document as text.
    Json(&'a str),
}

/// The type of a [`Value`]; a NULL carries it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueType {
    /// Not known: a NULL from a database that does not type its NULLs.
    Unknown,
    /// [`Value::Bool`]
    Bool,
    /// [`Value::I64`]
    I64,
    /// [`Value::U64`]
    U64,
    /// [`Value::F64`]
    F64,
    /// [`Value::Text`]
    Text,
    /// [`Value::Bytes`]
    Bytes,
    /// [`Value::Decimal`]
    Decimal,
    /// [`Value::Uuid`]
    Uuid,
    /// [`Value::Timestamp`]
    Timestamp,
    /// [`Value::Date`]
    Date,
    /// [`Value::Time`]
    Time,
    /// [`Value::Json`]
    Json,
}

impl<'a> Value<'a> {
    /// The value's type; of a NULL the type it stands for.
    pub fn value_type(self) -> ValueType {
        match self {
            Self::Null(of) => of,
            Self::Bool(_) => ValueType::Bool,
            Self::I64(_) => ValueType::I64,
            Self::U64(_) => ValueType::U64,
            Self::F64(_) => ValueType::F64,
            Self::Text(_) => ValueType::Text,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Decimal(_) => ValueType::Decimal,
            Self::Uuid(_) => ValueType::Uuid,
            Self::Timestamp(_) => ValueType::Timestamp,
            Self::Date(_) => ValueType::Date,
            Self::Time(_) => ValueType::Time,
            Self::Json(_) => ValueType::Json,
        }
    }

    /// Whether it is NULL.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null(_))
    }

    /// About how many bytes it takes on the wire: enough for byte limits, not exact for any database.
    pub fn size(self) -> usize {
        const LENGTH: usize = 4; // in front of everything of variable length
        match self {
            Self::Null(_) | Self::Bool(_) => 1,
            Self::Date(_) => 4,
            Self::I64(_) | Self::U64(_) | Self::F64(_) | Self::Timestamp(_) | Self::Time(_) => 8,
            Self::Uuid(_) => 16,
            Self::Text(text) | Self::Decimal(text) | Self::Json(text) => LENGTH + text.len(),
            Self::Bytes(bytes) => LENGTH + bytes.len(),
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> OwnedValue {
        match self {
            Self::Null(of) => OwnedValue::Null(of),
            Self::Bool(v) => OwnedValue::Bool(v),
            Self::I64(v) => OwnedValue::I64(v),
            Self::U64(v) => OwnedValue::U64(v),
            Self::F64(v) => OwnedValue::F64(v),
            Self::Text(v) => OwnedValue::Text(v.into()),
            Self::Bytes(v) => OwnedValue::Bytes(v.into()),
            Self::Decimal(v) => OwnedValue::Decimal(v.into()),
            Self::Uuid(v) => OwnedValue::Uuid(v),
            Self::Timestamp(v) => OwnedValue::Timestamp(v),
            Self::Date(v) => OwnedValue::Date(v),
            Self::Time(v) => OwnedValue::Time(v),
            Self::Json(v) => OwnedValue::Json(v.into()),
        }
    }
}

/// The type and the length; never the content.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null(of) => write!(f, "Null({of:?})"),
            Self::Text(text) | Self::Decimal(text) | Self::Json(text) => {
                write!(f, "{:?}[{}]", self.value_type(), text.len())
            }
            Self::Bytes(bytes) => write!(f, "Bytes[{}]", bytes.len()),
            _ => write!(f, "{:?}", self.value_type()),
        }
    }
}

/// An owned [`Value`]: what rows hold, and what can be sent to another thread.
///
/// ```
/// use pool_sql::{OwnedValue, Value};
///
/// let owned = Value::Text("a").into_owned();
/// assert_eq!(owned.as_ref(), Value::Text("a"));
/// assert_eq!(OwnedValue::from(Value::from(1_u8)), OwnedValue::I64(1));
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum OwnedValue {
    /// [`Value::Null`]
    Null(ValueType),
    /// [`Value::Bool`]
    Bool(bool),
    /// [`Value::I64`]
    I64(i64),
    /// [`Value::U64`]
    U64(u64),
    /// [`Value::F64`]
    F64(f64),
    /// [`Value::Text`]
    Text(Box<str>),
    /// [`Value::Bytes`]
    Bytes(Box<[u8]>),
    /// [`Value::Decimal`]
    Decimal(Box<str>),
    /// [`Value::Uuid`]
    Uuid([u8; 16]),
    /// [`Value::Timestamp`]
    Timestamp(i64),
    /// [`Value::Date`]
    Date(i32),
    /// [`Value::Time`]
    Time(i64),
    /// [`Value::Json`]
    Json(Box<str>),
}

impl OwnedValue {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> Value<'_> {
        match self {
            Self::Null(of) => Value::Null(*of),
            Self::Bool(v) => Value::Bool(*v),
            Self::I64(v) => Value::I64(*v),
            Self::U64(v) => Value::U64(*v),
            Self::F64(v) => Value::F64(*v),
            Self::Text(v) => Value::Text(v),
            Self::Bytes(v) => Value::Bytes(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Uuid(v) => Value::Uuid(*v),
            Self::Timestamp(v) => Value::Timestamp(*v),
            Self::Date(v) => Value::Date(*v),
            Self::Time(v) => Value::Time(*v),
            Self::Json(v) => Value::Json(v),
        }
    }
}

/// As [`Value`]'s: the type and the length.
impl fmt::Debug for OwnedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<'a> From<&'a OwnedValue> for Value<'a> {
    fn from(value: &'a OwnedValue) -> Self {
        value.as_ref()
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        value.into_owned()
    }
}

/// A Rust type that always becomes the same type of [`Value`], so that its `None` is a typed NULL.
pub trait Typed {
    /// The type of the value.
    const TYPE: ValueType;
}

impl<'a, T: Typed + Into<Self>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null(T::TYPE), Into::into)
    }
}

macro_rules! from {
    ($($source:ty => $kind:ident, $value:ident => $convert:expr;)*) => {$(
        impl<'a> From<$source> for Value<'a> {
            fn from($value: $source) -> Self {
                Self::$kind($convert)
            }
        }
        impl<'a> Typed for $source {
            const TYPE: ValueType = ValueType::$kind;
        }
    )*};
}

from! {
    bool => Bool, v => v;
    i8 => I64, v => v.into();
    i16 => I64, v => v.into();
    i32 => I64, v => v.into();
    i64 => I64, v => v;
    u8 => I64, v => v.into();
    u16 => I64, v => v.into();
    u32 => I64, v => v.into();
    u64 => U64, v => v;
    f32 => F64, v => v.into();
    f64 => F64, v => v;
    &'a str => Text, v => v;
    &'a String => Text, v => v;
    &'a [u8] => Bytes, v => v;
    &'a Vec<u8> => Bytes, v => v;
    SystemTime => Timestamp, v => micros_since_epoch(v);
}

/// Saturates beyond about 292,000 years on either side; rounds towards the epoch.
fn micros_since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn debug_shows_no_content() {
        let long = "secret".repeat(1000);
        let shown = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            Value::from(&long),
            Value::Json("{\"token\":1}"),
            Value::I64(4711),
            Value::Uuid([7; 16]).into_owned(),
            Value::Bytes(b"secret").into_owned(),
        );
        assert_eq!(shown, "Text[6000] Json[11] I64 Uuid Bytes[6]");
    }

    #[test]
    fn none_keeps_its_type() {
        assert_eq!(Value::from(None::<u64>), Value::Null(ValueType::U64));
        assert_eq!(Value::from(None::<SystemTime>).value_type(), ValueType::Timestamp);
        assert_eq!(Value::from(Some(3_u16)), Value::I64(3));
    }

    #[test]
    fn times_saturate_and_go_before_the_epoch() {
        let second = Duration::from_secs(1);
        assert_eq!(Value::from(UNIX_EPOCH + second), Value::Timestamp(1_000_000));
        assert_eq!(Value::from(UNIX_EPOCH - second), Value::Timestamp(-1_000_000));
        if let Some(far) = UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64 / 2)) {
            assert_eq!(Value::from(far), Value::Timestamp(i64::MAX));
        }
    }

    #[test]
    fn owned_and_back_is_the_same() {
        let all = [
            Value::Null(ValueType::Date),
            Value::Bool(true),
            Value::I64(-1),
            Value::U64(u64::MAX),
            Value::F64(0.5),
            Value::Text("t"),
            Value::Bytes(b"b"),
            Value::Decimal("1.50"),
            Value::Uuid([1; 16]),
            Value::Timestamp(1),
            Value::Date(2),
            Value::Time(3),
            Value::Json("{}"),
        ];
        for value in all {
            assert!(value.into_owned().as_ref() == value, "{value:?}");
            assert!(value.size() > 0);
        }
    }
}
