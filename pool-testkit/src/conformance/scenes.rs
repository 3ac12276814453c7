//! What several cases do alike: a connection taken, a pool warmed, a passer-by, a thread.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pool_core::{AcquireError, AcquireErrorKind, ManagedPool, PoolConfig, PoolGuard, Request};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, spawn_blocking};

use super::harness::{Cannot, Connection, Faulted, Harness, Outcome, SharedPool};
use super::trial::Trial;

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl<H: Harness> Trial<H> {
    /// Our own pool, and the same as an object.
    pub(super) fn own(
        &self,
        config: PoolConfig,
    ) -> Result<(ManagedPool<Faulted<H>>, SharedPool<H>), Cannot> {
        let pool = self.managed(config)?.build().expect("cases make valid settings");
        let object = Arc::new(pool.clone());
        Ok((pool, object))
    }

    /// Takes one connection that works.
    pub(super) async fn one(&self, pool: &SharedPool<H>) -> PoolGuard<Connection<H>> {
        self.hold(pool, 1).await.pop().expect("it holds one")
    }

    /// Opens this many connections and leaves them idle.
    pub(super) async fn warm(&self, pool: &SharedPool<H>, count: u32) {
        drop(self.hold(pool, count).await);
    }

    /// Acquires in a task of its own and gives back at once.
    pub(super) fn pass_by(&self, pool: &SharedPool<H>) -> JoinHandle<Result<(), AcquireError>> {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire_with(Request::new()).await.map(drop) })
    }

    /// Waits for somebody to whom a panic may be told, or an error, or nothing; but in time.
    pub(super) async fn told_in_time(&self, asked: JoinHandle<Result<(), AcquireError>>) {
        match asked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => assert_ne!(error.kind(), AcquireErrorKind::TimedOut, "{error}"),
            Err(ended) => assert!(ended.is_panic(), "{ended}"),
        }
    }
}

/// Runs a case on a plain thread, outside any runtime, under a deadline in real time. The runtime
/// of the case goes on meanwhile, for harnesses that live on it.
pub(super) async fn on_a_thread<H: Harness>(
    trial: Trial<H>,
    run: impl FnOnce(&Trial<H>) -> Outcome + Send + 'static,
) -> Outcome {
    let (sender, receiver) = channel();
    let trial = Arc::new(trial);
    let theirs = trial.clone();
    let thread = std::thread::spawn(move || drop(sender.send(run(&theirs))));
    let deadline = Duration::from_secs(40);
    let received = spawn_blocking(move || receiver.recv_timeout(deadline)).await;
    match received.expect("receiving does not panic") {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: no end after {deadline:?}"),
        Err(RecvTimeoutError::Disconnected) => {
            resume_unwind(thread.join().expect_err("it sent nothing"))
        }
    }
}

/// A runtime on the thread that blocks on it, with a clock that goes.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}
