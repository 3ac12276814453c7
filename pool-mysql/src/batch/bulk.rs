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
    let mut columns = vec![Types::default(); rows.first().map_or(0, Vec::len)];
    for row in rows {
        if row.len() != columns.len() {
            return false;
        }
        columns.iter_mut().zip(row).for_each(|(column, value)| column.add(value));
    }
    !columns.is_empty() && columns.into_iter().all(Types::is_one)
}

/// What values of a column are sent as: all that have come, as a set.
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
    /// column unsigned; and one that is negative.
    const SIGNS: [u8; 2] = [1 << 6, 1 << 7];

    pub(super) fn add(&mut self, value: &Sent) {
        let [large, negative] = Self::SIGNS;
        self.0 |= match value {
            Sent::NULL => 0,
            Sent::Int(0..) => Self::INTEGER,
            Sent::Int(_) => Self::INTEGER | negative,
            Sent::UInt(_) => Self::INTEGER | large,
            Sent::Bytes(_) => Self::BYTES,
            Sent::Double(_) => Self::DOUBLE,
            Sent::Float(_) => Self::FLOAT,
            Sent::Date(..) => Self::DATE,
            Sent::Time(..) => Self::TIME,
        };
    }

    /// Whether they are of one type to the server, NULLs aside.
    pub(super) fn is_one(self) -> bool {
        let [large, negative] = Self::SIGNS;
        let signs = large | negative;
        self.is_one_kind() && self.0 & signs != signs
    }

    /// The same, whatever the signs of integers.
    pub(super) fn is_one_kind(self) -> bool {
        let [large, negative] = Self::SIGNS;
        (self.0 & !(large | negative)).count_ones() < 2
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
}
