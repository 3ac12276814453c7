//! [`Worded`]: a value in words, for a statement whose parameters have types that only the server knows.
//!
//! A parameter without a declared type is given one by the server, as one of a prepared statement is.
//! What is sent in text is read by the input function of that type, so it need not be known here. What
//! has one type only is declared as that and sent in binary: truth values, bytes (as text they would
//! go into a text column as their hexadecimal digits) and UUIDs.

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;

use bytes::BytesMut;
use pool_sql::{Dialect, Value, placeholders};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::encode::{self, Misfit};
use super::format::MICROS_A_DAY;
use crate::error::{PgError, PgErrorKind};

pub(crate) struct Worded<'v>(Value<'v>);

/// The values of a statement.
///
/// # Errors
/// What the server would only say as a breach of the protocol: another number of values than the
/// statement has places.
pub(crate) fn worded<'v>(sql: &str, values: &[Value<'v>]) -> Result<Vec<Worded<'v>>, PgError> {
    match placeholders::translate(Dialect::Postgres, sql, values) {
        Ok(_) => Ok(values.iter().copied().map(Worded).collect()),
        Err(error) => Err(PgError::text(PgErrorKind::Params, error.to_string())),
    }
}

impl Worded<'_> {
    /// The type that the statement is sent with; `unknown` is for the server to say.
    pub(crate) fn declared_type(&self) -> Type {
        match self.0 {
            Value::Bool(_) => Type::BOOL,
            Value::Bytes(_) => Type::BYTEA,
            Value::Uuid(_) => Type::UUID,
            _ => Type::UNKNOWN,
        }
    }
}

impl ToSql for Worded<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::I64(number) => write!(out, "{number}")?,
            Value::U64(number) => write!(out, "{number}")?,
            Value::F64(number) if number.is_infinite() => {
                out.write_str(if number > 0.0 { "Infinity" } else { "-Infinity" })?;
            }
            Value::F64(number) => write!(out, "{number:?}")?,
            Value::Decimal(text) | Value::Json(text) => out.write_str(text)?,
            Value::Timestamp(i64::MIN) | Value::Date(i32::MIN) => out.write_str("-infinity")?,
            Value::Timestamp(i64::MAX) | Value::Date(i32::MAX) => out.write_str("infinity")?,
            Value::Timestamp(micros) => {
                let (days, clock) =
                    (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
                let (day, era) = (Day::of(days), Day::of(days).era());
                write!(out, "{day} {}+00{era}", Clock(clock))?; // without a time zone, +00 is not read
            }
            Value::Date(days) => {
                let day = Day::of(days.into());
                write!(out, "{day}{}", day.era())?;
            }
            Value::Time(micros) if (0..=MICROS_A_DAY).contains(&micros) => {
                write!(out, "{}", Clock(micros))?;
            }
            // Refused, for it is out of range.
            Value::Time(_) => return put(self.0, &Type::TIME, out),
            value => return put(value, ty, out),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, ty: &Type) -> Format {
        match *ty {
            Type::UNKNOWN => Format::Text,
            _ => Format::Binary,
        }
    }

    to_sql_checked!();
}

fn put(
    value: Value<'_>,
    ty: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    let unfit = |misfit: Misfit| PgError::text(PgErrorKind::Type, misfit.to_string()).into();
    encode::put(value, ty, out).map_err(unfit)
}

/// The driver logs parameters; not these.
impl fmt::Debug for Worded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A day of the Gregorian calendar, year 0 and before included.
#[derive(Clone, Copy)]
struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    /// From the days since 1970-01-01.
    fn of(days: i64) -> Self {
        // Years begin in March here, so that the leap day is a year's last.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
        }
    }

    /// What follows a day, and its time: there is no year 0, the one before 1 is 1 BC.
    fn era(self) -> &'static str {
        if self.year > 0 { "" } else { " BC" }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        let year = if *year > 0 { *year } else { 1 - year };
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Microseconds of a day.
struct Clock(i64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{micros:06}", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_sql::ValueType;

    fn words(value: Value<'_>) -> String {
        let (value, mut out) = (Worded(value), BytesMut::new());
        assert_eq!(value.encode_format(&value.declared_type()) as i16, Format::Text as i16);
        assert!(matches!(value.to_sql(&value.declared_type(), &mut out), Ok(IsNull::No)));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn values_are_written_as_the_server_reads_them() {
        for (value, text) in [
            (Value::I64(i64::MIN), "-9223372036854775808"),
            (Value::U64(u64::MAX), "18446744073709551615"),
            (Value::F64(0.1), "0.1"),
            (Value::F64(1e300), "1e300"),
            (Value::F64(f64::NAN), "NaN"),
            (Value::F64(f64::NEG_INFINITY), "-Infinity"),
            (Value::Decimal("1.50"), "1.50"),
            (Value::Text("é'"), "é'"),
            (Value::Json("{}"), "{}"),
            (Value::Timestamp(-1), "1969-12-31 23:59:59.999999+00"),
            (Value::Timestamp(i64::MAX), "infinity"),
            (Value::Date(11_016), "2000-02-29"),
            (Value::Date(-719_163), "0001-12-31 BC"),
            (Value::Date(2_932_897), "10000-01-01"),
            (Value::Date(i32::MIN), "-infinity"),
            (Value::Time(MICROS_A_DAY), "24:00:00.000000"),
            (Value::Timestamp(-62_135_596_800_000_001), "0001-12-31 23:59:59.999999+00 BC"),
        ] {
            assert_eq!(words(value), text);
        }
    }

    #[test]
    fn what_has_one_type_goes_as_that() {
        let mut out = BytesMut::new();
        for value in [Value::Bool(true), Value::Bytes(b"b"), Value::Uuid([1; 16])] {
            let value = Worded(value);
            let ty = value.declared_type();
            assert_eq!(value.encode_format(&ty) as i16, Format::Binary as i16, "{value:?}");
            assert!(value.to_sql(&ty, &mut out).is_ok());
        }
        let null = Worded(Value::Null(ValueType::I64));
        assert!(matches!(null.to_sql(&Type::UNKNOWN, &mut out), Ok(IsNull::Yes)));
        assert!(Worded(Value::Time(-1)).to_sql(&Type::UNKNOWN, &mut out).is_err());
        assert_eq!(format!("{:?}", Worded(Value::Text("secret"))), "Text[6]");
    }

    #[test]
    fn another_number_of_values_is_seen_before_the_server_does() {
        let error = worded("SELECT $1, $2", &[Value::I64(1)]).err().unwrap();
        assert_eq!(error.kind(), PgErrorKind::Params);
        assert!(error.to_string().contains("$2 (line 1, column 12)"), "{error}");
    }
}
