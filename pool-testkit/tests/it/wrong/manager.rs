//! Wrong managers: a correct one with one flaw.

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, Reset};
use pool_testkit::{FakeConnection, FakeError, FakeManager};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum ManagerFlaw {
    None,
    /// Never sees that anything is wrong with a connection.
    EverythingIsClean,
    /// Says that it has reset, and has not.
    ForgetsToReset,
}

pub(crate) struct WrongManager {
    pub(crate) real: FakeManager,
    pub(crate) flaw: ManagerFlaw,
}

impl Manager for WrongManager {
    type Connection = FakeConnection;
    type Error = FakeError;

    async fn connect(&self, cx: &ConnectContext) -> Result<FakeConnection, FakeError> {
        self.real.connect(cx).await
    }
    async fn ping(&self, connection: &mut FakeConnection) -> Result<(), FakeError> {
        self.real.ping(connection).await
    }
    fn condition(&self, connection: &mut FakeConnection) -> Condition {
        match self.flaw {
            ManagerFlaw::EverythingIsClean => Condition::Clean,
            _ => self.real.condition(connection),
        }
    }
    async fn reset(&self, connection: &mut FakeConnection, why: Cause) -> Result<Reset, FakeError> {
        match self.flaw {
            ManagerFlaw::ForgetsToReset => Ok(Reset::Kept),
            _ => self.real.reset(connection, why).await,
        }
    }
    async fn close(&self, connection: FakeConnection) {
        self.real.close(connection).await;
    }
    fn classify(&self, error: &FakeError) -> ErrorClass {
        self.real.classify(error)
    }
    fn limits(&self, connection: &FakeConnection) -> Limits {
        self.real.limits(connection)
    }
}
