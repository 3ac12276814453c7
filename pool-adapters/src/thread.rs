//! Calls that block, each on a plain thread of its own, awaited.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use crate::AdapterError;

/// How many threads there are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads(Arc<AtomicUsize>);

impl Threads {
    pub(crate) fn running(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Runs this on a thread of its own. It begins at once; dropping the future leaves it alone,
    /// and its result is then dropped on its thread. A panic goes on in the caller.
    ///
    /// # Errors
    /// If the system gives no thread; then the call is dropped here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AdapterError> {
        let (give, take) = oneshot::channel();
        let running = Running::new(self);
        let body = move || {
            let outcome = catch_unwind(AssertUnwindSafe(call));
            // Not among the threads when its caller goes on.
            drop(running);
            if let Err(nobody) = give.send(outcome) {
                // Its end may panic, and nobody is there to be told.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(nobody)));
            }
        };
        let thread = std::thread::Builder::new().name("pool-r2d2".into()).spawn(body);
        thread.map_err(|error| AdapterError::NoThread(error.to_string().into()))?;
        match take.await.expect("the thread always answers") {
            Ok(value) => Ok(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Counts a thread while it runs.
struct Running(Threads);

impl Running {
    fn new(threads: &Threads) -> Self {
        threads.0.fetch_add(1, Ordering::Relaxed);
        Self(threads.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drops this, which may block: on a thread of its own, where that is needed and can be had.
pub(crate) fn drop_aside<T: Send + 'static>(value: T, needed: bool) {
    if needed {
        // Where there is no thread the closure is dropped here, and the value with it.
        let _ = std::thread::Builder::new().name("pool-r2d2".into()).spawn(move || drop(value));
    }
}
