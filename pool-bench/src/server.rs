//! What is pooled: sessions with a server that exists only here, and can be slow or gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connect_nanos: AtomicU64,
    query_nanos: AtomicU64,
    gone: AtomicBool,
    /// How often it was gone: sessions from before are dead.
    restarts: AtomicU64,
    attempts: Mutex<Vec<Instant>>,
    opened: AtomicU64,
}

/// The server is not there, or the session is of the time before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server is gone")
    }
}

impl std::error::Error for Gone {}

impl Server {
    /// With connects and queries that take this long.
    pub(crate) fn new(connect: Duration, query: Duration) -> Self {
        let server = Self::default();
        server.0.connect_nanos.store(connect.as_nanos() as u64, Ordering::Relaxed);
        server.0.query_nanos.store(query.as_nanos() as u64, Ordering::Relaxed);
        server
    }

    pub(crate) async fn connect(&self) -> Result<Session, Gone> {
        self.begin_connect()?;
        rest(&self.0.connect_nanos).await;
        self.end_connect()
    }

    /// The same for who blocks.
    pub(crate) fn connect_blocking(&self) -> Result<Session, Gone> {
        self.begin_connect()?;
        std::thread::sleep(Duration::from_nanos(self.0.connect_nanos.load(Ordering::Relaxed)));
        self.end_connect()
    }

    fn begin_connect(&self) -> Result<(), Gone> {
        self.0.attempts.lock().expect("nobody panics with it").push(Instant::now());
        if self.0.gone.load(Ordering::Relaxed) { Err(Gone) } else { Ok(()) }
    }

    fn end_connect(&self) -> Result<Session, Gone> {
        if self.0.gone.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let born = self.0.restarts.load(Ordering::Relaxed);
        Ok(Session { server: self.0.clone(), born, failed: false })
    }

    /// Ends all sessions and refuses new ones.
    pub(crate) fn go(&self) {
        self.0.gone.store(true, Ordering::Relaxed);
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Is there again.
    pub(crate) fn come_back(&self) {
        self.0.gone.store(false, Ordering::Relaxed);
    }

    /// How many sessions were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::Relaxed)
    }

    /// When somebody tried to connect.
    pub(crate) fn attempts(&self) -> Vec<Instant> {
        self.0.attempts.lock().expect("nobody panics with it").clone()
    }
}

async fn rest(nanos: &AtomicU64) {
    let nanos = nanos.load(Ordering::Relaxed);
    if nanos > 0 {
        tokio::time::sleep(Duration::from_nanos(nanos)).await;
    }
}

/// A session with a [`Server`].
#[derive(Debug)]
pub(crate) struct Session {
    server: Arc<Inner>,
    born: u64,
    failed: bool,
}

impl Session {
    /// Asks the server something.
    pub(crate) async fn query(&mut self) -> Result<(), Gone> {
        rest(&self.server.query_nanos).await;
        self.failed |= self.born != self.server.restarts.load(Ordering::Relaxed);
        if self.failed { Err(Gone) } else { Ok(()) }
    }

    /// What a test at checkout does: here it costs no round trip.
    pub(crate) async fn ping(&mut self) -> Result<(), Gone> {
        if self.born == self.server.restarts.load(Ordering::Relaxed) { Ok(()) } else { Err(Gone) }
    }

    /// What a driver knows by itself: that a query failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }
}
