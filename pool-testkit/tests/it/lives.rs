//! Random lives of the pool over a fake server, against the reference model.

use std::sync::mpsc;
use std::time::Duration;

use pool_core::{ManagedPool, PoolConfig};
use pool_testkit::random::{self, Driver, Model, Operation};
use pool_testkit::{FakeServer, Faults, FaultyManager, Op};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// One life, on a thread of its own: a pool that spins stops the clock for good.
fn live(
    settings: PoolConfig,
    faults: Faults,
    operations: Vec<Operation>,
    in_order: bool,
) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(live_here(&settings, faults, &operations, in_order));
    });
    let ended = receiver.recv_timeout(Duration::from_secs(10));
    ended.unwrap_or_else(|error| Err(format!("it spins or panicked: {error}")))
}

fn live_here(
    settings: &PoolConfig,
    faults: Faults,
    operations: &[Operation],
    in_order: bool,
) -> Result<(), String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let manager = FaultyManager::new(FakeServer::new().manager(), faults.clone());
        let model = Model::new(settings, manager.watch());
        let mut model = if in_order { model } else { model.without_order() };
        let pool = ManagedPool::builder(manager).config(settings.clone()).seed(7);
        let driver = Driver::new(pool.build().unwrap(), faults, |connection| connection.begin());
        random::live(driver, &mut model, operations).await
    })
}

/// What goes wrong before a connection is looked at, so that nobody is handed an unfit one.
const BEFORE: [Op; 5] = [Op::Connect, Op::Ping, Op::Reset, Op::Close, Op::Drop];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        max_shrink_time: 60_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/lives.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn r01_r02_r13_r24_hold_in_any_life(
        settings in random::settings(),
        faults in random::fault_plan_of(&BEFORE),
        operations in random::operations(),
    ) {
        prop_assert_eq!(live(settings, faults, operations, true), Ok(()));
    }

    #[test]
    fn r01_r13_r24_hold_whatever_goes_wrong(
        settings in random::settings(),
        faults in random::fault_plan(),
        operations in random::operations(),
    ) {
        prop_assert_eq!(live(settings, faults, operations, false), Ok(()));
    }
}
