//! What the tests share: short names, a look at everything that has to add up, and a watchdog.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use pool_core::{
    AcquireError, AcquireFailed, Acquired, Builder, CloseReason, Closed, Connected, Leaked,
    ManagedGuard, ManagedPool, Manager, Metrics, Snapshot, Stalled,
};
pub(crate) use pool_testkit::poll_times;
use pool_testkit::{FakeManager, FakeServer};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) type TestPool = ManagedPool<FakeManager>;
pub(crate) type TestGuard = ManagedGuard<FakeManager>;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A pool of `max_size` connections to a server of its own, and no other setting.
pub(crate) fn pool_of(max_size: u32) -> (FakeServer, TestPool) {
    let server = FakeServer::new();
    let pool = builder(&server, max_size).build().unwrap();
    (server, pool)
}

/// A pool in the making that keeps every event, so that [`audit`] can replay it.
pub(crate) fn builder(server: &FakeServer, max_size: u32) -> Builder<FakeManager> {
    pool_testkit::hard_deadline();
    ManagedPool::builder(server.manager()).max_size(max_size).seed(7).flight_recorder(1 << 16)
}

/// Lets every task run until it waits for time to pass or for somebody else.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Takes this many connections at once.
pub(crate) async fn hold(pool: &TestPool, count: usize) -> Vec<TestGuard> {
    let mut guards = Vec::new();
    for _ in 0..count {
        guards.push(pool.acquire().within(secs(60)).await.unwrap());
    }
    guards
}

/// Opens this many connections and leaves them idle.
pub(crate) async fn warm(pool: &TestPool, count: usize) {
    drop(hold(pool, count).await);
    assert_eq!(pool.snapshot().idle as usize, count);
}

/// Checks what is true of every pool at every moment: the counts add up, the bound is kept, and
/// the recorded events lead to the same state once more.
#[track_caller]
pub(crate) fn audit<M: Manager>(pool: &ManagedPool<M>) -> Snapshot {
    let snapshot = pool.snapshot();
    adds_up(&snapshot);
    assert!(snapshot.open() <= snapshot.max_size, "{snapshot:?}");
    let recording = pool.flight_recording();
    if recording.overwritten() == 0 {
        recording.replay().unwrap();
    }
    snapshot
}

#[track_caller]
pub(crate) fn adds_up(snapshot: &Snapshot) {
    let counts = &snapshot.counts;
    let opened = u64::from(snapshot.open() - snapshot.connecting);
    assert_eq!(counts.created, counts.ended.total() + opened, "{snapshot:?}");
    assert_eq!(counts.acquired, counts.hits + counts.misses, "{snapshot:?}");
    assert!(counts.waited <= counts.acquired, "{snapshot:?}");
    assert!(counts.misses <= counts.created, "{snapshot:?}");
}

/// Proves a pool usable to the last slot: everything it may open can be taken at once, works, and
/// comes back; and the server sees no more than that.
pub(crate) async fn usable(server: &FakeServer, pool: &TestPool) {
    let max_size = pool.snapshot().max_size as usize;
    let mut guards = hold(pool, max_size).await;
    let mut ids: Vec<_> = guards.iter().map(ManagedGuard::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), max_size, "a connection was handed out twice: {ids:?}");
    for guard in &mut guards {
        guard.query().expect("what is handed out works");
        assert!(!guard.in_transaction());
    }
    assert_eq!(server.open(), max_size);
    assert_eq!(audit(pool).in_use as usize, max_size);
    drop(guards);
    settle().await;
    let snapshot = audit(pool);
    assert_eq!((snapshot.in_use, snapshot.waiting), (0, 0), "{snapshot:?}");
    assert_eq!(server.held(), snapshot.open() as usize);
}

/// Tasks that acquire, and tell when and how it ended.
pub(crate) fn ask(
    pool: &TestPool,
    tasks: usize,
) -> Vec<JoinHandle<(Duration, Result<TestGuard, AcquireError>)>> {
    let begun = Instant::now();
    (0..tasks)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let outcome = pool.acquire().await;
                (begun.elapsed(), outcome)
            })
        })
        .collect()
}

/// Checks that this much time passed on the paused clock, to a tick of its timer.
#[track_caller]
pub(crate) fn took(begun: Instant, expected: Duration) {
    let elapsed = begun.elapsed();
    let tick = ms(1);
    assert!(expected <= elapsed && elapsed <= expected + tick, "{elapsed:?}, not {expected:?}");
}

/// Polls once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Runs a future on this thread, outside any runtime.
pub(crate) fn park_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let (mut future, mut cx) = (std::pin::pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Runs a live test under a hard deadline of ten seconds.
#[track_caller]
pub(crate) fn live<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(sender.send(test())));
    match receiver.recv_timeout(secs(10)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it sent nothing"))
        }
    }
}

/// Looks again and again for at most five seconds of real time until it finds what it looks for.
#[track_caller]
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < secs(5), "never happened: {what}");
        std::thread::park_timeout(ms(1));
    }
}

/// An observer that keeps what it was told.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Told>>>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Connected(u64),
    Acquired { operation: Option<&'static str>, waited: Duration, hit: bool },
    AcquireFailed(pool_core::AcquireErrorKind),
    Closed { id: u64, reason: CloseReason, abandoned: bool },
    Stalled { site: &'static Location<'static>, operation: Option<&'static str> },
    Leaked { site: &'static Location<'static>, held: Duration },
}

impl Log {
    pub(crate) fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }
}

impl Metrics for Log {
    fn connected(&self, event: &Connected<'_>) {
        self.note(Told::Connected(event.id));
    }
    fn acquired(&self, event: &Acquired<'_>) {
        let Acquired { operation, waited, hit, .. } = *event;
        self.note(Told::Acquired { operation, waited, hit });
    }
    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        self.note(Told::AcquireFailed(event.kind));
    }
    fn closed(&self, event: &Closed<'_>) {
        let Closed { id, reason, abandoned, .. } = *event;
        self.note(Told::Closed { id, reason, abandoned });
    }
    fn stalled(&self, event: &Stalled<'_>) {
        self.note(Told::Stalled { site: event.site, operation: event.operation });
    }
    fn leaked(&self, event: &Leaked<'_>) {
        self.note(Told::Leaked { site: event.site, held: event.held });
    }
}
