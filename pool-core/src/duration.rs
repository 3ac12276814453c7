//! Durations as people write them in settings: `"30s"`, `"1h30m"`, `"1.5h"`, or a number of seconds.

use std::fmt;
use std::time::Duration;

/// Units of a calendar, whose length differs: `15M` would be 15 months, and was meant as minutes.
const CALENDAR: &[&str] = &["M", "month", "months", "y", "yr", "yrs", "year", "years"];

/// Reads a duration: numbers with units (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w` and their long
/// forms), one after the other, or a number alone, which is in seconds.
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
    let text = text.trim();
    let wrong = |why: &dyn fmt::Display| DurationError(why.to_string());
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| wrong(&error));
    }
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = units.find(|unit| CALENDAR.contains(unit)) {
        return Err(wrong(&format_args!("the length of {unit} differs; m are minutes, d days")));
    }
    humantime::parse_duration(text).map_err(|error| wrong(&error))
}

/// Writes a duration so that [`parse`] reads the same: `"1h30m"`, `"250ms"`, `"0s"`.
pub fn print(duration: Duration) -> String {
    const SIZES: [(u128, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    if duration.is_zero() {
        return "0s".into();
    }
    let mut left = duration.as_nanos();
    let mut text = String::new();
    for (size, unit) in SIZES {
        if left >= size {
            text += &format!("{}{unit}", left / size);
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

#[cfg(test)]
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
            ("2.5", 2.5),
            ("15 minutes", 900.0),
            ("0", 0.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "soon", "-1", "1H", "1y", "inf", "NaN", "1e300", "5 s 3", "1M30s"] {
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
