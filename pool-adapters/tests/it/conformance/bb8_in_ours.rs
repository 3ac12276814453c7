//! A bb8 manager in our pool: its engine is ours, so every case passes that the manager can express.

use pool_adapters::{Bb8Manager, ForBb8, Marked};
use pool_testkit::conformance::Harness;
use pool_testkit::{FakeConnection, FakeManager, FakeServer};

use super::fake::fake_server;

struct Bb8InOurs(FakeServer);

impl Harness for Bb8InOurs {
    type Manager = Bb8Manager<ForBb8<FakeManager>>;
    const PAUSED: bool = true;

    fn manager(&self) -> Self::Manager {
        Bb8Manager::new(ForBb8::new(self.0.manager()))
    }
    fake_server!(Marked<FakeConnection>);
}

pool_testkit::conformance!(
    Bb8InOurs,
    without(
        transactions =
            "a bb8 manager has no reset, and tells no transaction from a broken connection",
        session_state = "a bb8 manager has no reset, and tells no state from a broken connection",
    )
);
