//! The fake server, its manager and its connections.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::{Activity, Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, Reset};
use tokio::time::{Instant, sleep};

/// What a pool asks of its manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Op {
    /// [`Manager::connect`].
    Connect,
    /// [`Manager::ping`].
    Ping,
    /// [`Manager::reset`].
    Reset,
    /// [`Manager::close`].
    Close,
    /// [`Manager::condition`]; it can only pass, fail (broken) or panic.
    Condition,
    /// The drop of a [`FakeConnection`]; it can only pass or panic.
    Drop,
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Behaviour {
    /// It succeeds at once.
    Ok,
    /// It succeeds after this time.
    Slow(Duration),
    /// It fails, with an error of this class where that matters.
    Fail(ErrorClass),
    /// It fails after this time.
    FailAfter(Duration, ErrorClass),
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
}

/// A database server in memory. Every clone is the same server.
#[derive(Clone, Default)]
pub struct FakeServer(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<u64, Session>,
    next: BTreeMap<Op, VecDeque<Behaviour>>,
    always: BTreeMap<Op, Behaviour>,
    calls: BTreeMap<Op, u64>,
    connects: Vec<Instant>,
    connecting: usize,
    peak_connecting: usize,
    peak: usize,
    down: bool,
    limits: Limits,
    resets: Vec<Cause>,
    hits_on_dead: u64,
    cut: u64,
}

/// What the server knows of one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    dead: bool,
    /// The client has not noticed: no FIN came through.
    silent: bool,
    transaction: bool,
    /// When the server ends it, if there is no traffic until then.
    cut_at: Option<Instant>,
}

impl FakeServer {
    /// A server where everything succeeds at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// A manager of connections to this server.
    pub fn manager(&self) -> FakeManager {
        FakeManager { server: self.clone() }
    }

    /// How the next calls of an operation go, one each; after them as [`always`](Self::always).
    pub fn next(&self, op: Op, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.lock().next.entry(op).or_default().extend(behaviours);
    }

    /// How calls of an operation go from now on, where [`next`](Self::next) says nothing.
    pub fn always(&self, op: Op, behaviour: Behaviour) {
        self.lock().always.insert(op, behaviour);
    }

    /// What the server allows connections opened from now on. It really ends those that are idle
    /// for too long.
    pub fn limits(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Ends one connection; the client sees it at once, as a closed socket.
    pub fn kill(&self, id: u64) {
        self.end(false, |open| open == id);
    }

    /// Ends every connection; the clients see it at once.
    pub fn kill_all(&self) {
        self.end(false, |_| true);
    }

    /// Ends every other connection; the clients see it at once.
    pub fn kill_half(&self) {
        self.end(false, |id| id % 2 == 0);
    }

    /// Every other connection goes silent: the client sees nothing, a ping hangs.
    pub fn silence_half(&self) {
        self.end(true, |id| id % 2 == 0);
    }

    /// Every connection goes silent: the clients see nothing, a ping hangs.
    pub fn silence_all(&self) {
        self.end(true, |_| true);
    }

    /// The server stops: connections end, connects are refused, until [`up`](Self::up).
    pub fn down(&self) {
        self.lock().down = true;
        self.kill_all();
    }

    /// The server starts again.
    pub fn up(&self) {
        self.lock().down = false;
    }

    /// How many connections are open, dead ones not counted.
    pub fn open(&self) -> usize {
        self.lock().cut_idle().sessions.values().filter(|session| !session.dead).count()
    }

    /// How many connections its clients hold, dead ones counted.
    pub fn held(&self) -> usize {
        self.lock().sessions.len()
    }

    /// The numbers of the connections that its clients hold, dead ones among them.
    pub fn ids(&self) -> Vec<u64> {
        self.lock().sessions.keys().copied().collect()
    }

    /// The most connections that clients ever held at once, those being opened counted.
    pub fn peak(&self) -> usize {
        self.lock().peak
    }

    /// The most connects that ever ran at once.
    pub fn peak_connecting(&self) -> usize {
        self.lock().peak_connecting
    }

    /// How often an operation was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.lock().calls.get(&op).copied().unwrap_or_default()
    }

    /// When connects began.
    pub fn connects(&self) -> Vec<Instant> {
        self.lock().connects.clone()
    }

    /// Why connections were reset.
    pub fn resets(&self) -> Vec<Cause> {
        self.lock().resets.clone()
    }

    /// How many connections the server ended since they were idle for too long.
    pub fn cut(&self) -> u64 {
        self.lock().cut_idle().cut
    }

    /// How often a user's query went to a dead connection.
    pub fn hits_on_dead(&self) -> u64 {
        self.lock().hits_on_dead
    }

    fn end(&self, silent: bool, which: impl Fn(u64) -> bool) {
        for (id, session) in &mut self.lock().sessions {
            if which(*id) {
                (session.dead, session.silent) = (true, silent);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaviour(&self, op: Op) -> Behaviour {
        let mut inner = self.lock();
        *inner.calls.entry(op).or_default() += 1;
        let next = inner.next.get_mut(&op).and_then(VecDeque::pop_front);
        next.or_else(|| inner.always.get(&op).copied()).unwrap_or(Behaviour::Ok)
    }

    async fn act(&self, op: Op) -> Result<(), FakeError> {
        match self.behaviour(op) {
            Behaviour::Ok => Ok(()),
            Behaviour::Slow(time) => {
                sleep(time).await;
                Ok(())
            }
            Behaviour::Fail(class) => Err(FakeError::new(op, class)),
            Behaviour::FailAfter(time, class) => {
                sleep(time).await;
                Err(FakeError::new(op, class))
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("the fake server panics in {op:?}"),
        }
    }
}

impl Inner {
    /// Ends what was idle for too long.
    fn cut_idle(&mut self) -> &mut Self {
        let now = Instant::now();
        let over = |session: &&mut Session| session.cut_at.is_some_and(|at| at <= now);
        for session in self.sessions.values_mut().filter(|session| !session.dead).filter(over) {
            session.dead = true;
            self.cut += 1;
        }
        self
    }

    /// Notes traffic on a connection.
    fn touch(&mut self, id: u64) {
        let cut_at = self.limits.idle.and_then(|idle| Instant::now().checked_add(idle));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.cut_at = cut_at;
        }
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("FakeServer")
            .field("sessions", &inner.sessions)
            .field("calls", &inner.calls)
            .finish_non_exhaustive()
    }
}

/// Manages connections to a [`FakeServer`].
#[derive(Clone, Debug)]
pub struct FakeManager {
    server: FakeServer,
}

impl Manager for FakeManager {
    type Connection = FakeConnection;
    type Error = FakeError;

    async fn connect(&self, cx: &ConnectContext) -> Result<FakeConnection, FakeError> {
        let connecting = Connecting::begin(&self.server);
        self.server.act(Op::Connect).await?;
        if self.server.lock().down {
            return Err(FakeError::new(Op::Connect, ErrorClass::Transient));
        }
        drop(connecting);
        let mut inner = self.server.lock();
        inner.sessions.insert(cx.id(), Session::default());
        inner.touch(cx.id());
        inner.peak = inner.peak.max(inner.sessions.len() + inner.connecting);
        Ok(FakeConnection {
            id: cx.id(),
            server: self.server.clone(),
            activity: cx.activity().clone(),
            dirty: None,
            stained: false,
        })
    }

    async fn ping(&self, connection: &mut FakeConnection) -> Result<(), FakeError> {
        self.server.act(Op::Ping).await?;
        match connection.session() {
            Session { dead: true, silent: true, .. } => std::future::pending().await,
            Session { dead: true, .. } => Err(FakeError::new(Op::Ping, ErrorClass::Transient)),
            _ => {
                self.server.lock().touch(connection.id);
                Ok(())
            }
        }
    }

    fn condition(&self, connection: &mut FakeConnection) -> Condition {
        match self.server.behaviour(Op::Condition) {
            Behaviour::Fail(_) => return Condition::Broken(Cause::Other("told to be")),
            Behaviour::Panic => panic!("the fake server panics in Condition"),
            _ => {}
        }
        match (connection.session(), connection.dirty) {
            (Session { dead: true, silent: false, .. }, _) => {
                Condition::Broken(Cause::Disconnected)
            }
            (_, Some(cause)) => Condition::Dirty(cause),
            _ if connection.stained => Condition::Dirty(Cause::SessionState),
            (Session { transaction: true, .. }, _) => Condition::Dirty(Cause::Transaction),
            _ => Condition::Clean,
        }
    }

    async fn reset(&self, connection: &mut FakeConnection, why: Cause) -> Result<Reset, FakeError> {
        self.server.act(Op::Reset).await?;
        let mut inner = self.server.lock();
        inner.resets.push(why);
        inner.touch(connection.id);
        connection.dirty = None;
        if let Some(session) = inner.sessions.get_mut(&connection.id) {
            session.transaction = false;
        }
        Ok(if why == Cause::SessionState { Reset::Wiped } else { Reset::Kept })
    }

    async fn close(&self, connection: FakeConnection) {
        let _ = self.server.act(Op::Close).await;
        drop(connection);
    }

    fn classify(&self, error: &FakeError) -> ErrorClass {
        error.class
    }

    fn limits(&self, _: &FakeConnection) -> Limits {
        self.server.lock().limits
    }
}

/// Counts a connect while it runs.
struct Connecting(FakeServer);

impl Connecting {
    fn begin(server: &FakeServer) -> Self {
        let mut inner = server.lock();
        inner.connects.push(Instant::now());
        inner.connecting += 1;
        inner.peak_connecting = inner.peak_connecting.max(inner.connecting);
        inner.peak = inner.peak.max(inner.sessions.len() + inner.connecting);
        Self(server.clone())
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.lock().connecting -= 1;
    }
}

/// A connection to a [`FakeServer`]. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeConnection {
    id: u64,
    server: FakeServer,
    activity: Activity,
    dirty: Option<Cause>,
    stained: bool,
}

impl FakeConnection {
    /// Its number: unique in its pool, counted from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The server it goes to.
    pub fn server(&self) -> &FakeServer {
        &self.server
    }

    /// Asks the server something.
    ///
    /// # Errors
    /// If the connection is dead.
    pub fn query(&mut self) -> Result<(), FakeError> {
        if self.session().dead {
            let mut inner = self.server.lock();
            inner.hits_on_dead += 1;
            if let Some(session) = inner.sessions.get_mut(&self.id) {
                session.silent = false;
            }
            return Err(FakeError::new(Op::Ping, ErrorClass::Transient));
        }
        self.server.lock().touch(self.id);
        Ok(())
    }

    /// Keeps the connection busy for this long.
    pub async fn work(&mut self, time: Duration) {
        let _busy = self.activity.busy();
        sleep(time).await;
    }

    /// Opens a transaction.
    pub fn begin(&mut self) {
        self.in_session(|session| session.transaction = true);
    }

    /// Ends it.
    pub fn commit(&mut self) {
        self.in_session(|session| session.transaction = false);
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.session().transaction
    }

    /// Leaves something behind that has to be reset.
    pub fn soil(&mut self, cause: Cause) {
        self.dirty = Some(cause);
    }

    /// Leaves something behind that no reset removes.
    pub fn stain(&mut self) {
        self.stained = true;
    }

    fn session(&self) -> Session {
        let gone = Session { dead: true, ..Session::default() };
        self.server.lock().cut_idle().sessions.get(&self.id).copied().unwrap_or(gone)
    }

    fn in_session(&self, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.server.lock().sessions.get_mut(&self.id) {
            change(session);
        }
    }
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.server.lock().sessions.remove(&self.id);
        if self.server.behaviour(Op::Drop) == Behaviour::Panic && !std::thread::panicking() {
            panic!("the fake server panics in Drop");
        }
    }
}

/// What a [`FakeServer`] fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeError {
    op: Op,
    class: ErrorClass,
}

impl FakeError {
    fn new(op: Op, class: ErrorClass) -> Self {
        Self { op, class }
    }

    /// Its class.
    pub fn class(&self) -> ErrorClass {
        self.class
    }
}

impl fmt::Display for FakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            ErrorClass::Permanent => "permanent",
            ErrorClass::Saturated => "saturated",
            _ => "transient",
        };
        write!(f, "the fake server failed {:?} ({class})", self.op)
    }
}

impl std::error::Error for FakeError {}
