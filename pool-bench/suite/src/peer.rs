//! [`Peer`]: a pool of another make, as thin as can be behind the suite's [`Pool`].
//!
//! Nothing is put right here: no queue, no deadline and no net for panics stands between the suite
//! and the peer. What the adapter counts itself is who waits, since not all peers tell.

use std::collections::BTreeSet;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::{
    AcquireError, AcquireErrorKind, BoxError, BoxFuture, Builder, CloseReport, Condition,
    ConnectContext, Guarded, Manager as _, Pool, PoolConfig, PoolGuard, Request, Snapshot,
};
use pool_testkit::conformance::{Cannot, Feature, Harness, SharedPool};
use pool_testkit::{
    FakeConnection, FakeError, FakeManager, FakeServer, FaultyConnection, FaultyError,
    FaultyManager,
};
use tokio::time::{Instant, timeout};

/// What peers that take any manager are run on.
pub(crate) type Manager = FaultyManager<FakeManager>;
/// What it makes.
pub(crate) type Connection = FaultyConnection<FakeConnection>;
/// What it fails with.
pub(crate) type Error = FaultyError<FakeError>;

/// Longer than any run, for peers that have no "without limit".
pub(crate) const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A pool of another make.
pub(crate) trait Peer: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;

    /// Takes a connection: within the pool's own time, or within what is asked for here.
    fn get(
        &self,
        within: Option<Option<Duration>>,
    ) -> impl Future<Output = Result<PoolGuard<Self::Connection>, Refused>> + Send;

    /// What the peer tells of itself.
    fn gauges(&self) -> Gauges;

    /// Closes the pool, where there is such a thing.
    fn close(&self) -> impl Future<Output = ()> + Send + 'static;
}

/// What a peer tells of itself.
#[derive(Default)]
pub(crate) struct Gauges {
    pub(crate) max_size: u32,
    pub(crate) idle: u64,
    pub(crate) in_use: u64,
}

/// Why a peer gave no connection.
pub(crate) struct Refused(pub(crate) AcquireErrorKind, pub(crate) Option<BoxError>);

impl Refused {
    pub(crate) fn timed_out() -> Self {
        Self(AcquireErrorKind::TimedOut, None)
    }

    pub(crate) fn closed() -> Self {
        Self(AcquireErrorKind::Closed, None)
    }

    pub(crate) fn connect(error: impl Into<BoxError>) -> Self {
        Self(AcquireErrorKind::Connect, Some(error.into()))
    }
}

/// A peer behind the suite's trait.
pub(crate) struct Adapted<P> {
    peer: P,
    waiting: AtomicU32,
}

impl<P: Peer> Adapted<P> {
    pub(crate) fn shared(peer: P) -> Arc<dyn Pool<Connection = P::Connection>> {
        Arc::new(Self { peer, waiting: AtomicU32::new(0) })
    }
}

impl<P: Peer> Pool for Adapted<P> {
    type Connection = P::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<P::Connection>, AcquireError>> {
        Box::pin(async move {
            let begun = Instant::now();
            let waiting = Waiting::begin(&self.waiting);
            let got = self.peer.get(request.timeout()).await;
            drop(waiting);
            got.map_err(|Refused(kind, error)| {
                let last = error.map(|error| (error, Duration::ZERO));
                AcquireError::foreign(kind, begun.elapsed(), self.snapshot(), [], last)
            })
        })
    }

    fn snapshot(&self) -> Snapshot {
        let gauges = self.peer.gauges();
        let mut snapshot = Snapshot::foreign("peer", gauges.max_size);
        // What has run over is to be seen, not to be wrapped again.
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX / 8);
        snapshot.idle = narrow(gauges.idle);
        snapshot.in_use = narrow(gauges.in_use);
        snapshot.waiting = self.waiting.load(Ordering::Relaxed);
        snapshot
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        let begun = Instant::now();
        let open = self.peer.gauges();
        let mut closing = Box::pin(self.peer.close());
        // Those that close at once do so before anybody waits for it.
        let waker = std::task::Waker::noop();
        let first = closing.as_mut().poll(&mut std::task::Context::from_waker(waker));
        Box::pin(async move {
            let done = first.is_ready() || timeout(within, closing).await.is_ok();
            let left = if done { 0 } else { open.in_use as usize };
            CloseReport::foreign(begun.elapsed(), open.idle, left, [])
        })
    }
}

/// Counts who waits.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Our manager as managers of peers call it: no deadlines, no net.
pub(crate) struct Calls {
    manager: Manager,
    /// The connections whose ping has failed. That they are broken is known without a look, which
    /// would count as a use.
    failed: Mutex<BTreeSet<u64>>,
}

impl Calls {
    pub(crate) fn new(manager: Manager) -> Self {
        Self { manager, failed: Mutex::default() }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        // The fake server goes by them, and a case may make several pools for one server.
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        self.manager.connect(&ConnectContext::new(id, FAR)).await
    }

    pub(crate) async fn ping(&self, connection: &mut Connection) -> Result<(), Error> {
        let pinged = self.manager.ping(connection).await;
        if pinged.is_err() {
            self.failed().insert(FaultyConnection::number(connection));
        }
        pinged
    }

    pub(crate) fn condition(&self, connection: &mut Connection) -> Condition {
        self.manager.condition(connection)
    }

    pub(crate) fn is_unfit(&self, connection: &mut Connection) -> bool {
        let known = self.failed().contains(&FaultyConnection::number(connection));
        known || self.condition(connection) != Condition::Clean
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn manager(&self) -> &Manager {
        &self.manager
    }
}

/// A guard of a peer's that derefs to the connection.
pub(crate) struct Derefs<G> {
    guard: Option<G>,
    give_up: fn(G),
}

impl<G> Derefs<G> {
    pub(crate) fn guard<C>(guard: G, give_up: fn(G)) -> PoolGuard<C>
    where
        G: std::ops::DerefMut<Target = C> + Send + 'static,
    {
        PoolGuard::new(Self { guard: Some(guard), give_up })
    }
}

impl<C, G: std::ops::DerefMut<Target = C> + Send> Guarded<C> for Derefs<G> {
    fn connection(&self) -> &C {
        self.guard.as_ref().expect("it is there until it is dropped")
    }

    fn connection_mut(&mut self) -> &mut C {
        self.guard.as_mut().expect("it is there until it is dropped")
    }

    fn invalidate(mut self: Box<Self>) {
        let guard = self.guard.take().expect("it is there until it is dropped");
        (self.give_up)(guard);
    }
}

/// A peer that takes any manager.
pub(crate) trait Kind: Peer<Connection = Connection> + Sized {
    /// What it does not have, and why.
    fn lacks(feature: Feature) -> Option<&'static str>;

    /// A pool with these settings, as far as the peer has them.
    fn make(manager: Manager, config: &PoolConfig) -> Result<Self, Cannot>;
}

/// The suite's harness for a peer: a fake server, and connections that it can fail.
pub(crate) struct OnFake<K>(FakeServer, PhantomData<fn() -> K>);

impl<K: Kind> Harness for OnFake<K> {
    type Manager = FakeManager;

    async fn new() -> Self {
        Self(FakeServer::new(), PhantomData)
    }

    fn manager(&self) -> FakeManager {
        self.0.manager()
    }

    async fn query(&self, connection: &mut FakeConnection) -> Result<(), BoxError> {
        connection.query().map_err(Into::into)
    }

    async fn break_connection(&self, connection: &mut FakeConnection) {
        self.0.kill(connection.id());
    }

    async fn open_connections(&self) -> usize {
        self.0.held()
    }

    async fn begin(&self, connection: &mut FakeConnection) {
        connection.begin();
    }

    async fn in_transaction(&self, connection: &mut FakeConnection) -> bool {
        connection.in_transaction()
    }

    async fn leave_state(&self, connection: &mut FakeConnection) {
        connection.set("left", "behind");
    }

    async fn has_state(&self, connection: &mut FakeConnection) -> bool {
        connection.setting("left").is_some()
    }

    fn managed(&self, _: Manager) -> Result<Builder<Manager>, Cannot> {
        Err(Cannot(OURS_ONLY.into()))
    }

    async fn pool(&self, manager: Manager, config: PoolConfig) -> Result<SharedPool<Self>, Cannot> {
        unmet(&config, K::lacks)?;
        Ok(Adapted::shared(K::make(manager, &config)?))
    }

    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        K::lacks(feature)
    }
}

/// Why peers have no [`Harness::managed`].
pub(crate) const OURS_ONLY: &str = "it is about controls, hooks or insight that only our pool has";

/// Refuses settings that a peer does not have. Settings that change nothing it would do are fine.
pub(crate) fn unmet(
    config: &PoolConfig,
    lacks: fn(Feature) -> Option<&'static str>,
) -> Result<(), Cannot> {
    let default = PoolConfig::new();
    let shorter = |set: Option<Duration>, default| set.is_some_and(|set| Some(set) < default);
    let set = [
        (config.min_size > 0 && config.min_idle > 0, Feature::Minimums),
        (config.min_size > 0 && config.min_idle == 0, Feature::MinSize),
        (config.min_size == 0 && config.min_idle > 0, Feature::MinIdle),
        (config.max_idle.is_some_and(|most| most < config.max_size), Feature::MaxIdle),
        (
            config.max_connecting != default.max_connecting
                && config.max_connecting < config.max_size,
            Feature::MaxConnecting,
        ),
        (shorter(config.max_lifetime, default.max_lifetime), Feature::Lifetime),
        (shorter(config.idle_timeout, default.idle_timeout), Feature::IdleTimeout),
    ];
    for (set, feature) in set {
        if let Some(why) = lacks(feature).filter(|_| set) {
            return Err(Cannot(why.into()));
        }
    }
    Ok(())
}
