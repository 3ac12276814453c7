//! How many connections: the formulas people use, as functions.
//!
//! None of them knows the load; they start a measurement and cannot end it. What they have in
//! common is that pools are smaller than most people think: more connections than the server can
//! work on at once only move the queue from the pool, which is fair and has a deadline, into the
//! server.
//!
//! | what is known | function |
//! |---|---|
//! | requests at once, time of a query, the wait that is fine | [`pool_size_for`] |
//! | requests a second, time a connection is held | [`littles_law`], [`size_for_load`] |
//! | the server's cores | [`cores_and_spindles`] |
//! | connections that one task holds at once | [`deadlock_floor`] |
//! | the server's `max_connections` | [`share_of_server`], [`per_instance`], [`fleet_budget`] |
//! | what a connect takes | [`time_saved`] |
//!
//! All are pure. Sizes are whole connections, at least 1 and at most `u32::MAX`; numbers that make
//! no sense are a [`SizingError`], which says what would be right.

mod fleet;
mod load;

use std::fmt;

pub use fleet::{FleetBudget, ServerLimits, fleet_budget};
pub use load::{littles_law, pool_size_for, size_for_load, time_saved};

/// A number of which no size can be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizingError {
    /// Which one.
    pub quantity: &'static str,
    /// What it is.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

impl SizingError {
    fn new(quantity: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self { quantity, value: value.to_string(), expected: expected.into() }
    }
}

impl fmt::Display for SizingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, must be {}", self.quantity, self.value, self.expected)
    }
}

impl std::error::Error for SizingError {}

/// Connections that keep a *server* of so many cores and disks busy: `cores x 2 + spindles`,
/// rounded down. It is of the server's cores, and of all connections to it together. Spindles are
/// those that have to move: 0 if the data is in memory, and for solid state disks there is no good
/// figure.
///
/// Source: HikariCP's wiki, "About Pool Sizing", which has it from the PostgreSQL project.
///
/// # Errors
/// If the cores are not finite and above zero.
///
/// ```
/// use pool_config::sizing::cores_and_spindles;
///
/// assert_eq!(cores_and_spindles(4.0, 1), Ok(9));
/// assert_eq!(cores_and_spindles(1.5, 0), Ok(3));
/// assert_eq!(cores_and_spindles(0.2, 0), Ok(1));
/// ```
pub fn cores_and_spindles(cores: f64, spindles: u32) -> Result<u32, SizingError> {
    if !cores.is_finite() || cores <= 0.0 {
        return Err(SizingError::new("cores", cores, "finite and above zero"));
    }
    Ok(down(2.0 * cores + f64::from(spindles)).max(1))
}

/// The least size at which so many threads (or tasks), each of which holds so many connections at
/// once, cannot all wait for their last one: `threads x (connections_each - 1) + 1`. It says
/// nothing of speed. None of either counts as one; what exceeds `u32::MAX` counts as that.
///
/// Source: HikariCP's wiki, "About Pool Sizing", under pool-locking.
///
/// ```
/// use pool_config::sizing::deadlock_floor;
///
/// assert_eq!(deadlock_floor(3, 4), 10); // 3 x (4 - 1) + 1
/// assert_eq!(deadlock_floor(8, 1), 1);
/// ```
pub fn deadlock_floor(threads: u32, connections_each: u32) -> u32 {
    let all_but_one = connections_each.saturating_sub(1);
    threads.max(1).saturating_mul(all_but_one).saturating_add(1)
}

/// This part of a server's connections, rounded down. From 0.2 to 0.3 for one application is usual,
/// where nobody knows what else connects; who knows it takes [`fleet_budget`].
///
/// Source: a rule of thumb. 0.3 of PostgreSQL's default of 100 is 30, of MySQL's 151 it is 45.
///
/// # Errors
/// If the fraction is not above 0 and at most 1, or what it leaves is less than a connection.
///
/// ```
/// use pool_config::sizing::share_of_server;
///
/// assert_eq!(share_of_server(100, 0.2), Ok(20));
/// assert_eq!(share_of_server(151, 0.3), Ok(45));
/// assert!(share_of_server(3, 0.3).is_err());
/// ```
pub fn share_of_server(max_connections: u32, fraction: f64) -> Result<u32, SizingError> {
    match down(f64::from(max_connections) * self::fraction("fraction", fraction)?) {
        0 => {
            let expected = format!("at least {}, for one connection", up(1.0 / fraction));
            Err(SizingError::new("max_connections", max_connections, expected))
        }
        size => Ok(size),
    }
}

/// What each of so many instances may open if this part of a server's connections is left alone:
/// `max_connections x (1 - headroom) / instances`, rounded down. [`fleet_budget`] is more exact.
///
/// Source: arithmetic; the sum of all pools must stay below what the server takes.
///
/// # Errors
/// If there are no instances, the headroom is not from 0 to below 1, or there is less than a
/// connection for each.
///
/// ```
/// use pool_config::sizing::per_instance;
///
/// assert_eq!(per_instance(100, 4, 0.1), Ok(22)); // 100 x 0.9 / 4 = 22.5
/// assert!(per_instance(100, 200, 0.1).is_err());
/// ```
pub fn per_instance(
    max_connections: u32,
    instances: u32,
    headroom: f64,
) -> Result<u32, SizingError> {
    if !(0.0..1.0).contains(&headroom) {
        return Err(SizingError::new("headroom", headroom, "from 0 to below 1"));
    }
    if instances == 0 {
        return Err(SizingError::new("instances", 0, "at least 1"));
    }
    match down(f64::from(max_connections) * (1.0 - headroom) / f64::from(instances)) {
        0 => {
            let least = up(f64::from(instances) / (1.0 - headroom));
            let expected = format!("at least {least}, for one connection each");
            Err(SizingError::new("max_connections", max_connections, expected))
        }
        size => Ok(size),
    }
}

fn fraction(quantity: &'static str, value: f64) -> Result<f64, SizingError> {
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err(SizingError::new(quantity, value, "above 0 and at most 1"))
    }
}

/// Rounds up to connections, at least 1. A float's last digits are no connection: 100 x 0.07 is 7.
fn up(size: f64) -> u32 {
    (size * (1.0 - 1e-12)).ceil().max(1.0) as u32 // `as` stays within u32
}

/// Rounds down to connections, in the same way: 100 x 0.29 is 29.
pub(crate) fn down(size: f64) -> u32 {
    (size * (1.0 + 1e-12)).floor() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_floats_last_digits_are_no_connection() {
        assert_eq!(size_for_load(100.0, 70 * MS, 1.0), Ok(7));
        assert_eq!(share_of_server(100, 0.29), Ok(29));
        assert_eq!(per_instance(10, 1, 0.9), Ok(1));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_says_what_would() {
        let text = |result: Result<u32, SizingError>| result.unwrap_err().to_string();
        assert_eq!(
            text(pool_size_for(1, MS, Duration::ZERO)),
            "acceptable_wait is 0s, must be more than zero"
        );
        let want = "must be finite and above zero";
        assert_eq!(text(cores_and_spindles(f64::INFINITY, 0)), format!("cores is inf, {want}"));
        assert_eq!(text(cores_and_spindles(0.0, 9)), format!("cores is 0, {want}"));
        assert_eq!(
            text(size_for_load(1.0, MS, 0.0)),
            "utilisation is 0, must be above 0 and at most 1"
        );
        assert_eq!(
            text(share_of_server(3, 0.3)),
            "max_connections is 3, must be at least 4, for one connection"
        );
        assert_eq!(
            text(per_instance(10, 20, 0.5)),
            "max_connections is 10, must be at least 40, for one connection each"
        );
        assert_eq!(text(per_instance(10, 0, 0.5)), "instances is 0, must be at least 1");
    }

    #[test]
    fn the_ends_of_the_numbers_are_no_trap() {
        assert_eq!(pool_size_for(u32::MAX, Duration::MAX, Duration::MAX), Ok(u32::MAX));
        assert_eq!(pool_size_for(0, Duration::MAX, Duration::ZERO), Ok(1));
        assert_eq!(size_for_load(f64::MAX, Duration::MAX, f64::MIN_POSITIVE), Ok(u32::MAX));
        assert_eq!(deadlock_floor(u32::MAX, u32::MAX), u32::MAX);
        assert_eq!((deadlock_floor(0, 0), deadlock_floor(0, 2)), (1, 2));
        assert_eq!(time_saved(u64::MAX, Duration::MAX), Duration::MAX);
        assert_eq!(time_saved(0, Duration::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_size_is_ever_zero(
            count in any::<u32>(), other in any::<u32>(), x in any::<f64>(), y in any::<f64>(),
            nanos in any::<u64>(),
        ) {
            let time = Duration::from_nanos(nanos);
            for size in [
                pool_size_for(count, time, Duration::from_nanos(other.into())),
                size_for_load(x, time, y),
                cores_and_spindles(x, count),
                Ok(deadlock_floor(count, other)),
                share_of_server(count, x),
                per_instance(count, other, x),
            ] {
                prop_assert_ne!(size, Ok(0));
            }
        }
    }
}
