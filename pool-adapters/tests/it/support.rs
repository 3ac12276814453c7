//! What the tests share: short names, a watchdog, and futures dropped after so many looks.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// This, but no longer than any test may take.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(secs(30), work).await.expect("it hangs")
}

/// Waits until this is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let looks = async {
        while !so() {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(secs(30), looks).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Looks at a future so many times, others having their turn in between, and drops it. Whether it
/// was still pending.
pub(crate) async fn dropped_after<T>(looks: usize, work: impl Future<Output = T>) -> bool {
    let mut work = pin!(work);
    for _ in 0..looks {
        let looked = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if looked.is_ready() {
            return false;
        }
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    true
}
