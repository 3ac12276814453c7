//! [`FaultyManager`]: any manager, with faults where a plan says so.

mod error;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, PoolConfig, Reset};

use crate::faults::{Behaviour, Faults, Op, panic_text};

pub use error::FaultyError;

/// Puts faults into the calls of a real manager, as a plan says, and watches how its pool treats
/// the connections.
///
/// An injected fault comes before the real call: a failed or hanging connect never reaches the
/// server. What is found by watching is told by [`Watch`].
///
/// ```
/// use pool_core::{ErrorClass, ManagedPool};
/// use pool_testkit::{Behaviour, FakeServer, Faults, FaultyManager, Op};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let real = FakeServer::new().manager(); // or any other
/// let faults = Faults::none();
/// faults.at(Op::Connect, 0, Behaviour::Hang);
/// faults.from(Op::Ping, 2, Behaviour::Fail(ErrorClass::Transient));
///
/// let manager = FaultyManager::new(real, faults.clone());
/// let watch = manager.watch();
/// let pool = ManagedPool::builder(manager).max_size(2).build().unwrap();
/// let connection = pool.acquire().await.unwrap(); // the second connect; the first one hung
/// assert_eq!(faults.calls(Op::Connect), 2);
/// assert_eq!(watch.alive(), 1);
/// # drop(connection); }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyManager<M> {
    real: M,
    faults: Faults,
    watch: Watch,
}

impl<M: Manager> FaultyManager<M> {
    /// Wraps a manager.
    pub fn new(real: M, faults: Faults) -> Self {
        Self { real, faults, watch: Watch::default() }
    }

    /// Another manager with the same faults, seen by the same watch.
    pub fn same_for<N: Manager>(&self, real: N) -> FaultyManager<N> {
        FaultyManager { real, faults: self.faults.clone(), watch: self.watch.clone() }
    }

    /// The manager inside.
    pub fn real(&self) -> &M {
        &self.real
    }

    /// What is seen of its connections.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

/// What a [`FaultyManager`] sees of its connections. Every clone sees the same.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    alive: usize,
    connecting: usize,
    peak: usize,
    peak_connecting: usize,
    made: u64,
    violations: Vec<String>,
}

impl Watch {
    /// How many connections exist on this side.
    pub fn alive(&self) -> usize {
        self.seen().alive
    }

    /// How many connects run.
    pub fn connecting(&self) -> usize {
        self.seen().connecting
    }

    /// The most connections that ever existed at once, those being opened counted.
    pub fn peak(&self) -> usize {
        self.seen().peak
    }

    /// The most connects that ever ran at once.
    pub fn peak_connecting(&self) -> usize {
        self.seen().peak_connecting
    }

    /// What no pool may do: use a connection whose ping or reset was cut off.
    pub fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen();
        change(&mut seen);
        seen.peak = seen.peak.max(seen.alive + seen.connecting);
        seen.peak_connecting = seen.peak_connecting.max(seen.connecting);
    }
}

/// Counts a connect while it runs.
struct Connecting(Watch);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.count(|seen| seen.connecting -= 1);
    }
}

impl<M: Manager> Manager for FaultyManager<M> {
    type Connection = FaultyConnection<M::Connection>;
    type Error = FaultyError<M::Error>;

    async fn connect(&self, cx: &ConnectContext) -> Result<Self::Connection, Self::Error> {
        self.watch.count(|seen| seen.connecting += 1);
        let connecting = Connecting(self.watch.clone());
        self.faults.act(Op::Connect).await.map_err(FaultyError::Injected)?;
        let real = self.real.connect(cx).await.map_err(FaultyError::Real)?;
        drop(connecting);
        let mut number = 0;
        self.watch.count(|seen| {
            seen.alive += 1;
            seen.made += 1;
            number = seen.made;
        });
        let (faults, watch) = (self.faults.clone(), self.watch.clone());
        Ok(FaultyConnection {
            real: Some(real),
            number,
            under_way: None,
            soiled: None,
            marked: false,
            faults,
            watch,
        })
    }

    async fn ping(&self, connection: &mut Self::Connection) -> Result<(), Self::Error> {
        connection.begin(Op::Ping);
        self.faults.act(Op::Ping).await.map_err(FaultyError::Injected)?;
        self.real.ping(connection.real_mut()).await.map_err(FaultyError::Real)?;
        connection.under_way = None;
        Ok(())
    }

    fn condition(&self, connection: &mut Self::Connection) -> Condition {
        connection.look("checked");
        match self.faults.call(Op::Condition) {
            Behaviour::Fail(_) => Condition::Broken(Cause::Other("injected")),
            Behaviour::Panic => panic!("{}", panic_text(Op::Condition)),
            _ => match (self.real.condition(connection.real_mut()), connection.soiled) {
                (Condition::Clean, Some(cause)) => Condition::Dirty(cause),
                (condition, _) => condition,
            },
        }
    }

    fn adopt(&self, connection: &mut Self::Connection) {
        self.real.adopt(connection.real_mut());
    }

    fn reconfigured(&self, config: &PoolConfig) {
        self.real.reconfigured(config);
    }

    async fn reset(
        &self,
        connection: &mut Self::Connection,
        why: Cause,
    ) -> Result<Reset, Self::Error> {
        connection.begin(Op::Reset);
        self.faults.act(Op::Reset).await.map_err(FaultyError::Injected)?;
        let clean = self.real.condition(connection.real_mut()) == Condition::Clean;
        let reset = match connection.soiled {
            Some(Cause::SessionState) if clean => Reset::Wiped,
            Some(_) if clean => Reset::Kept,
            _ => {
                let reset = self.real.reset(connection.real_mut(), why).await;
                reset.map_err(FaultyError::Real)?
            }
        };
        (connection.under_way, connection.soiled) = (None, None);
        connection.marked &= reset == Reset::Kept;
        Ok(reset)
    }

    async fn close(&self, mut connection: Self::Connection) {
        let _ = self.faults.act(Op::Close).await;
        if let Some(real) = connection.real.take() {
            self.real.close(real).await;
        }
    }

    fn classify(&self, error: &Self::Error) -> ErrorClass {
        if self.faults.call(Op::Classify) == Behaviour::Panic {
            panic!("{}", panic_text(Op::Classify));
        }
        match error {
            FaultyError::Injected(injected) => injected.class(),
            FaultyError::Real(error) => self.real.classify(error),
        }
    }

    fn limits(&self, connection: &Self::Connection) -> Limits {
        if self.faults.call(Op::Limits) == Behaviour::Panic {
            panic!("{}", panic_text(Op::Limits));
        }
        self.real.limits(connection)
    }
}

/// A connection of a [`FaultyManager`]: the real one, watched.
#[derive(Debug)]
pub struct FaultyConnection<C> {
    /// There until it is closed.
    real: Option<C>,
    number: u64,
    /// What was begun on it and did not come to a good end.
    under_way: Option<Op>,
    soiled: Option<Cause>,
    marked: bool,
    faults: Faults,
    watch: Watch,
}

impl<C> FaultyConnection<C> {
    // No methods, since the real connection may have some of these names.

    /// Its number: the first that a [`Watch`] sees opened is 1.
    pub fn number(this: &Self) -> u64 {
        this.number
    }

    /// Makes the connection dirty until it is reset, though nothing real was left behind: such a
    /// reset does not reach the real manager. One for [`Cause::SessionState`] wipes the session.
    pub fn soil(this: &mut Self, cause: Cause) {
        this.soiled = Some(cause);
    }

    /// Whether it was made dirty and not reset since.
    pub fn is_soiled(this: &Self) -> bool {
        this.soiled.is_some()
    }

    /// Leaves a mark in the session, as `after_connect` may set something up: it stays until a
    /// reset wipes the session.
    pub fn mark(this: &mut Self) {
        this.marked = true;
    }

    /// Whether the mark is there.
    pub fn is_marked(this: &Self) -> bool {
        this.marked
    }

    fn begin(&mut self, op: Op) {
        self.look("used");
        self.under_way = Some(op);
    }

    fn look(&self, verb: &str) {
        if let Some(op) = self.under_way {
            let violation = format!("a connection was {verb} whose {op:?} was cut off or failed");
            self.watch.seen().violations.push(violation);
        }
    }

    fn real_mut(&mut self) -> &mut C {
        self.real.as_mut().expect("it is there until it is closed")
    }
}

impl<C> Deref for FaultyConnection<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.look("used");
        self.real.as_ref().expect("it is there until it is closed")
    }
}

impl<C> DerefMut for FaultyConnection<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.look("used");
        self.real_mut()
    }
}

impl<C> Drop for FaultyConnection<C> {
    fn drop(&mut self) {
        let real = self.real.take();
        drop(real);
        self.watch.count(|seen| seen.alive -= 1);
        if self.faults.call(Op::Drop) == Behaviour::Panic && !std::thread::panicking() {
            panic!("{}", panic_text(Op::Drop));
        }
    }
}
