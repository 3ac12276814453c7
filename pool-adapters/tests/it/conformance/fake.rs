//! What all harnesses have in common: a fake server, reached through connections that deref to its.

/// What a harness around a `FakeServer` needs, for connections of this type.
macro_rules! fake_server {
    ($connection:ty) => {
        async fn new() -> Self {
            Self(pool_testkit::FakeServer::new())
        }
        async fn query(&self, connection: &mut $connection) -> Result<(), pool_core::BoxError> {
            connection.query().map_err(Into::into)
        }
        async fn break_connection(&self, connection: &mut $connection) {
            self.0.kill(connection.id());
        }
        async fn open_connections(&self) -> usize {
            self.0.held()
        }
        async fn begin(&self, connection: &mut $connection) {
            connection.begin();
        }
        async fn in_transaction(&self, connection: &mut $connection) -> bool {
            connection.in_transaction()
        }
        async fn leave_state(&self, connection: &mut $connection) {
            connection.set("left", "behind");
        }
        async fn has_state(&self, connection: &mut $connection) -> bool {
            connection.setting("left").is_some()
        }
    };
}
pub(super) use fake_server;

/// A runtime for managers that block, on threads of its own.
pub(super) fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().expect("a runtime can be made")
    });
    RUNTIME.handle().clone()
}
