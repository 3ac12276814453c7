//! Values in the server's binary format: what COPY, arrays and parameters are made of.

use std::fmt;

use bytes::{BufMut, BytesMut};
use pool_sql::{Value, ValueType};
use tokio_postgres::types::{IsNull, Type};

use super::format::{EPOCH_DAYS, EPOCH_MICROS, Fault, Format, MICROS_A_DAY};
use super::numeric;

/// What the server takes, in its own counts from 2000-01-01: 4714 BC to the year 294276.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// And days, to the year 5874897.
const DATES: std::ops::Range<i32> = -2_451_545..2_145_031_949;

/// A value that a column of the server cannot take. Names types, never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) found: ValueType,
    pub(crate) wanted: Box<str>,
    pub(crate) fault: Fault,
}

/// Appends a value as the server's type `ty`. NULL, of any type, appends nothing and says so.
///
/// Numbers go into numbers, if nothing is lost but the digits that an `F64` has too many for
/// `float4`; an `F64` goes into `numeric` with the fewest digits that name it. Text goes into text
/// and enums, and where it reads as one into `uuid`, `json` and `jsonb`; nothing else becomes text.
/// The first and the last [`Value::Timestamp`] and [`Value::Date`] are the server's `-infinity` and
/// `infinity`.
///
/// # Errors
/// [`Misfit`]; something may have been appended then.
pub(crate) fn put(value: Value<'_>, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Misfit> {
    put_known(value, ty, Format::of(ty), out)
}

/// As [`put`], for who has many of one type and asked for its format once.
pub(crate) fn put_known(
    value: Value<'_>,
    ty: &Type,
    format: Option<Format>,
    out: &mut BytesMut,
) -> Result<IsNull, Misfit> {
    if value.is_null() {
        return Ok(IsNull::Yes);
    }
    let put = match format {
        Some(format) => put_as(format, value, out),
        None => Err(Fault::Type),
    };
    match put {
        Ok(()) => Ok(IsNull::No),
        Err(fault) => Err(Misfit { found: value.value_type(), wanted: ty.name().into(), fault }),
    }
}

fn put_as(format: Format, value: Value<'_>, out: &mut BytesMut) -> Result<(), Fault> {
    match (format, value) {
        (Format::Int8, _) => out.put_i64(integer(value)?),
        (Format::Int4, _) => out.put_i32(integer(value)?),
        (Format::Int2, _) => out.put_i16(integer(value)?),
        (Format::Oid, _) => out.put_u32(integer(value)?),
        (Format::Float8, _) => out.put_f64(float8(value)?),
        (Format::Float4, _) => out.put_f32(float4(value)?),
        (Format::Numeric, _) => numeric::put(value, out)?,
        (Format::Text, Value::Text(text))
        | (Format::Json, Value::Json(text) | Value::Text(text)) => {
            out.extend_from_slice(text.as_bytes());
        }
        (Format::Jsonb, Value::Json(text) | Value::Text(text)) => {
            out.put_u8(1); // the format's version
            out.extend_from_slice(text.as_bytes());
        }
        (Format::Bool, Value::Bool(yes)) => out.put_u8(yes.into()),
        (Format::Bytea, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
        (Format::Uuid, Value::Uuid(bytes)) => out.extend_from_slice(&bytes),
        (Format::Uuid, Value::Bytes(bytes)) if bytes.len() == 16 => out.extend_from_slice(bytes),
        (Format::Uuid, Value::Bytes(_)) => return Err(Fault::Form),
        (Format::Uuid, Value::Text(text)) => {
            out.extend_from_slice(&uuid(text.as_bytes()).ok_or(Fault::Form)?);
        }
        (Format::Timestamp, Value::Timestamp(micros)) => out.put_i64(timestamp(micros)?),
        (Format::Date, Value::Date(days)) => out.put_i32(date(days)?),
        (Format::Time, Value::Time(micros)) if (0..=MICROS_A_DAY).contains(&micros) => {
            out.put_i64(micros);
        }
        (Format::Time, Value::Time(_)) => return Err(Fault::Range),
        _ => return Err(Fault::Type),
    }
    Ok(())
}

fn integer<T: TryFrom<i64> + TryFrom<u64>>(value: Value<'_>) -> Result<T, Fault> {
    match value {
        Value::I64(number) => number.try_into().map_err(|_| Fault::Range),
        Value::U64(number) => number.try_into().map_err(|_| Fault::Range),
        _ => Err(Fault::Type),
    }
}

/// An integer only if it is exact.
fn float8(value: Value<'_>) -> Result<f64, Fault> {
    let (float, exact) = match value {
        Value::F64(float) => (float, true),
        Value::I64(number) => (number as f64, number as f64 as i128 == i128::from(number)),
        Value::U64(number) => (number as f64, number as f64 as i128 == i128::from(number)),
        _ => return Err(Fault::Type),
    };
    if exact { Ok(float) } else { Err(Fault::Range) }
}

/// Rounds an `F64` as the server does, but never to infinity or zero; an integer only if it is
/// exact.
fn float4(value: Value<'_>) -> Result<f32, Fault> {
    let wide = float8(value)?;
    let float = wide as f32;
    let lost = match value {
        Value::F64(_) => float.is_infinite() && wide.is_finite() || float == 0.0 && wide != 0.0,
        _ => f64::from(float) != wide,
    };
    if lost { Err(Fault::Range) } else { Ok(float) }
}

/// Sixteen bytes in hexadecimal, as the server reads them: a hyphen may follow each second one, and
/// braces may be around all.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let bare = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
    let mut digits = bare.unwrap_or(text);
    let mut bytes = [0; 16];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let (pair, rest) = digits.split_first_chunk::<2>()?;
        let digit = |d: u8| char::from(d).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        digits = match rest {
            [b'-', rest @ ..] if i % 2 == 1 && i < 15 => rest,
            _ => rest,
        };
    }
    digits.is_empty().then_some(bytes)
}

fn timestamp(micros: i64) -> Result<i64, Fault> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Ok(micros);
    }
    let since = micros.checked_sub(EPOCH_MICROS);
    since.filter(|since| TIMESTAMPS.contains(since)).ok_or(Fault::Range)
}

fn date(days: i32) -> Result<i32, Fault> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(days);
    }
    let since = days.checked_sub(EPOCH_DAYS);
    since.filter(|since| DATES.contains(since)).ok_or(Fault::Range)
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, wanted, fault } = self;
        match fault {
            Fault::Type => write!(f, "{found:?} does not go into {wanted}"),
            Fault::Range => write!(f, "the {found:?} is out of range for {wanted}"),
            Fault::Form => write!(f, "the {found:?} does not read as {wanted}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: Value<'_>, ty: &Type) -> Result<Vec<u8>, Fault> {
        let mut out = BytesMut::new();
        match put(value, ty, &mut out) {
            Ok(IsNull::No) => Ok(out.to_vec()),
            Ok(IsNull::Yes) => panic!("NULL"),
            Err(misfit) => Err(misfit.fault),
        }
    }

    #[test]
    fn integers_fit_or_are_out_of_range() {
        assert_eq!(bytes(Value::I64(-2), &Type::INT2), Ok(vec![255, 254]));
        assert_eq!(bytes(Value::U64(32_768), &Type::INT2), Err(Fault::Range));
        assert_eq!(bytes(Value::I64(i64::from(i32::MIN) - 1), &Type::INT4), Err(Fault::Range));
        assert_eq!(bytes(Value::U64(1 << 63), &Type::INT8), Err(Fault::Range));
        assert_eq!(bytes(Value::I64(i64::MIN), &Type::INT8), Ok(i64::MIN.to_be_bytes().to_vec()));
        assert_eq!(bytes(Value::I64(0xFFFF_FFFF), &Type::OID), Ok(vec![255; 4]));
        assert_eq!(bytes(Value::I64(-1), &Type::OID), Err(Fault::Range));
        assert_eq!(bytes(Value::Bool(true), &Type::INT4), Err(Fault::Type));
    }

    #[test]
    fn integers_become_floats_only_if_exact() {
        let exact = 1_i64 << 53;
        assert!(bytes(Value::I64(exact), &Type::FLOAT8).is_ok());
        assert_eq!(bytes(Value::I64(exact + 1), &Type::FLOAT8), Err(Fault::Range));
        assert_eq!(bytes(Value::I64(i64::MAX), &Type::FLOAT8), Err(Fault::Range));
        assert_eq!(bytes(Value::U64(u64::MAX), &Type::FLOAT8), Err(Fault::Range));
        assert!(bytes(Value::U64(1 << 63), &Type::FLOAT4).is_ok());
        assert_eq!(bytes(Value::I64((1 << 24) + 1), &Type::FLOAT4), Err(Fault::Range));
    }

    #[test]
    fn float4_rounds_but_not_to_nothing_or_infinity() {
        let tenth = 0.1_f32.to_be_bytes().to_vec();
        assert_eq!(bytes(Value::F64(0.1), &Type::FLOAT4), Ok(tenth));
        assert_eq!(bytes(Value::F64(1e39), &Type::FLOAT4), Err(Fault::Range));
        assert_eq!(bytes(Value::F64(1e-60), &Type::FLOAT4), Err(Fault::Range));
        assert!(bytes(Value::F64(f64::INFINITY), &Type::FLOAT4).is_ok());
        assert!(bytes(Value::F64(f64::NAN), &Type::FLOAT4).is_ok());
        assert!(bytes(Value::F64(-0.0), &Type::FLOAT4).is_ok());
    }

    #[test]
    fn uuids_are_read_as_the_server_reads_them() {
        let wanted = Ok((0..16).map(|n| n * 17).collect::<Vec<u8>>());
        for text in [
            "00112233-4455-6677-8899-aabbccddeeff",
            "{00112233-4455-6677-8899-AABBCCDDEEFF}",
            "00112233445566778899aabbccddeeff",
            "0011-2233-4455-6677-8899-aabb-ccdd-eeff",
        ] {
            assert_eq!(bytes(Value::Text(text), &Type::UUID), wanted, "{text}");
        }
        for text in [
            "",
            "{00112233-4455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeef",
            "00112233-4455-6677-8899-aabbccddeeff-",
            "001-12233-4455-6677-8899-aabbccddeeff",
            "g0112233-4455-6677-8899-aabbccddeeff",
        ] {
            assert_eq!(bytes(Value::Text(text), &Type::UUID), Err(Fault::Form), "{text}");
        }
        assert_eq!(bytes(Value::Bytes(&[1; 16]), &Type::UUID), Ok(vec![1; 16]));
        assert_eq!(bytes(Value::Bytes(&[1; 15]), &Type::UUID), Err(Fault::Form));
    }

    #[test]
    fn times_count_from_2000_and_stay_in_range() {
        let at = |micros| bytes(Value::Timestamp(micros), &Type::TIMESTAMPTZ);
        assert_eq!(at(946_684_800_000_000), Ok(vec![0; 8]));
        assert_eq!(at(i64::MIN + 1), Err(Fault::Range));
        assert_eq!(at(i64::MIN + EPOCH_MICROS), Err(Fault::Range)); // not `-infinity` by accident
        assert_eq!(at(i64::MAX), Ok(i64::MAX.to_be_bytes().to_vec()));
        assert_eq!(bytes(Value::Date(10_958), &Type::DATE), Ok(vec![0, 0, 0, 1]));
        assert_eq!(bytes(Value::Date(i32::MAX - 1), &Type::DATE), Err(Fault::Range));
        assert!(bytes(Value::Time(MICROS_A_DAY), &Type::TIME).is_ok());
        assert_eq!(bytes(Value::Time(-1), &Type::TIME), Err(Fault::Range));
        assert_eq!(bytes(Value::Timestamp(0), &Type::DATE), Err(Fault::Type));
    }

    #[test]
    fn nothing_becomes_text_and_text_becomes_little() {
        assert_eq!(bytes(Value::I64(1), &Type::TEXT), Err(Fault::Type));
        assert_eq!(bytes(Value::Text("1"), &Type::INT4), Err(Fault::Type));
        assert_eq!(bytes(Value::Text("::1"), &Type::INET), Err(Fault::Type));
        assert_eq!(bytes(Value::Text("{}"), &Type::JSONB), Ok(b"\x01{}".to_vec()));
        assert_eq!(bytes(Value::Text(""), &Type::VARCHAR), Ok(Vec::new()));
    }

    #[test]
    fn a_misfit_names_types_and_no_value() {
        let mut out = BytesMut::new();
        let said = |misfit: Misfit| misfit.to_string();
        let misfit = put(Value::Text("secret"), &Type::INT4, &mut out).err().unwrap();
        assert_eq!(said(misfit), "Text does not go into int4");
        let misfit = put(Value::I64(70_000), &Type::INT2, &mut out).err().unwrap();
        assert_eq!(said(misfit), "the I64 is out of range for int2");
        let misfit = put(Value::Decimal("4o"), &Type::NUMERIC, &mut out).err().unwrap();
        assert_eq!(said(misfit), "the Decimal does not read as numeric");
        let null = put(Value::Null(ValueType::Text), &Type::INET, &mut out);
        assert!(matches!(null, Ok(IsNull::Yes)) && out.is_empty());
    }
}
