//! [`hard_deadline`]: a test that hangs is a test that fails.

use std::sync::Once;
use std::time::Duration;

/// Ends this process as failed, should it still run after `POOL_TEST_SECONDS` seconds (300 without
/// that). To be called by any of its tests, as often as they like: the first call counts.
///
/// A paused clock hides a hang, and a loop that never waits cannot be stopped from within; this ends
/// both.
///
/// # Panics
/// If `POOL_TEST_SECONDS` is no number.
pub fn hard_deadline() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let given = std::env::var("POOL_TEST_SECONDS").ok();
        let seconds = given.map_or(300, |text| text.parse().expect("POOL_TEST_SECONDS: a number"));
        let watch = move || {
            let begun = tokio::time::Instant::now();
            while begun.elapsed() < Duration::from_secs(seconds) {
                std::thread::park_timeout(Duration::from_secs(1));
            }
            eprintln!("the tests hang: no end after {seconds} s");
            std::process::exit(1);
        };
        drop(std::thread::spawn(watch));
    });
}
