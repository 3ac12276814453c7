//! Sizes by the load: requests, and how long each needs a connection.

use std::time::Duration;

use super::{SizingError, fraction, up};

/// Connections with which so many requests that come at once have all been served after the wait
/// that is fine: `concurrent_requests x average_query_time / acceptable_wait`, rounded up. Never
/// more than there are requests: with one connection each, none waits.
///
/// Source: the closed queue's service time, requests x time / connections. Queries shorter or
/// longer than the average, and requests that come later, are not in it.
///
/// # Errors
/// If the acceptable wait is zero, unless nothing needs a connection.
///
/// ```
/// use std::time::Duration;
/// use pool_config::sizing::pool_size_for;
///
/// let ms = Duration::from_millis;
/// assert_eq!(pool_size_for(100, ms(50), ms(100)), Ok(50)); // (100 x 50 ms) / 100 ms
/// assert_eq!(pool_size_for(100, ms(50), ms(300)), Ok(17)); // 16.7, rounded up
/// assert_eq!(pool_size_for(100, ms(50), ms(10)), Ok(100)); // not 500
/// assert!(pool_size_for(100, ms(50), ms(0)).is_err());
/// ```
pub fn pool_size_for(
    concurrent_requests: u32,
    average_query_time: Duration,
    acceptable_wait: Duration,
) -> Result<u32, SizingError> {
    let work = u128::from(concurrent_requests) * average_query_time.as_nanos(); // below 2^126
    if work == 0 {
        return Ok(1);
    }
    if acceptable_wait.is_zero() {
        return Err(SizingError::new("acceptable_wait", "0s", "more than zero"));
    }
    let size = work.div_ceil(acceptable_wait.as_nanos());
    Ok(u32::try_from(size).map_or(concurrent_requests, |size| size.min(concurrent_requests)))
}

/// Connections in use on average: `L = lambda x W`, the arrivals a second times the seconds that
/// each holds its connection, thinking between two queries included. A pool of just this size is
/// busy all the time, and its queue grows without end: see [`size_for_load`].
///
/// Source: J. D. C. Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research 9
/// (1961).
///
/// # Errors
/// If the arrivals are not finite, or below zero.
///
/// ```
/// use std::time::Duration;
/// use pool_config::sizing::littles_law;
///
/// assert_eq!(littles_law(200.0, Duration::from_millis(30)), Ok(6.0));
/// assert!(littles_law(f64::NAN, Duration::from_millis(30)).is_err());
/// ```
pub fn littles_law(arrivals_per_second: f64, hold_time: Duration) -> Result<f64, SizingError> {
    if !arrivals_per_second.is_finite() || arrivals_per_second < 0.0 {
        let expected = "finite and not below zero";
        return Err(SizingError::new("arrivals_per_second", arrivals_per_second, expected));
    }
    Ok((arrivals_per_second * hold_time.as_secs_f64()).min(f64::MAX))
}

/// Connections that are busy for this part of the time under this load: [`littles_law`] divided by
/// `utilisation`, rounded up. From 0.7 to 0.8 at the peak is usual: with random arrivals the wait
/// grows as 1 / (1 - utilisation), fivefold at 0.8 and twentyfold at 0.95.
///
/// Source: the M/M/c queue, in any book on queueing theory.
///
/// # Errors
/// As [`littles_law`], or if the utilisation is not above 0 and at most 1.
///
/// ```
/// use std::time::Duration;
/// use pool_config::sizing::size_for_load;
///
/// assert_eq!(size_for_load(200.0, Duration::from_millis(30), 0.75), Ok(8)); // 6 / 0.75
/// assert_eq!(size_for_load(0.0, Duration::from_millis(30), 0.75), Ok(1));
/// ```
pub fn size_for_load(
    arrivals_per_second: f64,
    hold_time: Duration,
    utilisation: f64,
) -> Result<u32, SizingError> {
    let busy = littles_law(arrivals_per_second, hold_time)?;
    Ok(up(busy / fraction("utilisation", utilisation)?))
}

/// What so many requests do not spend connecting, because a pool did it before. What exceeds
/// [`Duration::MAX`] counts as that.
///
/// Source: requests x time of a connect; measure the latter, TLS and login included.
///
/// ```
/// use std::time::Duration;
/// use pool_config::sizing::time_saved;
///
/// // 1,000 requests a minute, 30 ms a connect: 30 s of each minute.
/// assert_eq!(time_saved(1_000, Duration::from_millis(30)), Duration::from_secs(30));
/// ```
pub fn time_saved(requests: u64, per_connect: Duration) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let nanos = per_connect.as_nanos().saturating_mul(requests.into());
    let seconds = u64::try_from(nanos / SECOND);
    seconds.map_or(Duration::MAX, |seconds| Duration::new(seconds, (nanos % SECOND) as u32))
}
