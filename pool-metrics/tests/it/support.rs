//! A pool under watch.

use std::time::Duration;

use pool_core::{Builder, ManagedPool};
use pool_metrics::Monitor;
use pool_testkit::{FakeManager, FakeServer};

pub(crate) type TestPool = ManagedPool<FakeManager>;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A pool called `plots`, watched under that name.
pub(crate) fn watched(
    monitor: &Monitor,
    max_size: u32,
    set: impl FnOnce(Builder<FakeManager>) -> Builder<FakeManager>,
) -> (FakeServer, TestPool) {
    pool_testkit::hard_deadline();
    let server = FakeServer::new();
    let builder = ManagedPool::builder(server.manager()).max_size(max_size).name("plots").seed(7);
    let pool = set(builder).metrics(monitor.metrics()).build().unwrap();
    monitor.watch("plots", [pool.view()]);
    (server, pool)
}

/// Takes a connection and gives it back, so many times.
pub(crate) async fn rounds(pool: &TestPool, n: usize) {
    for _ in 0..n {
        drop(pool.acquire().operation("list_plots").await.unwrap());
    }
    tokio::time::sleep(ms(1)).await; // what is to be closed is
}
