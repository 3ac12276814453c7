//! [`FakeConnection`]: what a user of a [`FakeServer`] holds.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::{Activity, Cause, Condition};
use tokio::time::sleep;

use super::{FakeError, FakeServer, Session};
use crate::faults::{Behaviour, Op, panic_text};

/// A connection to a [`FakeServer`]. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeConnection {
    id: u64,
    server: FakeServer,
    activity: Activity,
    /// Questions whose answers have not been read.
    unread: VecDeque<u64>,
    asked: u64,
    dirty: Option<Cause>,
    changed: bool,
    stained: bool,
}

impl FakeConnection {
    pub(super) fn new(id: u64, server: FakeServer, activity: Activity) -> Self {
        Self {
            id,
            server,
            activity,
            unread: VecDeque::new(),
            asked: 0,
            dirty: None,
            changed: false,
            stained: false,
        }
    }

    /// Its number at the server: the pool's own number of it, unless another pool has that one.
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
        self.reach()
    }

    /// Asks the server something and waits for the answer, as long as
    /// [`answers_after`](FakeServer::answers_after) says. Dropped before, it leaves the answer in
    /// the connection.
    ///
    /// # Errors
    /// If the connection is dead, or the answer that comes is that of an earlier question.
    pub async fn ask(&mut self) -> Result<(), FakeError> {
        self.reach()?;
        let question = self.send();
        self.receive(question).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// If the connection is dead, or the server a replica.
    pub fn write(&mut self) -> Result<(), FakeError> {
        self.reach()?;
        if self.server.lock().read_only { Err(FakeError::ReadOnly) } else { Ok(()) }
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

    /// Changes a setting of the session, as part of setting the connection up: no reset needed.
    pub fn set_up(&mut self, name: &'static str, value: &str) {
        self.in_session(|session| drop(session.settings.insert(name, value.to_owned())));
    }

    /// Changes a setting of the session; a reset takes away all settings.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.changed = true;
        self.set_up(name, value);
    }

    /// A setting of the session.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.session().settings.get(name).cloned()
    }

    /// Leaves something behind that has to be reset.
    pub fn soil(&mut self, cause: Cause) {
        self.dirty = Some(cause);
    }

    /// Leaves something behind that no reset removes.
    pub fn stain(&mut self) {
        self.stained = true;
    }

    pub(super) fn condition(&self) -> Condition {
        let session = self.session();
        match self.dirty {
            _ if session.dead && !session.silent => Condition::Broken(Cause::Disconnected),
            Some(cause) => Condition::Dirty(cause),
            None if self.stained || self.changed => Condition::Dirty(Cause::SessionState),
            None if !self.unread.is_empty() => Condition::Dirty(Cause::Running),
            None if session.transaction => Condition::Dirty(Cause::Transaction),
            None => Condition::Clean,
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// A reset went through: answers that nobody waited for have been read.
    pub(super) fn cleaned(&mut self) {
        self.unread.clear();
        (self.dirty, self.changed) = (None, false);
    }

    /// Sends a question.
    pub(super) fn send(&mut self) -> u64 {
        self.asked += 1;
        self.unread.push_back(self.asked);
        self.asked
    }

    /// Reads the next answer.
    pub(super) async fn receive(&mut self, question: u64) -> Result<(), FakeError> {
        let latency = self.server.lock().latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        self.server.lock().touch(self.id);
        let answered = self.unread.pop_front();
        if answered == Some(question) { Ok(()) } else { Err(FakeError::WrongAnswer) }
    }

    pub(super) fn session(&self) -> Session {
        let gone = || Session { dead: true, ..Session::default() };
        self.server.lock().cut_idle().sessions.get(&self.id).cloned().unwrap_or_else(gone)
    }

    /// Notes traffic, if there is anybody to take it.
    fn reach(&mut self) -> Result<(), FakeError> {
        let dead = self.session().dead;
        let mut inner = self.server.lock();
        if !dead {
            inner.touch(self.id);
            return Ok(());
        }
        inner.hits_on_dead += 1;
        if let Some(session) = inner.sessions.get_mut(&self.id) {
            session.silent = false;
        }
        Err(FakeError::Dead)
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
        if self.server.faults.call(Op::Drop) == Behaviour::Panic && !std::thread::panicking() {
            panic!("{}", panic_text(Op::Drop));
        }
    }
}
