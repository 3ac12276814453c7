//! Ours: statistics are on, as always; once more with an observer, with a monitor, and with a monitor
//! that is scraped all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::{
    Acquired, Builder, Condition, ConnectContext, ManagedGuard, ManagedPool, Metrics, Released,
};

use pool_metrics::{Monitor, prometheus};

use super::{Blocking, Pool, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct Ours(ManagedPool<Manager>);

/// With an observer that counts.
#[derive(Clone)]
pub(crate) struct Observed(ManagedPool<Manager>);

/// With all that a monitor is told, operations by name, and a sample each second; `SCRAPED`: and its
/// metrics are read each 100 ms.
#[derive(Clone)]
pub(crate) struct Watched<const SCRAPED: bool>(
    ManagedPool<Manager>,
    #[expect(dead_code, reason = "it is watched as long as there is one")] Arc<Monitor>,
);

pub(crate) struct Manager(Server);

impl pool_core::Manager for Manager {
    type Connection = Session;
    type Error = Gone;

    async fn connect(&self, _: &ConnectContext) -> Result<Session, Gone> {
        self.0.connect().await
    }
    async fn ping(&self, session: &mut Session) -> Result<(), Gone> {
        session.ping().await
    }
    fn condition(&self, session: &mut Session) -> Condition {
        match session.has_failed() {
            true => Condition::Broken(pool_core::Cause::Disconnected),
            false => Condition::Clean,
        }
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Metrics for Counting {
    fn acquired(&self, _: &Acquired<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn released(&self, _: &Released<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn builder(server: &Server, settings: Settings) -> Builder<Manager> {
    let builder = ManagedPool::builder(Manager(server.clone()));
    let builder = builder.max_size(settings.max).min_size(settings.min);
    let builder = builder.acquire_timeout(settings.timeout);
    match settings.lifetime {
        Some(lifetime) => builder.max_lifetime(lifetime),
        None => builder,
    }
}

async fn ready(builder: Builder<Manager>) -> ManagedPool<Manager> {
    let pool = builder.build().expect("the settings are valid");
    pool.ready().await.expect("the server is there");
    pool
}

impl Pool for Ours {
    const NAME: &'static str = "ours";
    type Guard = ManagedGuard<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        Self(ready(builder(server, settings)).await)
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.acquire().await.ok()
    }
}

impl Pool for Observed {
    const NAME: &'static str = "ours, observed";
    type Guard = ManagedGuard<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let counting = Arc::new(Counting::default());
        Self(ready(builder(server, settings).metrics(counting)).await)
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.acquire().await.ok()
    }
}

impl<const SCRAPED: bool> Pool for Watched<SCRAPED> {
    const NAME: &'static str =
        if SCRAPED { "ours, monitored and scraped" } else { "ours, monitored" };
    type Guard = ManagedGuard<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let monitor = Arc::new(Monitor::new());
        let pool = ready(builder(server, settings).metrics(monitor.metrics())).await;
        monitor.watch("pool", [pool.view()]);
        tokio::spawn(monitor.run());
        if SCRAPED {
            let scraped = Arc::downgrade(&monitor);
            std::thread::spawn(move || {
                while let Some(monitor) = scraped.upgrade() {
                    std::hint::black_box(prometheus::text(&monitor));
                    drop(monitor);
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        Self(pool, monitor)
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.acquire().operation("list_plots").await.ok()
    }
}

impl Blocking for Ours {
    const BLOCKING: &'static str = "ours";
    type Blocked = ManagedGuard<Manager>;

    fn new_blocking(server: &Server, settings: Settings) -> Self {
        Self(builder(server, settings).build().expect("the settings are valid"))
    }

    fn get_blocking(&self) -> Option<Self::Blocked> {
        self.0.blocking().acquire().ok()
    }
}
