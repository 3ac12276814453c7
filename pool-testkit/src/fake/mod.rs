//! [`FakeServer`]: a database server in memory, on tokio's clock.

mod connection;
mod manager;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::{Cause, Limits};
use tokio::time::Instant;

use crate::faults::{Behaviour, Faults, Op};

pub use connection::FakeConnection;
pub use manager::{FakeError, FakeManager};

/// A database server in memory. Every clone is the same server.
#[derive(Clone, Default)]
pub struct FakeServer {
    faults: Faults,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<u64, Session>,
    connects: Vec<Instant>,
    connecting: usize,
    peak_connecting: usize,
    peak: usize,
    down: bool,
    read_only: bool,
    room: Option<usize>,
    latency: Duration,
    limits: Limits,
    resets: Vec<Cause>,
    hits_on_dead: u64,
    cut: u64,
}

/// What the server knows of one connection.
#[derive(Clone, Debug, Default)]
struct Session {
    dead: bool,
    /// The client has not noticed: no FIN came through.
    silent: bool,
    transaction: bool,
    settings: BTreeMap<&'static str, String>,
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

    // ---- faults ----

    /// How the calls of its manager go.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How the next calls of an operation go, one each; after them as [`always`](Self::always).
    pub fn next(&self, op: Op, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.faults.next(op, behaviours);
    }

    /// How calls of an operation go from now on, where [`next`](Self::next) says nothing.
    pub fn always(&self, op: Op, behaviour: Behaviour) {
        self.faults.always(op, behaviour);
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
        self.refuse();
        self.kill_all();
    }

    /// Connects are refused until [`up`](Self::up); what is open stays open.
    pub fn refuse(&self) {
        self.lock().down = true;
    }

    /// The server starts again.
    pub fn up(&self) {
        self.lock().down = false;
    }

    /// The server has room for this many connections; further connects are refused as saturated.
    pub fn saturate_at(&self, room: usize) {
        self.lock().room = Some(room);
    }

    /// The server becomes a replica: it answers, but refuses to [`write`](FakeConnection::write),
    /// until [`promote`](Self::promote).
    pub fn demote(&self) {
        self.lock().read_only = true;
    }

    /// The server is primary again.
    pub fn promote(&self) {
        self.lock().read_only = false;
    }

    /// How long answers take from now on. Who does not wait for one leaves it in the connection,
    /// where the next question finds it.
    pub fn answers_after(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    // ---- what a server sees ----

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

    /// How many transactions are open.
    pub fn transactions(&self) -> usize {
        self.lock().sessions.values().filter(|session| session.transaction).count()
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
        self.faults.calls(op)
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
                session.transaction = false; // the server rolls it back
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        f.debug_struct("FakeServer")
            .field("sessions", &self.lock().sessions)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
