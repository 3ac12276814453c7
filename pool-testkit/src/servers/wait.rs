//! Waiting for what another process does, by looking until a deadline.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is an answer; none after about this time.
pub(super) fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // Looks are counted, since tokio's clock may stand still on this thread, and the system's may
    // be set. A look takes time too, so the limit is the least that is waited.
    let looks = limit.as_millis() / PAUSE.as_millis() + 1;
    for _ in 0..looks {
        if let Some(answer) = look() {
            return Some(answer);
        }
        pause();
    }
    None
}

/// Not by parking the thread: that could take a wake-up from the runtime that runs on it.
fn pause() {
    let nothing = Mutex::new(());
    let guard = nothing.lock().unwrap_or_else(PoisonError::into_inner);
    drop(Condvar::new().wait_timeout(guard, PAUSE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_there_is_an_answer_or_no_time() {
        let mut looks = 0;
        let third = until(Duration::from_secs(60), || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!(third, Some("here"));
        assert_eq!(until(Duration::from_millis(20), || None::<()>), None);
    }
}
