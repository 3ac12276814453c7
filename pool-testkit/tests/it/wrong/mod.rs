//! The suite tests itself: each deliberately wrong pool or manager fails the cases on what is wrong
//! with it, and no other.
//!
//! [`table`] says what is wrong and which cases have to notice; [`pool`] and [`manager`] are the
//! wrong ones. A case that fails beyond that is either entangled or a mistake; a wrong pool that
//! passes means that the suite is too weak.

mod manager;
mod pool;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_core::{BoxError, PoolConfig};
use pool_testkit::conformance::{Cannot, Faulted, Harness, SharedPool, Verdict, suite};
use pool_testkit::{FakeConnection, FakeServer, hush_injected_panics};

use manager::WrongManager;
use pool::WrongPool;
use table::{TABLE, Wrong};

use crate::conformance::Fake;

/// A fake server with the wrong pool or manager of this number.
struct Broken<const N: usize>(Fake);

impl<const N: usize> Broken<N> {
    const WRONG: &'static Wrong = &TABLE[N];
}

impl<const N: usize> Harness for Broken<N> {
    type Manager = WrongManager;
    const PAUSED: bool = true;

    async fn new() -> Self {
        Self(Fake(FakeServer::new()))
    }
    fn manager(&self) -> WrongManager {
        WrongManager { real: self.0.0.manager(), flaw: Self::WRONG.manager }
    }
    async fn query(&self, connection: &mut FakeConnection) -> Result<(), BoxError> {
        self.0.query(connection).await
    }
    async fn break_connection(&self, connection: &mut FakeConnection) {
        self.0.break_connection(connection).await;
    }
    async fn open_connections(&self) -> usize {
        self.0.open_connections().await
    }
    async fn begin(&self, connection: &mut FakeConnection) {
        self.0.begin(connection).await;
    }
    async fn in_transaction(&self, connection: &mut FakeConnection) -> bool {
        self.0.in_transaction(connection).await
    }
    async fn leave_state(&self, connection: &mut FakeConnection) {
        self.0.leave_state(connection).await;
    }
    async fn has_state(&self, connection: &mut FakeConnection) -> bool {
        self.0.has_state(connection).await
    }
    async fn pool(
        &self,
        manager: Faulted<Self>,
        config: PoolConfig,
    ) -> Result<SharedPool<Self>, Cannot> {
        let config = (Self::WRONG.config)(config);
        let inner = self.managed(manager)?.config(config).build();
        Ok(Arc::new(WrongPool::new(inner.expect("still valid"), Self::WRONG.pool)))
    }
}

/// The cases that the wrong one of this number fails.
fn failed<const N: usize>() -> BTreeSet<&'static str> {
    hush_injected_panics();
    let count = suite::<Broken<N>>().len();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut failed = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return failed;
            }
            let case = suite::<Broken<N>>().swap_remove(at);
            let name = case.name();
            // Those that are to fail may hang; the others may take their time.
            let expected = Broken::<N>::WRONG.expected().contains(name);
            let verdict =
                if expected { case.run_within(Duration::from_secs(10)) } else { case.run() };
            if let Verdict::Fail(why) = verdict {
                println!("  {name}: {}", why.lines().next().unwrap_or_default());
                failed.push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn kills<const N: usize>() {
    let wrong = &TABLE[N];
    let failed = failed::<N>();
    let expected = wrong.expected();
    let survived: Vec<_> = expected.difference(&failed).collect();
    let unrelated: Vec<_> = failed.difference(&expected).collect();
    assert!(
        survived.is_empty() && unrelated.is_empty(),
        "{}: passed {survived:?} and failed unrelated {unrelated:?}",
        wrong.name
    );
}

macro_rules! matrix {
    ($($n:literal $name:ident)*) => {
        $(#[test]
        fn $name() {
            assert_eq!(TABLE[$n].name, stringify!($name));
            kills::<$n>();
        })*

        #[test]
        fn the_matrix_is_complete() {
            assert_eq!([$($n),*].len(), TABLE.len());
            let killed: BTreeSet<_> = TABLE.iter().flat_map(|wrong| wrong.kills).collect();
            for wrong in TABLE {
                println!("{:<40} {}", wrong.name, wrong.kills.join(" "));
                assert!(!wrong.kills.is_empty(), "{}", wrong.name);
                assert!(wrong.also.iter().all(|(_, why)| !why.is_empty()));
            }
            let names = suite::<Fake>();
            let names: Vec<_> = names.iter().map(|case| case.name()).collect();
            let by_none = names.iter().filter(|name| !killed.contains(name)).count();
            println!("{} of {} cases are failed by none", by_none, names.len());
            assert!(killed.iter().all(|case| names.contains(case)), "no such case");
        }
    };
}

matrix! {
    0 one_connection_too_many
    1 waits_beyond_its_deadline
    2 takes_zero_for_none
    3 takes_none_for_the_default
    4 serves_in_any_order
    5 returns_late
    6 reuses_the_oldest
    7 loses_what_a_cancelled_acquire_was_given
    8 cancels_connects_with_their_callers
    9 connects_without_limit
    10 does_not_back_off
    11 opens_everything_at_once
    12 keeps_every_spare_connection
    13 never_gets_old
    14 gets_old_all_at_once
    15 never_pings
    16 pings_always
    17 gives_connects_all_the_time
    18 hides_why_connects_fail
    19 keeps_what_was_given_up
    20 is_poisoned_by_a_panic
    21 does_not_close
    22 closes_without_a_deadline
    23 tells_lies
    24 takes_everything_for_clean
    25 forgets_to_reset
}
