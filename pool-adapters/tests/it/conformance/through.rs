//! Our manager through both adapters, back in our pool: here the faults come from behind the foreign
//! interface, and reach our engine through `Bb8Manager` and `R2d2Manager`.

use std::sync::Arc;

use pool_adapters::{AdapterError, Bb8Manager, ForBb8, ForR2d2, R2d2Manager};
use pool_core::{Builder, ErrorClass, ManagedPool, PoolConfig};
use pool_testkit::conformance::{Cannot, Faulted, Feature, Harness, SharedPool};
use pool_testkit::{FakeConnection, FakeError, FakeManager, FakeServer, Injected};

use super::fake::{fake_server, runtime};
use super::inside::Inside;
use super::table::{But, OURS_ALONE, all_pass};

const OWN: &str = "the connections of this pool are wrapped";
const RESET: &str = "foreign managers cannot reset";

fn lacks(feature: Feature) -> Option<&'static str> {
    match feature {
        Feature::Reset | Feature::ResetAtReturn => Some(RESET),
        _ => None,
    }
}

/// What the manager at the other end would have said.
fn classify(error: &AdapterError) -> ErrorClass {
    let AdapterError::Manager(error) = error else { return ErrorClass::Transient };
    match (error.downcast_ref::<Injected>(), error.downcast_ref::<FakeError>()) {
        (Some(injected), _) => injected.class(),
        (_, Some(real)) => real.class(),
        _ => ErrorClass::Transient,
    }
}

struct ThroughBb8(FakeServer);

impl Harness for ThroughBb8 {
    type Manager = FakeManager;
    const PAUSED: bool = true;

    fn manager(&self) -> FakeManager {
        self.0.manager()
    }
    fake_server!(FakeConnection);

    fn managed(&self, _: Faulted<Self>) -> Result<Builder<Faulted<Self>>, Cannot> {
        Err(Cannot(OWN.into()))
    }
    async fn pool(
        &self,
        manager: Faulted<Self>,
        config: PoolConfig,
    ) -> Result<SharedPool<Self>, Cannot> {
        let manager = Bb8Manager::new(ForBb8::new(manager)).classify_with(classify);
        let pool = ManagedPool::builder(manager).config(config).build();
        Ok(Arc::new(Inside(pool.expect("cases make valid settings"))))
    }
    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        lacks(feature)
    }
}

struct ThroughR2d2(FakeServer);

impl Harness for ThroughR2d2 {
    type Manager = FakeManager;

    fn manager(&self) -> FakeManager {
        self.0.manager()
    }
    fake_server!(FakeConnection);

    fn managed(&self, _: Faulted<Self>) -> Result<Builder<Faulted<Self>>, Cannot> {
        Err(Cannot(OWN.into()))
    }
    async fn pool(
        &self,
        manager: Faulted<Self>,
        config: PoolConfig,
    ) -> Result<SharedPool<Self>, Cannot> {
        let manager = R2d2Manager::new(ForR2d2::new(manager, runtime())).classify_with(classify);
        let pool = ManagedPool::builder(manager).config(config).build();
        Ok(Arc::new(Inside(pool.expect("cases make valid settings"))))
    }
    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        lacks(feature)
    }
}

const BB8: &[But] = &[But::Cannot(OWN, OURS_ALONE), But::Cannot(RESET, CANNOT_RESET)];

const R2D2: &[But] = &[
    But::Cannot(OWN, OURS_ALONE),
    But::Cannot(RESET, CANNOT_RESET),
    But::MayFail(
        "a broken connection is dropped on a thread of its own, outside the bound",
        &["r01_churn_never_exceeds_max_size"],
    ),
];

const CANNOT_RESET: &[&str] = &[
    "r14_a_reset_that_was_cut_off_ends_its_connection",
    "r14_dropped_at_any_poll_of_a_slow_reset",
    "r15_a_panic_in_reset",
    "r17_a_dirty_connection_is_reset_at_once",
    "r17_a_dirty_connection_keeps_its_slot_until_it_is_clean",
    "r18_a_failed_reset_ends_its_connection",
];

#[test]
fn our_manager_as_bb8s_in_our_pool() {
    all_pass::<ThroughBb8>(BB8);
}

#[test]
fn our_manager_as_r2d2s_in_our_pool() {
    all_pass::<ThroughR2d2>(R2D2);
}
