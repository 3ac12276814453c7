//! The [`Manager`] trait: how a pool makes, checks, resets and closes one kind of connection.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::PoolConfig;
use crate::sync::{Arc, Mutex, lock};

/// Any error, boxed: what a [`Manager::Error`] turns into when the pool keeps or reports it.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Makes, checks, resets and closes connections of one kind. The pool calls it, nobody else.
///
/// Only [`connect`](Self::connect) and [`ping`](Self::ping) have no default. The asynchronous
/// methods run in tasks of the pool, each under a deadline of its own (see
/// [`PoolConfig`](crate::PoolConfig)), and are dropped when it passes; so each may be cancelled at
/// any `.await`, and none may block its thread. A panic in any method costs the connection it was
/// called for and nothing else.
///
/// ```
/// use pool_core::{ConnectContext, Manager, ManagedPool};
///
/// struct Echo; // a "database" that needs no server
///
/// impl Manager for Echo {
///     type Connection = String;
///     type Error = std::io::Error;
///
///     async fn connect(&self, cx: &ConnectContext) -> Result<String, Self::Error> {
///         Ok(format!("connection {}", cx.id()))
///     }
///     async fn ping(&self, _: &mut String) -> Result<(), Self::Error> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = ManagedPool::builder(Echo).max_size(4).build().unwrap();
/// let connection = pool.acquire().await.unwrap();
/// assert_eq!(*connection, "connection 1");
/// # }
/// ```
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;
    /// What goes wrong with it. Its text reaches users in [`AcquireError`](crate::AcquireError):
    /// keep secrets out of it.
    type Error: Into<BoxError> + fmt::Debug + Send + 'static;

    /// Opens a connection, ready for use. Ask for credentials here, each time: they may rotate.
    fn connect(
        &self,
        cx: &ConnectContext,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Proves by a round trip that the connection works. An error discards it.
    fn ping(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What state the connection is in, as far as this side can tell without a round trip.
    ///
    /// Called at each return and at each checkout on the caller's thread: no I/O, no blocking,
    /// a few nanoseconds.
    fn condition(&self, connection: &mut Self::Connection) -> Condition {
        let _ = connection;
        Condition::Clean
    }

    /// Hooks have run (those that may wait, and `after_connect`): what they did to the session is how the
    /// connection's users are to find it, and no reason for [`condition`](Self::condition) to call it
    /// dirty. Managers that notice such changes forget them here. As quick as `condition`.
    fn adopt(&self, connection: &mut Self::Connection) {
        let _ = connection;
    }

    /// Makes a dirty connection clean again: ends its transaction, its running statement, its
    /// session state. The default discards it.
    fn reset(
        &self,
        connection: &mut Self::Connection,
        why: Cause,
    ) -> impl Future<Output = Result<Reset, Self::Error>> + Send {
        let _ = (connection, why);
        std::future::ready(Ok(Reset::Discard))
    }

    /// Says goodbye to the server and ends the connection; it has ended when the future has. The
    /// default drops it.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send {
        drop(connection);
        std::future::ready(())
    }

    /// What a failed connect means for those who wait. The default says [`ErrorClass::Transient`].
    fn classify(&self, error: &Self::Error) -> ErrorClass {
        let _ = error;
        ErrorClass::Transient
    }

    /// The pool goes by other settings from now on: for managers that reckon with them. Called outside
    /// of all locks by whoever changed them; of several changes at once, the last call has those that
    /// hold. A panic is caught.
    fn reconfigured(&self, config: &PoolConfig) {
        let _ = config;
    }

    /// What the server allows this connection, read when it was opened. The default: no limits.
    fn limits(&self, connection: &Self::Connection) -> Limits {
        let _ = connection;
        Limits::default()
    }
}

/// What [`Manager::connect`] is told about the connection it opens.
#[derive(Clone, Debug)]
pub struct ConnectContext {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    /// Made for those who ask; clones share it.
    pub(crate) activity: Arc<OnceLock<Activity>>,
}

impl ConnectContext {
    /// A context outside any pool, for trying a manager by hand.
    pub fn new(id: u64, within: Duration) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + crate::config::FAR);
        Self { id, attempt: 1, deadline, activity: Arc::default() }
    }

    /// The connection's number: unique in its pool, counted from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// 1 for a first attempt; one more for each failure in a row before it.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the attempt is given up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where the connection may note when it is busy, so that the pool can tell holders who use
    /// their connection from holders who sit on it.
    pub fn activity(&self) -> &Activity {
        self.activity.get_or_init(Activity::default)
    }
}

/// What state a connection is in, see [`Manager::condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is left behind: it may be handed on at once.
    Clean,
    /// Something is left behind: [`Manager::reset`] has to clear it first; all but
    /// [`Upkeep`](Cause::Upkeep), which waits.
    Dirty(Cause),
    /// It cannot be used again.
    Broken(Cause),
}

/// Why a connection is dirty or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A transaction is open.
    Transaction,
    /// A statement that nobody waits for is still running.
    Running,
    /// Session state was changed: settings, temporary tables, listeners, locks.
    SessionState,
    /// The driver's own handle was given out, so nothing is known.
    Raw,
    /// Both ends disagree about where in the protocol they are.
    Desynchronized,
    /// The peer is gone. Everything as old is suspected too.
    Disconnected,
    /// The code that used it panicked.
    Panicked,
    /// Its user said so.
    Invalidated,
    /// Nothing is wrong: upkeep is due, which can wait. The connection is handed out as it is;
    /// [`Manager::reset`] sees to it once the connection has lain idle for 20 ms. Upkeep that can
    /// wait no longer is some [`Other`](Self::Other) cause. A foreign pool, which cannot reset, never
    /// sees to it.
    Upkeep,
    /// Anything else, in a word or two.
    Other(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transaction => "open transaction",
            Self::Running => "statement still running",
            Self::SessionState => "session state changed",
            Self::Raw => "raw handle given out",
            Self::Desynchronized => "protocol out of step",
            Self::Disconnected => "disconnected",
            Self::Panicked => "user panicked",
            Self::Invalidated => "invalidated",
            Self::Upkeep => "upkeep due",
            Self::Other(word) => word,
        })
    }
}

/// How a [`Manager::reset`] ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// Clean; what `after_connect` set up is still there.
    Kept,
    /// Clean as new; `after_connect` has to run again.
    Wiped,
    /// Not worth it: close the connection.
    Discard,
}

/// What a failed connect means for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Trying again cannot help: bad password, unknown database, failed TLS verification.
    Permanent,
    /// The server has no room: keep what there is and come back later.
    Saturated,
    /// It may work in a moment: refused, reset, starting up, timed out.
    Transient,
}

impl ErrorClass {
    /// The class as it is named in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Saturated => "saturated",
            Self::Transient => "transient",
        }
    }
}

/// How long the server lets a connection be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Idle for this long, the server cuts it (MySQL `wait_timeout`).
    pub idle: Option<Duration>,
    /// This old, it ends whatever it does (a token that expires).
    pub lifetime: Option<Duration>,
}

impl Limits {
    /// No limits, to be filled in.
    pub fn none() -> Self {
        Self::default()
    }

    /// With the idle time after which the server cuts the connection.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// With the age at which the connection ends.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

/// Notes how long a connection really works, so that holders who sit on one can be told apart, and
/// what its user calls what it does.
///
/// A backend's connection keeps a clone from [`ConnectContext::activity`] and calls
/// [`busy`](Self::busy) around each statement. A connection that never does is reported without
/// an idle share.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<ActivityInner>);

#[derive(Debug, Default)]
struct ActivityInner {
    // Nanoseconds since `origin()`, plus one; 0 while idle.
    since: AtomicU64,
    total: AtomicU64,
    /// What the total was when its present user got the connection.
    before: AtomicU64,
    used: AtomicBool,
    /// Whether `operation` is worth a look.
    named: AtomicBool,
    operation: Mutex<Option<&'static str>>,
}

impl Activity {
    /// Marks the connection busy until the returned guard is dropped.
    pub fn busy(&self) -> Busy<'_> {
        self.0.since.store(nanos().saturating_add(1), Ordering::Relaxed);
        self.0.used.store(true, Ordering::Relaxed);
        Busy(self)
    }

    /// The name that the present user of the connection gave to what it does.
    pub fn operation(&self) -> Option<&'static str> {
        if self.0.named.load(Ordering::Relaxed) { *lock(&self.0.operation) } else { None }
    }

    /// Notes a new user.
    pub(crate) fn begin(&self, operation: Option<&'static str>) {
        if operation.is_some() || self.0.named.load(Ordering::Relaxed) {
            *lock(&self.0.operation) = operation;
            self.0.named.store(operation.is_some(), Ordering::Relaxed);
        }
        if self.0.used.load(Ordering::Relaxed) {
            self.0.before.store(self.total(), Ordering::Relaxed);
        }
    }

    /// How long its present user kept it busy, or `None` if nothing was ever noted.
    pub(crate) fn busy_time(&self) -> Option<Duration> {
        let before = self.0.before.load(Ordering::Relaxed);
        let used = self.0.used.load(Ordering::Relaxed);
        used.then(|| Duration::from_nanos(self.total().saturating_sub(before)))
    }

    /// Nanoseconds so far.
    fn total(&self) -> u64 {
        let running = match self.0.since.load(Ordering::Relaxed) {
            0 => 0,
            since => nanos().saturating_sub(since - 1),
        };
        self.0.total.load(Ordering::Relaxed).saturating_add(running)
    }
}

/// Marks a connection busy until it is dropped, see [`Activity::busy`].
#[derive(Debug)]
pub struct Busy<'a>(&'a Activity);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        // Only who has the connection writes here; others read.
        let (total, inner) = (self.0.total(), &self.0.0);
        inner.since.store(0, Ordering::Relaxed);
        inner.total.store(total, Ordering::Relaxed);
    }
}

/// Nanoseconds on tokio's clock since this process first asked.
fn nanos() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let origin = *ORIGIN.get_or_init(|| now);
    u64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX)
}
