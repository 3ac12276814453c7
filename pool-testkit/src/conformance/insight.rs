//! Cases on insight: who holds what, and who is told (R23).

use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use pool_core::{Acquired, Leaked, Metrics, PoolExt, Released, Request};
use tokio::time::sleep;

use super::harness::{Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::Trial;

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
    let error = pool.acquire().within(ms(30)).await.map(drop).expect_err("both are in use");
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

/// What happened, in whose name, and where that is known.
type Entry = (&'static str, Option<&'static str>, Option<&'static Location<'static>>);

/// What an observer was told of operations.
#[derive(Default)]
struct Log(Mutex<Vec<Entry>>);

impl Log {
    fn told(
        &self,
    ) -> Vec<(&'static str, Option<&'static str>, Option<&'static Location<'static>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

impl Metrics for Log {
    fn acquired(&self, event: &Acquired<'_>) {
        self.note(("acquired", event.operation, Some(event.site)));
    }
    fn released(&self, event: &Released<'_>) {
        self.note(("released", event.operation, None));
    }
    fn leaked(&self, event: &Leaked<'_>) {
        self.note(("leaked", event.operation, Some(event.site)));
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
