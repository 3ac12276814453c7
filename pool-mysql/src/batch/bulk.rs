//! When rows can go by MariaDB's bulk protocol: one statement for one row, and the values of many.
//!
//! The driver writes the type of each column once, into the first packet of a call, and reads off
//! it from the first rows that are not NULL: values of another type would be read by the server as
//! something else. So each chunk is a call of its own, of one packet, and goes in bulk only if each
//! column has one type throughout.
//!
//! Every MariaDB since 10.2 knows it. With something in between that does not, the driver sends each row
//! for itself.

use mysql_async::Value;

/// Whether each column of the rows has one type, NULLs aside.
pub(crate) fn is_uniform(rows: &[Vec<Value>]) -> bool {
    let width = rows.first().map_or(0, Vec::len);
    let mut columns = vec![Column::default(); width];
    // Row by row, as they lie in memory.
    width > 0
        && rows.iter().all(|row| {
            row.len() == width
                && columns.iter_mut().zip(row).all(|(column, value)| column.takes(value))
        })
}

/// What the values of a column have been so far.
#[derive(Clone, Default)]
struct Column {
    kind: Kind,
    is_large: bool,
    is_negative: bool,
}

impl Column {
    /// Whether it is still of one type with this value.
    fn takes(&mut self, value: &Value) -> bool {
        // One that needs the sign's bit for its size makes the driver call all of them unsigned.
        self.is_large |= matches!(value, Value::UInt(_));
        self.is_negative |= matches!(value, Value::Int(number) if *number < 0);
        self.kind.takes(value) && !(self.is_large && self.is_negative)
    }
}

/// The kind of these values, if they are of one; NULLs are of any.
pub(super) fn kind<'v>(mut values: impl Iterator<Item = &'v Value>) -> Option<Kind> {
    let mut all = Kind::Any;
    values.all(|value| all.takes(value)).then_some(all)
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
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
    /// Whether it is still one kind with this value.
    fn takes(&mut self, value: &Value) -> bool {
        let of = match value {
            Value::NULL => return true,
            Value::Int(_) | Value::UInt(_) => Self::Integer,
            Value::Bytes(_) => Self::Bytes,
            Value::Double(_) => Self::Double,
            Value::Float(_) => Self::Float,
            Value::Date(..) => Self::Date,
            Value::Time(..) => Self::Time,
        };
        let is_one = *self == Self::Any || *self == of;
        *self = of;
        is_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_for_each_column() {
        let (text, date) = (Value::Bytes(b"7".to_vec()), Value::Date(2000, 1, 1, 0, 0, 0, 0));
        let (large, small, negative) = (Value::UInt(u64::MAX), Value::Int(1), Value::Int(-1));
        let of = |column: &[&Value]| {
            let rows = column.iter().map(|value| vec![small.clone(), (*value).clone()]);
            is_uniform(&rows.collect::<Vec<_>>())
        };
        assert!(of(&[&Value::NULL, &text, &Value::NULL, &text]));
        assert!(of(&[&Value::NULL, &Value::NULL]));
        assert!(of(&[&small, &large]) && of(&[&small, &negative]));
        assert!(!of(&[&negative, &large]) && !of(&[&large, &Value::NULL, &negative]));
        assert!(!of(&[&text, &small]) && !of(&[&date, &text]));
        assert!(!is_uniform(&[]));
        assert!(!is_uniform(&[vec![small.clone()], vec![]]), "they are not of one width");
    }
}
