//! [`Harness`]: what the suite has to know about a manager, or about a pool.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use pool_core::{BoxError, Builder, ManagedPool, Manager, Pool, PoolConfig};

use crate::{FaultyConnection, FaultyManager};

/// The harness's manager with faults.
pub type Faulted<H> = FaultyManager<<H as Harness>::Manager>;
/// What the pools under test hand out.
pub type Connection<H> = FaultyConnection<<<H as Harness>::Manager as Manager>::Connection>;
/// A pool under test.
pub type SharedPool<H> = Arc<dyn Pool<Connection = Connection<H>>>;

/// How a case ends, if it does not fail: that is a panic.
pub type Outcome = Result<(), Cannot>;

/// What the suite has to know about a manager. One is made for each case.
///
/// The methods without a default are the manager; those that panic by default are what some cases
/// need besides, each under the name by which [`conformance!`](crate::conformance!) can do without.
/// The last ones are for those who put a pool of another make to the test.
pub trait Harness: Send + Sync + Sized + 'static {
    /// The manager under test.
    type Manager: Manager;

    /// Whether nothing but tokio's clock is involved, so that it can be stopped: cases then take no
    /// time and are exact.
    const PAUSED: bool = false;

    /// A database of its own for one case.
    fn new() -> impl Future<Output = Self> + Send;

    /// A manager of connections to it.
    fn manager(&self) -> Self::Manager;

    /// Asks the database something. The default pings.
    fn query(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let manager = self.manager();
        async move { manager.ping(connection).await.map_err(Into::into) }
    }

    /// Ends a connection from the outside, so that its next use fails and the manager can tell. For
    /// cases in the group `break_connection`.
    fn break_connection(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = ()> + Send {
        let _ = connection;
        async { missing("break_connection") }
    }

    /// How many connections the database itself counts, this question's own not among them. For
    /// cases in the group `open_connections`.
    fn open_connections(&self) -> impl Future<Output = usize> + Send {
        async { missing("open_connections") }
    }

    /// Opens a transaction. For cases in the group `transactions`.
    fn begin(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = ()> + Send {
        let _ = connection;
        async { missing("transactions") }
    }

    /// Whether a transaction is open, as the database sees it.
    fn in_transaction(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = bool> + Send {
        let _ = connection;
        async { missing("transactions") }
    }

    /// Leaves something in the session that the manager promises to clear (a temporary table, a
    /// setting). For cases in the group `session_state`.
    fn leave_state(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = ()> + Send {
        let _ = connection;
        async { missing("session_state") }
    }

    /// Whether what [`leave_state`](Self::leave_state) left is there.
    fn has_state(
        &self,
        connection: &mut <Self::Manager as Manager>::Connection,
    ) -> impl Future<Output = bool> + Send {
        let _ = connection;
        async { missing("session_state") }
    }

    // ---- for pools of another make ----

    /// Our own pool in the making, for what only it has: hooks, controls, statistics.
    ///
    /// # Errors
    /// If the pool under test is another: then with what that lacks.
    fn managed(&self, manager: Faulted<Self>) -> Result<Builder<Faulted<Self>>, Cannot> {
        Ok(ManagedPool::builder(manager))
    }

    /// The pool under test, made as the settings say.
    ///
    /// # Errors
    /// If the pool under test has no such setting.
    fn pool(
        &self,
        manager: Faulted<Self>,
        config: PoolConfig,
    ) -> impl Future<Output = Result<SharedPool<Self>, Cannot>> + Send {
        let pool = self.managed(manager).map(|builder| {
            let pool = builder.config(config).build();
            Arc::new(pool.expect("cases make valid settings")) as SharedPool<Self>
        });
        async { pool }
    }

    /// Why the pool under test cannot do this, if so.
    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        let _ = feature;
        None
    }
}

fn missing(group: &str) -> ! {
    panic!(
        "this case needs `{group}`: implement it in the harness, or say why not: \
         conformance!(.., without({group} = \"reason\"))"
    )
}

/// What pools of other makes do not all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// A limit on how long an acquire takes.
    AcquireTimeout,
    /// A timeout for one acquire instead of the pool's.
    TimeoutPerAcquire,
    /// `min_size` or `min_idle`.
    Minimums,
    /// `max_idle`.
    MaxIdle,
    /// `max_lifetime`.
    Lifetime,
    /// `idle_timeout`.
    IdleTimeout,
    /// A ping before use.
    Validation,
    /// A reset of what the manager calls dirty.
    Reset,
    /// A pool that can be closed.
    Close,
    /// A connection that its user can give up.
    Invalidate,
    /// Counts of what happened, beyond gauges.
    Counts,
    /// Connects that may go on without their caller.
    BackgroundConnects,
    /// `min_size`, as opposed to `min_idle`.
    MinSize,
    /// `min_idle`, as opposed to `min_size`.
    MinIdle,
    /// `max_connecting`.
    MaxConnecting,
    /// Failed connects that are tried again for those who wait.
    Retries,
    /// Connect errors that mean different things by their class.
    ErrorClasses,
    /// Errors that say what the last connect error was.
    LastError,
    /// The connection returned last is taken first.
    Lifo,
    /// A ping only of connections that were idle for long.
    ValidationByIdleTime,
    /// At each use the check that costs no round trip, pings or not.
    FreeCheck,
    /// The reset as soon as a connection comes back, not when it is next taken.
    ResetAtReturn,
}

/// Why a case does not apply to the pool under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cannot(pub String);

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
