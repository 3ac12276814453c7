//! [`Trial`]: what a case works with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use pool_core::{AcquireError, Builder, PoolConfig, PoolGuard, Request};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Cannot, Connection, Faulted, Feature, Harness, SharedPool};
use crate::{Faults, FaultyManager, Watch};

/// How long a case may wait for what has to happen at some time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A fresh harness, a plan of faults, and pools made to order.
pub struct Trial<H: Harness> {
    /// The harness.
    pub harness: H,
    /// How the calls of the manager go.
    pub faults: Faults,
    /// What is seen of the connections of all pools of this trial.
    pub watch: Watch,
    manager: Faulted<H>,
}

/// What an acquire comes to.
pub type Acquired<H> = Result<PoolGuard<Connection<H>>, AcquireError>;

impl<H: Harness> Trial<H> {
    /// One for a case of your own; those of the suite are given theirs.
    pub async fn new() -> Self {
        let (harness, faults) = (H::new().await, Faults::none());
        let manager = FaultyManager::new(harness.manager(), faults.clone());
        Self { harness, faults, watch: manager.watch(), manager }
    }

    /// The settings that cases start from: so many connections, a timeout that is long enough for
    /// whatever works, and short pauses after failed connects.
    pub fn config(&self, max_size: u32) -> PoolConfig {
        PoolConfig::new()
            .max_size(max_size)
            .acquire_timeout(PATIENCE)
            .backoff_base(Duration::from_millis(5))
            .backoff_cap(Duration::from_millis(40))
    }

    /// A pool under test.
    ///
    /// # Errors
    /// If the pool under test cannot be made so.
    pub async fn pool(&self, config: PoolConfig) -> Result<SharedPool<H>, Cannot> {
        self.harness.pool(self.manager(), config).await
    }

    /// Our own pool in the making.
    ///
    /// # Errors
    /// If the pool under test is another.
    pub fn managed(&self, config: PoolConfig) -> Result<Builder<Faulted<H>>, Cannot> {
        self.harness.managed(self.manager()).map(|builder| builder.config(config))
    }

    /// A manager with this trial's faults, seen by its watch.
    pub fn manager(&self) -> Faulted<H> {
        self.manager.same_for(self.harness.manager())
    }

    /// Ends the case unless the pool under test can do this.
    ///
    /// # Errors
    /// With the reason.
    pub fn needs(&self, feature: Feature) -> Result<(), Cannot> {
        match self.harness.lacks(feature) {
            None => Ok(()),
            Some(why) => Err(Cannot(why.to_owned())),
        }
    }

    /// What an exact time may be missed by: a tick of a stopped clock, or as much as a busy machine
    /// may take on a real one.
    pub fn slack(&self) -> Duration {
        if H::PAUSED { Duration::from_millis(2) } else { Duration::from_secs(4) }
    }

    /// Checks that this much time has passed since then, give or take.
    #[track_caller]
    pub fn took(&self, since: Instant, expected: Duration) {
        let (elapsed, tick) = (since.elapsed(), Duration::from_millis(2));
        let most = expected + self.slack();
        assert!(elapsed + tick >= expected && elapsed <= most, "{elapsed:?}, not {expected:?}");
    }

    /// Takes this many connections at once, and asks the database something on each.
    pub async fn hold(&self, pool: &SharedPool<H>, count: u32) -> Vec<PoolGuard<Connection<H>>> {
        let mut guards = Vec::new();
        for _ in 0..count {
            let mut guard = pool.acquire_with(Request::new()).await.expect("there is room");
            self.harness.query(&mut guard).await.expect("what is handed out works");
            guards.push(guard);
        }
        guards
    }

    /// Acquires in a task of its own and holds what it gets until told.
    pub fn ask(&self, pool: &SharedPool<H>) -> JoinHandle<Acquired<H>> {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire_with(Request::new()).await })
    }

    /// Acquires until it gets one, for settings under which an acquire may well be too late.
    pub async fn patient(&self, pool: &SharedPool<H>) -> PoolGuard<Connection<H>> {
        let served = async {
            loop {
                match pool.acquire_with(Request::new()).await {
                    Ok(guard) => return guard,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(PATIENCE, served).await.expect("the pool serves again")
    }

    /// Acquires, and fails unless that ends within the given time, well or not.
    pub async fn in_time(&self, within: Duration, acquire: impl Future<Output = Acquired<H>>) {
        let begun = Instant::now();
        let ended = timeout(within + self.slack() + Duration::from_secs(1), acquire).await;
        let elapsed = begun.elapsed();
        assert!(ended.is_ok(), "no end after {elapsed:?}, but the limit is {within:?}");
        assert!(elapsed <= within + self.slack(), "{elapsed:?}, but the limit is {within:?}");
    }

    /// Lets tasks run until they wait for something.
    pub async fn settle(&self) {
        if H::PAUSED {
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
        } else {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until something is so, and fails if it never is.
    #[track_caller]
    pub fn eventually(
        &self,
        what: &'static str,
        mut so: impl FnMut() -> bool + Send,
    ) -> impl Future<Output = ()> + Send {
        let caller = std::panic::Location::caller();
        async move {
            let wait = async {
                while !so() {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            assert!(timeout(PATIENCE, wait).await.is_ok(), "{caller}: never happened: {what}");
        }
    }

    /// Proves a pool usable to its last slot: so many connections can be taken at once, work, and
    /// come back.
    pub async fn usable(&self, pool: &SharedPool<H>, max_size: u32) {
        let guards = self.hold(pool, max_size).await;
        let alive = self.watch.alive();
        assert!(alive >= max_size as usize, "{alive} connections for {max_size} users");
        drop(guards);
        assert_eq!(self.watch.violations(), Vec::<String>::new());
    }
}

impl<H: Harness> fmt::Debug for Trial<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// Polls once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}
