//! Ours, on the clock that the others have to take: the real one.

use pool_core::BoxError;
use pool_testkit::conformance::Harness;
use pool_testkit::{FakeConnection, FakeManager, FakeServer};

pub(crate) struct Ours(FakeServer);

impl Harness for Ours {
    type Manager = FakeManager;

    async fn new() -> Self {
        Self(FakeServer::new())
    }

    fn manager(&self) -> FakeManager {
        self.0.manager()
    }

    async fn query(&self, connection: &mut FakeConnection) -> Result<(), BoxError> {
        connection.query().map_err(Into::into)
    }

    async fn break_connection(&self, connection: &mut FakeConnection) {
        self.0.kill(connection.id());
    }

    async fn open_connections(&self) -> usize {
        self.0.held()
    }

    async fn begin(&self, connection: &mut FakeConnection) {
        connection.begin();
    }

    async fn in_transaction(&self, connection: &mut FakeConnection) -> bool {
        connection.in_transaction()
    }

    async fn leave_state(&self, connection: &mut FakeConnection) {
        connection.set("left", "behind");
    }

    async fn has_state(&self, connection: &mut FakeConnection) -> bool {
        connection.setting("left").is_some()
    }
}
