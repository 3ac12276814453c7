//! Durations as Go prints them.

use std::time::Duration;

/// As Go's `Duration.String`: `"0s"`, `"1.5ms"`, `"1m30s"`, `"1h0m0s"`.
///
/// ```
/// # use std::time::Duration;
/// # use pool_metrics::json::go_duration;
/// assert_eq!(go_duration(Duration::from_millis(90_500)), "1m30.5s");
/// ```
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return decimal(nanos, 1_000) + "µs",
        1_000_000..1_000_000_000 => return decimal(nanos, 1_000_000) + "ms",
        _ => {}
    }
    let minutes = duration.as_secs() / 60;
    let seconds = decimal(nanos - u128::from(minutes) * 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// So many units, with as many decimals as it takes.
fn decimal(nanos: u128, unit: u128) -> String {
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_go_prints() {
        // By fmt.Println of time.Duration(n).
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_100, "1.1µs"),
            (999_999, "999.999µs"),
            (1_000_000, "1ms"),
            (1_500_000, "1.5ms"),
            (20_000_001, "20.000001ms"),
            (1_000_000_000, "1s"),
            (1_000_000_001, "1.000000001s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (90_050_000_000, "1m30.05s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
            (360_061_000_000_000, "100h1m1s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(go_duration(Duration::MAX), "5124095576030431h0m15.999999999s");
    }
}
