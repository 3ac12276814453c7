//! Calls that block, each on a plain thread of its own, awaited.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pool_core::on_async_worker;
use tokio::sync::oneshot;

use crate::AdapterError;

/// How many threads there are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads(Arc<AtomicUsize>);

impl Threads {
    pub(crate) fn running(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Runs this on a thread of its own. It begins when this is first polled; dropping the future
    /// leaves it alone, and its result is then dropped on its thread. A panic goes on in the
    /// caller.
    ///
    /// # Errors
    /// If the system gives no thread; then the call is dropped here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AdapterError> {
        let (give, take) = oneshot::channel();
        let running = Running::new(self);
        spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(call));
            // Not among the threads any more when its caller goes on.
            drop(running);
            if let Err(nobody) = give.send(outcome) {
                // Its end may panic, and nobody is there to be told.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(nobody)));
            }
        })?;
        match take.await.expect("the thread always answers") {
            Ok(value) => Ok(value),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Drops this, which may block: on a thread of its own if it is an async worker that asks, and
    /// if there is a thread to be had. Nobody hears of a panic.
    pub(crate) fn drop_aside<T: Send + 'static>(&self, value: T) {
        let running = Running::new(self);
        let end = move || {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
            drop(running);
        };
        if on_async_worker() {
            let _ = spawn(end);
        } else {
            end();
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), AdapterError> {
    let thread = std::thread::Builder::new().name("pool-r2d2".into()).spawn(body);
    thread.map(drop).map_err(|error| AdapterError::NoThread(error.to_string().into()))
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
