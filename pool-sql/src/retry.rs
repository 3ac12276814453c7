//! [`Retry`]: how often, and after which pauses, a transaction that conflicted is run again.

use std::time::Duration;

use tokio::time::sleep;

/// So often a transaction is tried at most.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Counts the tries of a transaction: up to 10, with pauses in between that double from 2 ms to half
/// a second. For backends.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut retry = pool_sql::Retry::new();
/// let mut tries = 1;
/// while tries < 3 && retry.again().await {
///     tries += 1;
/// }
/// assert_eq!(tries, 3);
/// # }
/// ```
#[derive(Debug)]
pub struct Retry {
    left: u32,
    pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl Retry {
    /// Before the first try.
    pub fn new() -> Self {
        Self { left: ATTEMPTS - 1, pause: FIRST_PAUSE }
    }

    /// After a try that conflicted: waits a while and says yes, or says no at once if those were
    /// enough.
    pub async fn again(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        // Half of it by chance, so that two who met do not meet again.
        sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_are_ten_tries_with_growing_pauses() {
        let (mut retry, mut longest) = (Retry::new(), FIRST_PAUSE);
        for _ in 1..ATTEMPTS {
            let begun = Instant::now();
            assert!(retry.again().await);
            let waited = begun.elapsed();
            // The timer counts in milliseconds, and rounds up.
            let most = longest + Duration::from_millis(1);
            assert!(longest / 2 <= waited && waited <= most, "{waited:?} of {longest:?}");
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        let begun = Instant::now();
        assert!(!retry.again().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
