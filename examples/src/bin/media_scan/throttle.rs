//! Giving way: reading files pauses while the pool is pressed, so that pages stay fast.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Up to here everybody is served at once: 0.5 is every connection in use and nobody waiting.
const CALM: f64 = 0.5;
/// How often it looks again.
const STEP: Duration = Duration::from_millis(5);
/// A pause ends after this in any case: a pool that others keep busy makes a scan slow, not stuck.
const LONGEST: Duration = Duration::from_millis(250);

/// Waits until the pressure is gone, and says how long that took.
///
/// Dropping it ends the pause.
pub(crate) async fn give_way(pressure: impl Fn() -> f64) -> Duration {
    let begun = Instant::now();
    while pressure() > CALM && begun.elapsed() < LONGEST {
        sleep(STEP).await;
    }
    begun.elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_calm_pool_costs_nothing() {
        assert_eq!(give_way(|| 0.5).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_as_soon_as_the_queue_is_gone() {
        let looks = Cell::new(0);
        let pressure = || {
            looks.set(looks.get() + 1);
            if looks.get() < 4 { 0.6 } else { 0.5 }
        };
        assert_eq!(give_way(pressure).await, 3 * STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_waits_for_ever() {
        assert_eq!(give_way(|| 1.0).await, LONGEST);
    }
}
