//! [`FakeManager`]: a correct manager of connections to a [`FakeServer`].

use std::fmt;

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, Reset};
use tokio::time::Instant;

use super::{FakeConnection, FakeServer, Session};
use crate::faults::{Behaviour, Injected, Op, panic_text};

/// Manages connections to a [`FakeServer`].
#[derive(Clone, Debug)]
pub struct FakeManager {
    pub(super) server: FakeServer,
}

impl Manager for FakeManager {
    type Connection = FakeConnection;
    type Error = FakeError;

    async fn connect(&self, cx: &ConnectContext) -> Result<FakeConnection, FakeError> {
        let connecting = Connecting::begin(&self.server);
        self.server.faults.act(Op::Connect).await?;
        let mut inner = self.server.lock();
        if inner.down {
            return Err(FakeError::Refused);
        }
        if inner.room.is_some_and(|room| inner.sessions.len() >= room) {
            return Err(FakeError::Saturated);
        }
        let mut id = cx.id();
        while inner.sessions.contains_key(&id) {
            id += 1; // another pool has one of this number
        }
        inner.sessions.insert(id, Session::default());
        inner.touch(id);
        drop(inner);
        drop(connecting);
        let mut inner = self.server.lock();
        inner.peak = inner.peak.max(inner.sessions.len() + inner.connecting);
        Ok(FakeConnection::new(id, self.server.clone(), cx.activity().clone()))
    }

    async fn ping(&self, connection: &mut FakeConnection) -> Result<(), FakeError> {
        let question = connection.send();
        self.server.faults.act(Op::Ping).await?;
        match connection.session() {
            Session { dead: true, silent: true, .. } => std::future::pending().await,
            Session { dead: true, .. } => Err(FakeError::Dead),
            _ => connection.receive(question).await,
        }
    }

    fn condition(&self, connection: &mut FakeConnection) -> Condition {
        match self.server.faults.call(Op::Condition) {
            Behaviour::Fail(_) => return Condition::Broken(Cause::Other("told to be")),
            Behaviour::Panic => panic!("{}", panic_text(Op::Condition)),
            _ => {}
        }
        connection.condition()
    }

    async fn reset(&self, connection: &mut FakeConnection, why: Cause) -> Result<Reset, FakeError> {
        self.server.faults.act(Op::Reset).await?;
        let mut inner = self.server.lock();
        inner.resets.push(why);
        inner.touch(connection.id());
        let mut wiped = why == Cause::SessionState;
        if let Some(session) = inner.sessions.get_mut(&connection.id()) {
            session.transaction = false;
            if connection.is_changed() {
                session.settings.clear();
                wiped = true;
            }
        }
        connection.cleaned();
        Ok(if wiped { Reset::Wiped } else { Reset::Kept })
    }

    async fn close(&self, connection: FakeConnection) {
        let _ = self.server.faults.act(Op::Close).await;
        drop(connection);
    }

    fn classify(&self, error: &FakeError) -> ErrorClass {
        if self.server.faults.call(Op::Classify) == Behaviour::Panic {
            panic!("{}", panic_text(Op::Classify));
        }
        error.class()
    }

    fn limits(&self, _: &FakeConnection) -> Limits {
        if self.server.faults.call(Op::Limits) == Behaviour::Panic {
            panic!("{}", panic_text(Op::Limits));
        }
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

/// What a [`FakeServer`] fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FakeError {
    /// As it was told to.
    Injected(Injected),
    /// The server is down.
    Refused,
    /// The server has no room.
    Saturated,
    /// The connection has ended.
    Dead,
    /// The server is a replica.
    ReadOnly,
    /// The answer belongs to an earlier question.
    WrongAnswer,
}

impl FakeError {
    /// Its class.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Injected(injected) => injected.class(),
            Self::Saturated => ErrorClass::Saturated,
            _ => ErrorClass::Transient,
        }
    }
}

impl From<Injected> for FakeError {
    fn from(injected: Injected) -> Self {
        Self::Injected(injected)
    }
}

impl fmt::Display for FakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(injected) => injected.fmt(f),
            Self::Refused => f.write_str("the fake server is down"),
            Self::Saturated => f.write_str("the fake server has no room"),
            Self::Dead => f.write_str("the connection has ended"),
            Self::ReadOnly => f.write_str("the fake server is read-only"),
            Self::WrongAnswer => f.write_str("this answers an earlier question"),
        }
    }
}

impl std::error::Error for FakeError {}
