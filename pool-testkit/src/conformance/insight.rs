//! Cases on insight: who holds what, counts that add up, no secrets (R23, R24, R25).

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use pool_core::{
    AcquireErrorKind, Acquired, Cause, ConnectContext, ErrorClass, Leaked, ManagedPool, Manager,
    Metrics, Pool, PoolExt, Released, Request,
};
use tokio::time::sleep;

use super::harness::{Faulted, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::{Trial, poll_times};
use crate::{Behaviour, FaultyConnection, Op};

/// R23: the error of an acquire whose time was up names who holds the connections: the place in the
/// code, how many, and what for.
///
/// Origin: every cause looks the same in sqlx, and nobody finds the holder
/// (transact-rs/sqlx#3808, #2276, #865).
pub async fn r23_a_time_out_names_who_holds<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(2))?;
    let mut held = Vec::new();
    let line = line!() + 2;
    for _ in 0..2 {
        held.push(pool.acquire().operation("report").await.expect("there is room"));
    }
    let error = pool.acquire().within(ms(30)).await.expect_err("both are in use");
    let [holder] = error.holders() else { panic!("one place, not: {error}") };
    assert_eq!((holder.site.file(), holder.site.line()), (file!(), line));
    assert_eq!((holder.count, holder.operation), (2, Some("report")));
    let text = error.to_string();
    assert!(text.contains(&format!("insight.rs:{line}")), "{text}");
    assert!(text.contains("report"), "{text}");
    Ok(())
}

/// R23: what holders are called by is there while they hold, and gone when they have given back.
pub async fn r23_holders_are_those_who_hold<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(3))?;
    let first = pool.acquire().operation("first").await.expect("there is room");
    let second = pool.acquire().operation("second").await.expect("there is room");
    let named = || -> Vec<_> { pool.holders().iter().map(|holder| holder.operation).collect() };
    assert_eq!(named().len(), 2);
    assert!(named().contains(&Some("first")) && named().contains(&Some("second")));
    drop(first);
    assert_eq!(named(), [Some("second")]);
    drop(second);
    assert!(named().is_empty());
    Ok(())
}

/// R23: a task that asks for a second connection while it holds the last one is told that it waits
/// for itself.
///
/// Origin: a time-out that has one cause, and nobody is told which (transact-rs/sqlx#2276, #622).
pub async fn r23_a_nested_acquire_is_told<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(1))?;
    let task = tokio::spawn(async move {
        let line = line!() + 1;
        let _outer = pool.acquire().await.expect("there is room");
        (line, pool.acquire().within(ms(30)).await.map(drop))
    });
    let (line, inner) = task.await.expect("no panic");
    let error = inner.expect_err("the only one is in use");
    let site = error.nested_in().map(|site| (site.file(), site.line()));
    assert_eq!(site, Some((file!(), line)), "{error}");
    Ok(())
}

/// R23: a task that holds nothing is not told that it waits for itself.
pub async fn r23_who_holds_nothing_waits_for_others<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(1))?;
    let held = pool.acquire().await.expect("there is room");
    let theirs = pool.clone();
    let task = tokio::spawn(async move { theirs.acquire().within(ms(30)).await.map(drop) });
    let error = task.await.expect("no panic").expect_err("the only one is in use");
    assert_eq!(error.nested_in(), None, "{error}");
    drop(held);
    Ok(())
}

/// R23: the place in the code survives a pool as an object.
pub async fn r23_the_place_in_the_code_survives_an_object<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(2))?;
    let line = line!() + 1;
    let first = object.acquire().await.expect("there is room");
    let second = object.acquire_with(Request::new()).await.expect("there is room");
    let mut sites: Vec<_> =
        pool.holders().iter().map(|holder| (holder.site.file(), holder.site.line())).collect();
    sites.sort_unstable();
    assert_eq!(sites, [(file!(), line), (file!(), line + 1)]);
    drop((first, second));
    Ok(())
}

/// What an observer was told of operations.
#[derive(Default)]
struct Log(Mutex<Vec<(&'static str, Option<&'static str>, Option<&'static Location<'static>>)>>);

impl Log {
    fn told(
        &self,
    ) -> Vec<(&'static str, Option<&'static str>, Option<&'static Location<'static>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(
        &self,
        what: &'static str,
        operation: Option<&'static str>,
        site: Option<&'static Location<'static>>,
    ) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((what, operation, site));
    }
}

impl Metrics for Log {
    fn acquired(&self, event: &Acquired<'_>) {
        self.note("acquired", event.operation, Some(event.site));
    }
    fn released(&self, event: &Released<'_>) {
        self.note("released", event.operation, None);
    }
    fn leaked(&self, event: &Leaked<'_>) {
        self.note("leaked", event.operation, Some(event.site));
    }
}

/// R23: a connection that is held for too long is reported once, with who holds it; one that came
/// back in time is not.
pub async fn r23_a_leak_is_reported_once_with_its_holder<H: Harness>(t: Trial<H>) -> Outcome {
    let log = Arc::new(Log::default());
    let builder = t.managed(t.config(2).leak_after(ms(100)))?.metrics(log.clone());
    let pool = builder.build().expect("valid settings");
    drop(pool.acquire().operation("quick").await.expect("there is room"));
    let line = line!() + 1;
    let held = pool.acquire().operation("slow").await.expect("there is room");
    let leaks =
        || -> Vec<_> { log.told().into_iter().filter(|(what, ..)| *what == "leaked").collect() };
    t.eventually("a leak is reported", || !leaks().is_empty()).await;
    sleep(ms(250)).await;
    let [(_, operation, site)] = leaks()[..] else { panic!("one leak, not {:?}", leaks()) };
    assert_eq!(operation, Some("slow"));
    assert_eq!(site.map(|site| (site.file(), site.line())), Some((file!(), line)));
    drop(held);
    Ok(())
}

/// R23: the name of an operation is told with its acquire and its return, and not with the next
/// user's.
pub async fn r23_operations_are_told_by_name<H: Harness>(t: Trial<H>) -> Outcome {
    let log = Arc::new(Log::default());
    let builder = t.managed(t.config(1))?.metrics(log.clone());
    let pool: SharedPool<H> = Arc::new(builder.build().expect("valid settings"));
    drop(pool.acquire_with(Request::new().operation("list")).await.expect("there is room"));
    drop(pool.acquire_with(Request::new()).await.expect("there is room"));
    let told: Vec<_> = log.told().iter().map(|(what, operation, _)| (*what, *operation)).collect();
    let list = Some("list");
    let expected = [("acquired", list), ("released", list), ("acquired", None), ("released", None)];
    assert_eq!(told, expected);
    Ok(())
}

/// Puts a pool of two to all sorts of use, each time anew the same. How many acquires it was.
async fn all_sorts_of_use<H: Harness>(t: &Trial<H>, pool: &ManagedPool<Faulted<H>>) -> u64 {
    let (mut asked, mut dice) = (0, 12345_u64);
    for _ in 0..80 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (dice >> 33) % 8 {
            0 => {
                let polls = 1 + (dice >> 40) as usize % 3;
                drop(poll_times(pool.acquire().into_future(), polls, true).await);
                asked += 1;
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
            0 => guard.soil(Cause::Transaction),
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

impl<M: Manager> Manager for Indiscreet<crate::FaultyManager<M>> {
    type Connection = Told<M::Connection>;
    type Error = crate::FaultyError<M::Error>;

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
