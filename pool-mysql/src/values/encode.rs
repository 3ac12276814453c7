//! Values as the driver sends them, and what does not go into any column.

use std::fmt;

use mysql_async::Value as Sent;
use pool_sql::{Value, ValueType};

use super::calendar::from_days;

pub(crate) const MICROS_A_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;
/// 838:59:59.999999, the longest `TIME`.
const LONGEST_TIME: i64 = 3_020_400 * MICROS_A_SECOND - 1;
/// The largest packet that is not sent in parts.
const MAX_PAYLOAD: u64 = (1 << 24) - 1;

/// A value that no column takes as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit(ValueType);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        match found {
            ValueType::F64 => write!(f, "an F64 that is no number or infinite is not stored"),
            ValueType::Time => write!(f, "the Time is outside of -838:59:59 to 838:59:59"),
            ValueType::Date | ValueType::Timestamp => {
                write!(f, "the {found:?} is outside of the years 1 to 9999")
            }
            _ => write!(f, "values of type {found:?} are not known here"),
        }
    }
}

/// The value as it is sent. What is copied is text and bytes, once.
#[inline]
pub(crate) fn sent(value: Value<'_>) -> Result<Sent, Misfit> {
    let misfit = || Misfit(value.value_type());
    Ok(match value {
        Value::Null(_) => Sent::NULL,
        Value::Bool(yes) => Sent::Int(yes.into()),
        Value::I64(number) => Sent::Int(number),
        // Signed where it fits, so that a column of both goes as one type.
        Value::U64(number) => i64::try_from(number).map_or(Sent::UInt(number), Sent::Int),
        Value::F64(number) if number.is_finite() => Sent::Double(number),
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => {
            Sent::Bytes(text.as_bytes().to_vec())
        }
        Value::Bytes(bytes) => Sent::Bytes(bytes.to_vec()),
        Value::Uuid(bytes) => Sent::Bytes(bytes.to_vec()),
        other => return of_calendar(other).ok_or_else(misfit),
    })
}

/// Apart, and not inlined: else their many small fields are what every value is moved by.
#[inline(never)]
fn of_calendar(value: Value<'_>) -> Option<Sent> {
    match value {
        Value::Timestamp(micros) => timestamp(micros),
        Value::Date(days) => {
            let (year, month, day) = from_days(days)?;
            Some(Sent::Date(year, month, day, 0, 0, 0, 0))
        }
        Value::Time(micros) if micros.unsigned_abs() <= LONGEST_TIME as u64 => Some(time(micros)),
        _ => None,
    }
}

fn timestamp(micros: i64) -> Option<Sent> {
    let days = i32::try_from(micros.div_euclid(MICROS_A_DAY)).ok()?;
    let (year, month, day) = from_days(days)?;
    let (hour, minute, second, micros) = clock(micros.rem_euclid(MICROS_A_DAY));
    Some(Sent::Date(year, month, day, hour, minute, second, micros))
}

fn time(micros: i64) -> Sent {
    let length = micros.abs();
    let (hour, minute, second, rest) = clock(length % MICROS_A_DAY);
    Sent::Time(micros < 0, (length / MICROS_A_DAY) as u32, hour, minute, second, rest)
}

/// Hours, minutes, seconds and microseconds of what is less than a day.
fn clock(micros: i64) -> (u8, u8, u8, u32) {
    let seconds = micros / MICROS_A_SECOND;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    (hours as u8, minutes as u8, (seconds % 60) as u8, (micros % MICROS_A_SECOND) as u32)
}

/// A floating-point number in the shortest words that mean it: for MySQL, which keeps the types of a
/// statement's first values.
pub(crate) fn as_text(value: &mut Sent) {
    if let Sent::Double(number) = value {
        *value = Sent::Bytes(format!("{number:?}").into_bytes());
    }
}

/// How many bytes are too many for a server that takes packets of `max`: of a statement that binds
/// these values, or of one of them if they are sent one by one, as the driver does with the largest.
pub(crate) fn too_large(values: &[Sent], max: u64) -> Option<u64> {
    let count = values.len() as u64;
    let all: u64 = values.iter().map(Sent::bin_len).sum();
    let packet = 11 + count.div_ceil(8) + 2 * count + all;
    if packet <= MAX_PAYLOAD {
        return Some(packet).filter(|packet| *packet > max);
    }
    values.iter().map(Sent::bin_len).find(|each| *each > max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_split_as_the_protocol_wants_them() {
        assert_eq!(sent(Value::Timestamp(-1)), Ok(Sent::Date(1969, 12, 31, 23, 59, 59, 999_999)));
        assert_eq!(sent(Value::Date(-719_162)), Ok(Sent::Date(1, 1, 1, 0, 0, 0, 0)));
        assert_eq!(sent(Value::Time(-LONGEST_TIME)), Ok(Sent::Time(true, 34, 22, 59, 59, 999_999)));
        assert_eq!(sent(Value::Time(0)), Ok(Sent::Time(false, 0, 0, 0, 0, 0)));
    }

    #[test]
    fn what_no_column_takes_is_refused() {
        for value in [
            Value::F64(f64::NAN),
            Value::F64(f64::NEG_INFINITY),
            Value::Time(LONGEST_TIME + 1),
            Value::Time(i64::MIN),
            Value::Timestamp(i64::MAX),
            Value::Date(i32::MIN),
        ] {
            assert_eq!(sent(value), Err(Misfit(value.value_type())));
        }
        assert_eq!(sent(Value::U64(1 << 63)), Ok(Sent::UInt(1 << 63)));
        assert_eq!(sent(Value::U64(7)), Ok(Sent::Int(7)));
    }

    #[test]
    fn packets_are_as_large_as_they_are() {
        let row = [Sent::Int(1), Sent::NULL, Sent::Bytes(vec![0; 1_000])];
        assert_eq!(too_large(&row, 1_029), None);
        assert_eq!(too_large(&row, 1_028), Some(1_029));
        let huge = [Sent::Bytes(vec![0; 10 << 20]), Sent::Bytes(vec![0; 10 << 20])];
        assert_eq!(too_large(&huge, 16 << 20), None, "it is sent in parts");
        assert_eq!(too_large(&huge, 8 << 20), Some((10 << 20) + 4));
    }
}
