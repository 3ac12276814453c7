//! When rows can go by MariaDB's bulk protocol: one statement for one row, and the values of many.
//!
//! The driver writes the type of each column once, into the first packet of a call, and reads off
//! it from the first rows that are not NULL: values of another type would be read by the server as
//! something else. So each chunk is a call of its own, of one packet, and goes in bulk only if each
//! column has one type throughout.
//!
//! Every MariaDB since 10.2 knows it. With something in between that does not, the driver sends each row
//! for itself.

use mysql_async::Value as Sent;
use pool_sql::Value;

/// So many rows of an insert go in bulk at once. With 250 a batch takes a quarter longer, as client and
/// server wait for each other, with 1,000 some hundredths; but to make a packet of 8,000 takes some
/// milliseconds, in which the thread does nothing else.
pub(super) const BULK_ROWS: usize = 8_000;

/// Whether each column of the rows has one type, NULLs aside.
pub(crate) fn is_uniform<V: Typed>(rows: &[impl AsRef<[V]>]) -> bool {
    let width = rows.first().map_or(0, |row| row.as_ref().len());
    let mut columns = vec![Type::default(); width];
    // Row by row, as they lie in memory.
    width > 0
        && rows.iter().map(AsRef::as_ref).all(|row| {
            row.len() == width
                && columns.iter_mut().zip(row).all(|(column, value)| column.takes(value.typed()))
        })
}

/// The kind of these values, if they are of one; NULLs are of any.
pub(super) fn kind<'v>(mut values: impl Iterator<Item = &'v Sent>) -> Option<Kind> {
    let mut all = Kind::Any;
    values.all(|value| all.takes(value.typed().kind)).then_some(all)
}

/// What a value is sent as; or what those of a column have been so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Type {
    kind: Kind,
    /// It needs the sign's bit for its size, which makes the driver call all of a column unsigned.
    is_large: bool,
    is_negative: bool,
}

impl Type {
    fn takes(&mut self, other: Self) -> bool {
        self.is_large |= other.is_large;
        self.is_negative |= other.is_negative;
        self.kind.takes(other.kind) && !(self.is_large && self.is_negative)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Any,
    Integer,
    Bytes,
    Double,
    Float,
    Date,
    Time,
}

impl Kind {
    /// Whether it is still one kind with this one.
    fn takes(&mut self, of: Self) -> bool {
        if of == Self::Any {
            return true;
        }
        let is_one = *self == Self::Any || *self == of;
        *self = of;
        is_one
    }
}

/// A value before it is sent, or as it is.
pub(crate) trait Typed {
    fn typed(&self) -> Type;
}

impl Typed for Sent {
    fn typed(&self) -> Type {
        let kind = match self {
            Self::NULL => Kind::Any,
            Self::Int(_) | Self::UInt(_) => Kind::Integer,
            Self::Bytes(_) => Kind::Bytes,
            Self::Double(_) => Kind::Double,
            Self::Float(_) => Kind::Float,
            Self::Date(..) => Kind::Date,
            Self::Time(..) => Kind::Time,
        };
        let is_large = matches!(self, Self::UInt(_));
        let is_negative = matches!(self, Self::Int(number) if *number < 0);
        Type { kind, is_large, is_negative }
    }
}

/// As [`sent`](crate::values::encode::sent) has it, which knows the same variants.
impl Typed for Value<'_> {
    fn typed(&self) -> Type {
        let kind = match self {
            Self::Bool(_) | Self::I64(_) | Self::U64(_) => Kind::Integer,
            Self::F64(_) => Kind::Double,
            Self::Text(_) | Self::Decimal(_) | Self::Json(_) | Self::Bytes(_) | Self::Uuid(_) => {
                Kind::Bytes
            }
            Self::Timestamp(_) | Self::Date(_) => Kind::Date,
            Self::Time(_) => Kind::Time,
            _ => Kind::Any,
        };
        let is_large = matches!(self, Self::U64(number) if i64::try_from(*number).is_err());
        let is_negative = matches!(self, Self::I64(number) if *number < 0);
        Type { kind, is_large, is_negative }
    }
}

#[cfg(test)]
mod tests {
    use pool_sql::ValueType;

    use super::*;
    use crate::values::encode::sent;

    #[test]
    fn one_type_for_each_column() {
        let (text, date) = (Sent::Bytes(b"7".to_vec()), Sent::Date(2000, 1, 1, 0, 0, 0, 0));
        let (large, small, negative) = (Sent::UInt(u64::MAX), Sent::Int(1), Sent::Int(-1));
        let of = |column: &[&Sent]| {
            let rows = column.iter().map(|value| vec![small.clone(), (*value).clone()]);
            is_uniform(&rows.collect::<Vec<_>>())
        };
        assert!(of(&[&Sent::NULL, &text, &Sent::NULL, &text]));
        assert!(of(&[&Sent::NULL, &Sent::NULL]));
        assert!(of(&[&small, &large]) && of(&[&small, &negative]));
        assert!(!of(&[&negative, &large]) && !of(&[&large, &Sent::NULL, &negative]));
        assert!(!of(&[&text, &small]) && !of(&[&date, &text]));
        assert!(!is_uniform::<Sent>(&[] as &[Vec<Sent>]));
        assert!(!is_uniform(&[vec![small.clone()], vec![]]), "they are not of one width");
    }

    #[test]
    fn a_value_has_the_type_it_is_sent_as() {
        let numbers = [i64::MIN, -1, 0, i64::MAX].map(Value::I64);
        let more = [0, i64::MAX as u64, 1 << 63, u64::MAX].map(Value::U64);
        let others = [
            Value::Null(ValueType::Text),
            Value::Bool(true),
            Value::F64(-0.5),
            Value::Text("-7"),
            Value::Decimal("7.5"),
            Value::Json("[]"),
            Value::Bytes(b"7"),
            Value::Uuid([7; 16]),
            Value::Timestamp(-1),
            Value::Date(-1),
            Value::Time(-1),
        ];
        for value in numbers.into_iter().chain(more).chain(others) {
            assert_eq!(value.typed(), sent(value).unwrap().typed(), "{value:?}");
        }
    }
}
