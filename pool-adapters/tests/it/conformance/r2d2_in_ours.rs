//! An r2d2 manager in our pool: its engine is ours, so every case passes that the manager can
//! express. Its calls run on threads, so the clock goes.

use pool_adapters::{ForR2d2, Marked, R2d2Connection, R2d2Manager};
use pool_testkit::conformance::Harness;
use pool_testkit::{FakeConnection, FakeManager, FakeServer};

use super::fake::{fake_server, runtime};

struct R2d2InOurs(FakeServer);

impl Harness for R2d2InOurs {
    type Manager = R2d2Manager<ForR2d2<FakeManager>>;

    fn manager(&self) -> Self::Manager {
        R2d2Manager::new(ForR2d2::new(self.0.manager(), runtime()))
    }
    fake_server!(R2d2Connection<Marked<FakeConnection>>);
}

pool_testkit::conformance!(
    R2d2InOurs,
    without(
        transactions =
            "an r2d2 manager has no reset, and tells no transaction from a broken connection",
        session_state = "an r2d2 manager has no reset, and tells no state from a broken connection",
    )
);
