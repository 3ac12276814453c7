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

/// So many rows of an insert go in bulk at once. With 250 a batch takes a quarter longer, as client and
/// server wait for each other, with 1,000 some hundredths; but to make a packet of 8,000 takes some
/// milliseconds, in which the thread does nothing else.
pub(super) const BULK_ROWS: usize = 8_000;

/// Whether each column of the rows has one type, NULLs aside.
pub(crate) fn is_uniform(rows: &[Vec<Sent>]) -> bool {
    let mut columns = Columns::new(rows.first().map_or(0, Vec::len));
    for row in rows {
        if row.len() != columns.0.len() {
            return false;
        }
        columns.add(row);
    }
    columns.are_uniform()
}

/// What the values of each column are sent as.
pub(super) struct Columns(Vec<Types>);

impl Columns {
    pub(super) fn new(width: usize) -> Self {
        Self(vec![Types::default(); width])
    }

    pub(super) fn add(&mut self, row: &[Sent]) {
        self.0.iter_mut().zip(row).for_each(|(types, value)| types.add(value));
    }

    /// Whether there are any, and each is of one type.
    pub(super) fn are_uniform(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|types| types.is_one())
    }
}

/// What values are sent as: all that have come, as a set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Types(u8);

impl Types {
    const INTEGER: u8 = 1;
    const BYTES: u8 = 1 << 1;
    const DOUBLE: u8 = 1 << 2;
    const FLOAT: u8 = 1 << 3;
    const DATE: u8 = 1 << 4;
    const TIME: u8 = 1 << 5;
    /// An integer that needs the sign's bit for its size, which makes the driver call all of a
    /// column unsigned.
    const LARGE: u8 = 1 << 6;
    const NEGATIVE: u8 = 1 << 7;
    const SIGNS: u8 = Self::LARGE | Self::NEGATIVE;

    pub(super) fn add(&mut self, value: &Sent) {
        self.0 |= match value {
            Sent::NULL => 0,
            Sent::Int(0..) => Self::INTEGER,
            Sent::Int(_) => Self::INTEGER | Self::NEGATIVE,
            Sent::UInt(_) => Self::INTEGER | Self::LARGE,
            Sent::Bytes(_) => Self::BYTES,
            Sent::Double(_) => Self::DOUBLE,
            Sent::Float(_) => Self::FLOAT,
            Sent::Date(..) => Self::DATE,
            Sent::Time(..) => Self::TIME,
        };
    }

    /// Whether they are of one type to the server, NULLs aside.
    fn is_one(self) -> bool {
        self.is_one_kind() && self.0 & Self::SIGNS != Self::SIGNS
    }

    /// The same, whatever the signs of integers.
    pub(super) fn is_one_kind(self) -> bool {
        (self.0 & !Self::SIGNS).count_ones() < 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(!is_uniform(&[]));
        assert!(!is_uniform(&[vec![small.clone()], vec![]]), "they are not of one width");
    }

    #[test]
    fn no_two_kinds_are_one() {
        let values = [
            Sent::Int(1),
            Sent::Bytes(vec![]),
            Sent::Double(1.0),
            Sent::Float(1.0),
            Sent::Date(2000, 1, 1, 0, 0, 0, 0),
            Sent::Time(false, 0, 0, 0, 0, 0),
        ];
        for (a, one) in values.iter().enumerate() {
            for (b, other) in values.iter().enumerate() {
                let mut types = Types::default();
                [one, &Sent::NULL, other].iter().for_each(|value| types.add(value));
                assert_eq!((types.is_one(), types.is_one_kind()), (a == b, a == b));
            }
        }
    }
}
