//! Durations as people write them in settings: `"30s"`, `"1h30m"`, `"1.5h"`, or a number of seconds.

use std::fmt;
use std::time::Duration;

/// Units with their names. There are none of the calendar: `15M` would be 15 months, and was meant as
/// minutes.
const UNITS: [(u128, &[&str]); 8] = [
    (604_800_000_000_000, &["w", "week", "weeks"]),
    (86_400_000_000_000, &["d", "day", "days"]),
    (3_600_000_000_000, &["h", "hr", "hrs", "hour", "hours"]),
    (60_000_000_000, &["m", "min", "mins", "minute", "minutes"]),
    (1_000_000_000, &["s", "sec", "secs", "second", "seconds"]),
    (1_000_000, &["ms", "msec", "millis", "millisecond", "milliseconds"]),
    (1_000, &["us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"]),
    (1, &["ns", "nsec", "nanos", "nanosecond", "nanoseconds"]),
];

/// Reads a duration: numbers with units (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w` and their long
/// forms), one after the other, or a number alone, which is in seconds. What is less than a
/// nanosecond is left out.
///
/// ```
/// use std::time::Duration;
/// use pool_core::duration::parse;
///
/// assert_eq!(parse("1h30m"), parse("1.5 hours"));
/// assert_eq!(parse("0.25"), Ok(Duration::from_millis(250)));
/// assert!(parse("15M").unwrap_err().to_string().contains("such as \"15m\""));
/// ```
///
/// # Errors
/// What would be right, where it is none: another text, a negative number, months and years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut left = text.trim();
    if left.is_empty() {
        return Err(DurationError("it is empty".into()));
    }
    let (mut nanos, mut is_first) = (0_u128, true);
    while !left.is_empty() {
        let number = cut(&mut left, |c| c.is_ascii_digit() || c == '.');
        let unit = cut(&mut left, char::is_alphabetic);
        let size = match UNITS.iter().find(|(_, names)| names.contains(&unit)) {
            Some((size, _)) => *size,
            None if unit.is_empty() && is_first && left.is_empty() => 1_000_000_000,
            None if unit.is_empty() => return Err(DurationError("a unit is missing".into())),
            None => return Err(DurationError(format!("{unit:?} is no unit"))),
        };
        let part = scaled(number, size).and_then(|part| nanos.checked_add(part));
        nanos =
            part.ok_or_else(|| DurationError(format!("{number:?} is no number or too large")))?;
        is_first = false;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000);
    let seconds = seconds.map_err(|_| DurationError("it is too large".into()))?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// Takes what fits off the beginning, and the spaces after it.
fn cut<'t>(left: &mut &'t str, fits: impl Fn(char) -> bool) -> &'t str {
    let (taken, rest) = left.split_at(left.find(|c| !fits(c)).unwrap_or(left.len()));
    *left = rest.trim_start();
    taken
}

/// A decimal number of units, in nanoseconds.
fn scaled(number: &str, size: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    let mut nanos = whole.checked_mul(size)?;
    let mut digit = size;
    for c in fraction.chars() {
        // Exact as far as the unit is divisible by ten; beyond that less than a nanosecond is lost.
        nanos = nanos.checked_add(digit * u128::from(c.to_digit(10)?) / 10)?;
        digit /= 10;
    }
    Some(nanos)
}

/// Writes a duration so that [`parse`] reads the same: `"1h30m"`, `"250ms"`, `"0s"`.
pub fn print(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".into();
    }
    let mut left = duration.as_nanos();
    let mut text = String::new();
    for (size, names) in &UNITS[1..] {
        if left >= *size {
            text += &format!("{}{}", left / size, names[0]);
            left %= size;
        }
    }
    text
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "want a duration such as \"15m\", \"1h30m\" or a number of seconds ({})", self.0)
    }
}

impl std::error::Error for DurationError {}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_languages_durations_are_read() {
        for (text, seconds) in [
            ("1h0m0s", 3600.0), // Go prints so
            ("1m30s", 90.0),
            ("300ms", 0.3),
            ("1.5h", 5400.0),
            (" 30 ", 30.0),
            ("1d 12 h", 129_600.0),
            (".5s", 0.5),
            ("1.2345678909s", 1.234_567_89),
            ("2.5", 2.5),
            ("15 minutes", 900.0),
            ("0", 0.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in [
            "",
            "soon",
            "-1",
            "1H",
            "1y",
            "inf",
            "NaN",
            "1e300",
            "5 s 3",
            "1M30s",
            ".",
            "1..5s",
            "1.5.5s",
            "s",
            "5 5s",
            "1s,",
            "99999999999999999999s",
            "18446744073709551615.9s 0.1s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(seconds: u64, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn nothing_panics(text in "\\PC*|[0-9.e+-]{1,30}[a-zA-Z]{0,6}") {
            let _ = parse(&text);
        }
    }
}
