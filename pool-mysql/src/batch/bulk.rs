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
    width > 0 && (0..width).all(|at| is_of_one_type(rows.iter().map(|row| &row[at])))
}

fn is_of_one_type<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> bool {
    // One that needs the sign's bit for its size makes the driver call all of them unsigned.
    let is_negative = |value: &Value| matches!(value, Value::Int(number) if *number < 0);
    let is_large = |value: &Value| matches!(value, Value::UInt(_));
    kind(values.clone()).is_some()
        && !(values.clone().any(is_large) && values.clone().any(is_negative))
}

/// The kind of these values, if they are of one; NULLs are of any.
pub(super) fn kind<'v>(values: impl Iterator<Item = &'v Value>) -> Option<Kind> {
    let mut all = Kind::Any;
    for value in values {
        let of = match value {
            Value::NULL => continue,
            Value::Int(_) | Value::UInt(_) => Kind::Integer,
            Value::Bytes(_) => Kind::Bytes,
            Value::Double(_) => Kind::Double,
            Value::Float(_) => Kind::Float,
            Value::Date(..) => Kind::Date,
            Value::Time(..) => Kind::Time,
        };
        if all != Kind::Any && all != of {
            return None;
        }
        all = of;
    }
    Some(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Integer,
    Bytes,
    Double,
    Float,
    Date,
    Time,
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
    }
}
