//! `numeric` in binary: digits to the base of 10,000, with a weight, a sign and a scale.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use pool_sql::Value;

use super::format::Fault;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
/// The most digits after the point.
const MAX_SCALE: i64 = 0x3FFF;
/// Decimal digits in one of the format's.
const GROUP: i64 = 4;

/// Appends an integer, a float or the text of a decimal number. Infinity needs PostgreSQL 14.
///
/// Text is what the server takes: sign, digits, point, exponent, `NaN` or `Infinity`, and keeps its
/// scale (`1.50` has two digits after the point). A float is written with the fewest digits that
/// name it.
pub(super) fn put(value: Value<'_>, out: &mut BytesMut) -> Result<(), Fault> {
    match value {
        Value::I64(number) => put_integer(number < 0, number.unsigned_abs(), out),
        Value::U64(number) => put_integer(false, number, out),
        Value::Decimal(text) => put_text(text, out)?,
        Value::F64(number) => {
            let mut text = Short::default();
            write!(text, "{number:e}").map_err(|_| Fault::Range)?;
            put_text(text.as_str(), out)?;
        }
        _ => return Err(Fault::Type),
    }
    Ok(())
}

fn put_header(groups: u16, weight: i16, sign: u16, scale: u16, out: &mut BytesMut) {
    out.put_u16(groups);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
}

fn put_integer(negative: bool, mut left: u64, out: &mut BytesMut) {
    let mut groups = [0_u16; 5]; // enough for the 20 digits of u64::MAX
    let mut used = 0_u8;
    while left > 0 {
        groups[usize::from(used)] = (left % 10_000) as u16;
        left /= 10_000;
        used += 1;
    }
    let zeros = groups[..used.into()].iter().take_while(|group| **group == 0).count();
    let sign = if negative { NEGATIVE } else { 0 };
    let weight = i16::from(used).saturating_sub(1).max(0);
    put_header(u16::from(used) - zeros as u16, weight, sign, 0, out);
    groups[zeros..used.into()].iter().rev().for_each(|group| out.put_u16(*group));
}

fn put_text(text: &str, out: &mut BytesMut) -> Result<(), Fault> {
    let (negative, bare) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, exponent) = match bare.bytes().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&bare[..at], exponent(&bare[at + 1..])?),
        None => (bare, 0),
    };
    let (whole, fraction) = match digits.bytes().position(|b| b == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, ""),
    };
    let only_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !only_digits(whole) || !only_digits(fraction) {
        let sign = special(text).ok_or(Fault::Form)?;
        put_header(0, 0, sign, 0, out);
        return Ok(());
    }
    put_digits(negative, whole, fraction, exponent, out)
}

/// The "sign" of what is no number.
fn special(text: &str) -> Option<u16> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(NAN);
    }
    let (sign, name) = match text.strip_prefix('-') {
        Some(name) => (MINUS_INFINITY, name),
        None => (INFINITY, text.strip_prefix('+').unwrap_or(text)),
    };
    let named = name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf");
    named.then_some(sign)
}

fn exponent(text: &str) -> Result<i64, Fault> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i32>().map(i64::from).map_err(|error| match error.kind() {
        NegOverflow | PosOverflow => Fault::Range,
        _ => Fault::Form,
    })
}

fn put_digits(
    negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i64,
    out: &mut BytesMut,
) -> Result<(), Fault> {
    // A length is at most isize::MAX and an exponent has 32 bits, so none of this overflows.
    let scale = (fraction.len() as i64).saturating_sub(exponent).max(0);
    if scale > MAX_SCALE {
        return Err(Fault::Range);
    }
    let scale = scale as u16;
    let is_set = |digit: u8| digit != b'0';
    let mut all = whole.bytes().chain(fraction.bytes());
    let Some(first) = all.position(is_set) else {
        put_header(0, 0, 0, scale, out);
        return Ok(());
    };
    let last = match fraction.bytes().rposition(is_set) {
        Some(at) => whole.len() + at,
        None => whole.bytes().rposition(is_set).unwrap_or(first),
    };
    // A digit's place is its power of ten; four of them are a group, and a group's is its weight.
    let point = (whole.len() as i64).saturating_add(exponent);
    let place = |at: usize| point - 1 - at as i64;
    let weight = place(first).div_euclid(GROUP);
    let groups = weight - place(last).div_euclid(GROUP) + 1;
    let weight = i16::try_from(weight).map_err(|_| Fault::Range)?;
    let groups = u16::try_from(groups).map_err(|_| Fault::Range)?;
    put_header(groups, weight, if negative { NEGATIVE } else { 0 }, scale, out);

    let mut group = 0_u16;
    let mut left = place(first).rem_euclid(GROUP); // digits of this group still to come
    for digit in whole.bytes().chain(fraction.bytes()).skip(first).take(last - first + 1) {
        group = group * 10 + u16::from(digit - b'0');
        if left == 0 {
            out.put_u16(group);
            (group, left) = (0, GROUP);
        }
        left -= 1;
    }
    if left < GROUP - 1 {
        out.put_u16((0..=left).fold(group, |group, _| group * 10));
    }
    Ok(())
}

/// The number as the server would print it, with all digits of its scale; none if it is not one.
pub(super) fn read(bytes: &[u8]) -> Option<Box<str>> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight, sign, scale) = (word(0), word(2) as i16, word(4), usize::from(word(6)));
    let (groups, rest) = digits.as_chunks::<2>();
    if groups.len() != usize::from(count) || !rest.is_empty() {
        return None;
    }
    match sign {
        0 | NEGATIVE => {}
        NAN => return Some("NaN".into()),
        INFINITY => return Some("Infinity".into()),
        MINUS_INFINITY => return Some("-Infinity".into()),
        _ => return None,
    }
    // The group of a weight; those that are not sent are 0.
    let group = |at: i32| {
        let index = usize::try_from(i32::from(weight) - at).ok();
        let sent = index.and_then(|index| groups.get(index));
        u16::from_be_bytes(sent.copied().unwrap_or_default())
    };
    let whole = usize::try_from(weight).map_or(1, |weight| (weight + 1) * 4);
    let mut text = String::with_capacity(whole + scale + 6);
    if sign == NEGATIVE {
        text.push('-');
    }
    let start = text.len();
    (0..=i32::from(weight)).rev().for_each(|at| push(group(at), &mut text));
    let zeros = text[start..].bytes().take_while(|digit| *digit == b'0').count();
    text.drain(start..start + zeros);
    if text.len() == start {
        text.push('0');
    }
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        (1..).take(scale.div_ceil(4)).for_each(|at: i32| push(group(-at), &mut text));
        text.truncate(end);
    }
    Some(text.into())
}

/// Four digits.
fn push(group: u16, text: &mut String) {
    for unit in [1_000, 100, 10, 1] {
        text.push(char::from(b'0' + (group / unit % 10) as u8));
    }
}

/// A float as text, without an allocation: at most 24 bytes, `-1.7976931348623157e-308`.
#[derive(Default)]
struct Short {
    bytes: [u8; 24],
    used: usize,
}

impl Short {
    fn as_str(&self) -> &str {
        // Only whole strings are appended.
        std::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.used + text.len();
        self.bytes.get_mut(self.used..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: Value<'_>) -> Result<Vec<i32>, Fault> {
        let mut out = BytesMut::new();
        put(value, &mut out)?;
        let word = |pair: &[u8]| i16::from_be_bytes([pair[0], pair[1]]).into();
        Ok(out.chunks(2).map(word).collect())
    }

    fn round(value: Value<'_>) -> String {
        let mut out = BytesMut::new();
        put(value, &mut out).unwrap();
        read(&out).unwrap().into()
    }

    #[test]
    fn digits_are_grouped_around_the_point() {
        let decimal = |text| words(Value::Decimal(text)).unwrap();
        assert_eq!(decimal("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(decimal("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(decimal("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(decimal("-1.5e5"), [1, 1, 0x4000, 0, 15]);
    }

    #[test]
    fn text_survives_with_its_scale() {
        for (text, wanted) in [
            ("0", "0"),
            ("-0.00", "0.00"),
            ("000.100", "0.100"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+12.50", "12.50"),
            ("1.50e1", "15.0"),
            ("1.5e-3", "0.0015"),
            ("12e3", "12000"),
            ("100000000", "100000000"),
            ("0.0001", "0.0001"),
            ("99999999.99999999", "99999999.99999999"),
            ("nan", "NaN"),
            ("-INF", "-Infinity"),
            ("+infinity", "Infinity"),
        ] {
            assert_eq!(round(Value::Decimal(text)), wanted, "{text}");
        }
        let long = format!("-{}.{}1", "9".repeat(1_000), "0".repeat(1_000));
        assert_eq!(round(Value::Decimal(&long)), long);
        let padded = format!("{}7", "0".repeat(1_000_000));
        assert_eq!(round(Value::Decimal(&padded)), "7");
    }

    #[test]
    fn any_digits_survive() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let digits: String = (0..random.usize(1..20))
                .map(|_| *random.choice(b"0001259").unwrap() as char)
                .collect();
            let point = random.usize(0..=digits.len());
            let text = format!("1{}.{}5", &digits[..point], &digits[point..]);
            assert_eq!(round(Value::Decimal(&text)), text);
            let number = random.i64(..) >> random.u32(..64);
            assert_eq!(round(Value::I64(number)), number.to_string());
        }
    }

    #[test]
    fn numbers_are_exact() {
        for number in [0, 1, -1, 9_999, 10_000, 100_000_000, i64::MIN, i64::MAX] {
            assert_eq!(round(Value::I64(number)), number.to_string());
        }
        assert_eq!(round(Value::U64(u64::MAX)), u64::MAX.to_string());
        assert_eq!(words(Value::U64(100_000_000)).unwrap(), [1, 2, 0, 0, 1]);
        assert_eq!(round(Value::F64(0.1)), "0.1");
        assert_eq!(round(Value::F64(-0.0)), "0");
        for number in [f64::MAX, f64::MIN_POSITIVE, -f64::MIN_POSITIVE, 5e-324, 1e300, 1.0 / 3.0] {
            assert_eq!(round(Value::F64(number)).parse(), Ok(number));
        }
        assert_eq!(round(Value::F64(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(round(Value::F64(f64::NAN)), "NaN");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "+-1", "1.2.3", "1e", "e5", "1e1.5", " 1", "1_000", "-NaN", "½"]
        {
            assert_eq!(words(Value::Decimal(text)), Err(Fault::Form), "{text}");
        }
        for text in ["1e131073", "1e-20000", "1e99999999999", "1e2147483647", "1e-2147483648"] {
            assert_eq!(words(Value::Decimal(text)), Err(Fault::Range), "{text}");
        }
        assert_eq!(words(Value::Text("1")), Err(Fault::Type));
    }

    #[test]
    fn broken_bytes_are_no_number() {
        for bytes in
            [&[][..], &[0; 7], &[0; 9], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0, 0, 0]]
        {
            assert_eq!(read(bytes), None);
        }
    }
}
