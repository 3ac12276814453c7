//! Cases on counts that add up, and on secrets that stay inside (R24, R25).

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use pool_core::{AcquireErrorKind, Cause, ConnectContext, ErrorClass, ManagedPool, Manager, Pool};

use super::harness::{Faulted, Harness, Outcome};
use super::scenes::ms;
use super::trial::Trial;
use crate::poll_times;
use crate::{Behaviour, FaultyConnection, FaultyError, FaultyManager, Op};

/// Puts a pool of two to all sorts of use, each time anew the same. How many acquires it was.
async fn all_sorts_of_use<H: Harness>(t: &Trial<H>, pool: &ManagedPool<Faulted<H>>) -> u64 {
    let (mut asked, mut dice) = (0, 12345_u64);
    for _ in 0..80 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (dice >> 33) % 8 {
            0 => {
                let _both = (pool.acquire().await, pool.acquire().await);
                let third = poll_times(pool.acquire().into_future(), 1, true).await;
                assert!(third.is_none(), "a third one of two");
                asked += 3;
                continue;
            }
            1 => {
                let _both = (pool.acquire().await, pool.acquire().await);
                assert!(pool.acquire().within(ms(1)).await.is_err(), "a third one of two");
                asked += 3;
                continue;
            }
            2 => t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]),
            3 => t.faults.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient)]),
            _ => {}
        }
        let mut guard = pool.acquire().await.expect("served in time");
        asked += 1;
        match (dice >> 45) % 5 {
            0 => FaultyConnection::soil(&mut guard, Cause::Transaction),
            1 => guard.invalidate(),
            _ => {}
        }
    }
    asked
}

/// R24: connections created are those that ended and those that are open; every acquire ends in
/// exactly one count.
///
/// Origin: counters that drift when a connect fails or a check evicts (blackbeam/mysql_async#44,
/// deadpool-rs/deadpool#18, #92, #205).
pub async fn r24_counts_add_up<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(2))?;
    let asked = all_sorts_of_use(&t, &pool).await;
    let now = pool.snapshot();
    let counts = now.counts;
    let open = u64::from(now.open() - now.connecting);
    assert_eq!(counts.created, counts.ended.total() + open, "{now:?}");
    assert_eq!(counts.acquires(), asked, "{counts:?}");
    assert_eq!(counts.acquired, counts.hits + counts.misses, "{counts:?}");
    assert!(counts.misses <= counts.created, "{counts:?}");
    let some = [counts.acquired, counts.timed_out, counts.cancelled, counts.reset];
    assert!(some.iter().all(|count| *count > 0), "all sorts of use: {counts:?}");
    Ok(())
}

/// R24: at the end all gauges are where they belong: nobody waits, nothing is in use or under way,
/// and what is idle is what exists.
///
/// Origin: gauges of mobc that are wrong for good after an error (importcjj/mobc#82).
pub async fn r24_gauges_are_right_at_the_end<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(2))?;
    all_sorts_of_use(&t, &pool).await;
    t.eventually("all gauges are zero but one", || {
        let now = pool.snapshot();
        let busy = now.in_use + now.connecting + now.validating + now.resetting + now.closing;
        busy + now.waiting == 0
    })
    .await;
    let idle = pool.snapshot().idle as usize;
    assert_eq!(idle, t.watch.alive());
    Ok(())
}

/// R24: the histograms of waiting and of use have an entry for each acquire that was served.
///
/// Origin: there is no wait time in sqlx, and hooks that measure one miss some
/// (transact-rs/sqlx#1860).
pub async fn r24_histograms_have_an_entry_for_each_acquire<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(2))?;
    all_sorts_of_use(&t, &pool).await;
    let statistics = pool.statistics();
    let acquired = statistics.snapshot.counts.acquired;
    let entries = (statistics.wait.count(), statistics.usage.count());
    assert_eq!(entries, (acquired, acquired), "waits and uses, of {acquired} acquires");
    Ok(())
}

/// R24: what is in use, waits and is idle can be read off at any moment.
pub async fn r24_gauges_tell_what_is<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(2))?;
    let held = t.hold(&object, 2).await;
    let waiting = t.pass_by(&object);
    t.eventually("one waits", || pool.snapshot().waiting == 1).await;
    let now = pool.snapshot();
    assert_eq!((now.in_use, now.idle, now.open()), (2, 0, 2), "{now:?}");
    drop(held);
    waiting.await.expect("no panic").expect("served");
    let now = pool.snapshot();
    assert_eq!((now.in_use, now.idle, now.waiting), (0, 2, 0), "{now:?}");
    Ok(())
}

/// Not to be seen in any output.
const CANARY: &str = "hunter2-canary";

/// A manager whose `Debug`, as its connections', tells a secret.
struct Indiscreet<M>(M);

struct Told<C>(FaultyConnection<C>);

impl<M> fmt::Debug for Indiscreet<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CANARY)
    }
}

impl<C> fmt::Debug for Told<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CANARY)
    }
}

impl<M: Manager> Manager for Indiscreet<FaultyManager<M>> {
    type Connection = Told<M::Connection>;
    type Error = FaultyError<M::Error>;

    async fn connect(&self, cx: &ConnectContext) -> Result<Self::Connection, Self::Error> {
        self.0.connect(cx).await.map(Told)
    }
    async fn ping(&self, connection: &mut Self::Connection) -> Result<(), Self::Error> {
        self.0.ping(&mut connection.0).await
    }
}

/// R25: nothing that the pool prints shows its manager or its connections, where the secrets are.
pub async fn r25_no_output_shows_the_manager_or_a_connection<H: Harness>(t: Trial<H>) -> Outcome {
    t.managed(t.config(1))?; // for its own sake: whether the pool under test is ours
    let builder = ManagedPool::builder(Indiscreet(t.manager())).config(t.config(1));
    let mut outputs = vec![format!("{builder:?}")];
    let pool = builder.build().expect("valid settings");
    let held = pool.acquire().await.expect("there is room");
    let error = pool.acquire().within(ms(10)).await.map(drop).expect_err("it is in use");
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    outputs.push(format!("{error} {error:?} {error:#?} {:?}", error.snapshot()));
    outputs.push(format!("{pool:?} {:?} {:?}", pool.acquire(), pool.blocking()));
    outputs.push(format!("{:?} {:?} {:?}", pool.snapshot(), pool.statistics(), pool.config()));
    let recording = pool.flight_recording();
    outputs.push(format!("{recording} {recording:?} {:?}", pool.holders()));
    drop(held);
    let object: Arc<dyn Pool<Connection = _>> = Arc::new(pool.clone());
    outputs.push(format!("{:?}", object.snapshot()));
    let report = pool.close(ms(500)).await;
    outputs.push(format!("{report} {report:?}"));
    for output in outputs {
        assert!(!output.contains("hunter2"), "{output}");
    }
    Ok(())
}
