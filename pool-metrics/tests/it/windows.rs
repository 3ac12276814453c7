//! What a window holds, what a reset forgets, and what a monitor keeps open: nothing.

use pool_metrics::{EventKind, Monitor};
use pool_sql::{Outcome, Statement};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_window_forgets_what_is_older() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    let sampler = tokio::spawn(monitor.run());
    rounds(&pool, 30).await;
    sleep(secs(59)).await;
    rounds(&pool, 5).await;
    let report = monitor.report("plots").unwrap();
    assert_eq!((report.window.wait.count(), report.total.wait.count()), (35, 35));

    sleep(secs(10)).await;
    let report = monitor.report("plots").unwrap();
    assert_eq!((report.window.wait.count(), report.total.wait.count()), (5, 35));
    assert!((secs(60)..=secs(65)).contains(&report.window_length), "{report:?}");

    sleep(secs(1000)).await;
    let points = monitor.points("plots");
    assert_eq!(points.len(), 300);
    assert!(points.iter().all(|point| point.max_size == 2 && point.in_use == 0));

    // R21: no task outlives what it is for.
    drop(monitor);
    drop(pool);
    sleep(secs(2)).await;
    assert!(sampler.is_finished());
}

#[tokio::test(start_paused = true)]
async fn the_window_begins_with_the_watch() {
    let monitor = Monitor::new();
    let sampler = tokio::spawn(monitor.run());
    sleep(ms(300)).await;
    let (_, pool) = watched(&monitor, 1, |builder| builder);
    let guard = pool.acquire().await.unwrap();
    pool.acquire().within(ms(1)).await.unwrap_err();
    drop(guard);
    sleep(secs(3)).await; // samples
    let other = monitor.watch("late", [pool.view()]);
    rounds(&pool, 7).await;
    let failures = |name: &str| {
        let counts = monitor.report(name).unwrap().window.snapshot.counts;
        (counts.acquired, counts.timed_out)
    };
    assert_eq!((failures("plots"), failures(&other)), ((8, 1), (7, 0)));
    sleep(secs(3)).await;
    assert_eq!((failures("plots"), failures(&other)), ((8, 1), (7, 0)));
    sampler.abort();
}

#[tokio::test(start_paused = true)]
async fn several_tasks_take_no_more_samples_than_one() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 1, |builder| builder);
    for late in [0, 300, 300, 0] {
        sleep(ms(late)).await;
        tokio::spawn(monitor.run());
    }
    sleep(ms(10_000)).await;
    let points = monitor.points("plots").len();
    assert!((10..=12).contains(&points), "{points}");
}

#[tokio::test(start_paused = true)]
async fn points_tell_what_happened_since_the_one_before() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 1, |builder| builder);
    monitor.sample();
    rounds(&pool, 10).await;
    let guard = pool.acquire().await.unwrap();
    pool.acquire().within(ms(500)).await.unwrap_err();
    sleep(ms(499)).await;
    monitor.sample();
    let point = monitor.points("plots")[1];
    assert_eq!((point.acquired_per_second, point.failed_per_second, point.in_use), (11.0, 1.0, 1));
    drop(guard);
    sleep(secs(1)).await;
    monitor.sample();
    let point = monitor.points("plots")[2];
    assert_eq!((point.acquired_per_second, point.idle), (0.0, 1));
    assert_eq!(point.use_p99_seconds, 0.999);
}

#[tokio::test(start_paused = true)]
async fn a_reset_begins_anew_and_takes_nothing_from_what_is_exported() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    let statements = monitor.statements_observer();
    let ran = || {
        statements.finished(&Statement::new("sqlite").with_operation("list"), &Outcome::new(ms(2)))
    };
    rounds(&pool, 3).await;
    ran();
    monitor.reset();
    let report = monitor.report("plots").unwrap();
    assert_eq!((report.total.wait.count(), report.total.snapshot.counts.acquired), (0, 0));
    assert_eq!(report.total.snapshot.idle, 1, "what is there is there");
    assert_eq!(monitor.statements()[0].took.count(), 0);
    assert!(monitor.slowest().is_empty());

    rounds(&pool, 2).await;
    ran();
    let report = monitor.report("plots").unwrap();
    assert_eq!(report.total.snapshot.counts.hits, 2);
    assert_eq!(report.total.snapshot.hit_rate(), Some(1.0));
    assert_eq!((monitor.statements()[0].took.count(), monitor.slowest().len()), (1, 1));
    assert_eq!(pool.snapshot().counts.acquired, 5, "the pool's own go on");
    assert_eq!(monitor.operations()[0].waits.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn sides_are_told_together_and_one_by_one() {
    let monitor = Monitor::new();
    let (_, writer) = watched(&monitor, 1, |builder| builder.name("file-write"));
    let (_, readers) = watched(&monitor, 4, |builder| builder.name("file-read"));
    ["plots", "plots-2"].into_iter().for_each(|name| monitor.forget(name));
    monitor.watch("file", [writer.view(), readers.view()]);
    let _held = (writer.acquire().await.unwrap(), readers.acquire().await.unwrap());
    let report = monitor.report("file").unwrap();
    let total = &report.total.snapshot;
    assert_eq!((total.name.as_str(), total.max_size, total.in_use), ("file", 5, 2));
    assert_eq!(total.utilization(), 0.4);
    let sides: Vec<_> = report.sides.iter().map(|side| side.snapshot.name.as_str()).collect();
    assert_eq!(sides, ["file-write", "file-read"]);
    assert_eq!(report.holders.len(), 2);
    assert_eq!(monitor.names(), ["file"]);
}

#[tokio::test(start_paused = true)]
async fn events_are_told_and_hold_nothing_open() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 1, |builder| builder.leak_after(secs(5)));
    let guard = pool.acquire().await.unwrap();
    pool.acquire().within(secs(1)).await.unwrap_err();
    sleep(secs(6)).await;
    guard.invalidate();
    sleep(ms(10)).await;
    let kinds: Vec<_> = monitor.events(0).into_iter().map(|event| event.kind).collect();
    use EventKind::{AcquireFailed, Closed, Connected, Leaked};
    assert_eq!(kinds, [Connected, AcquireFailed, Leaked, Closed]);
    assert!(monitor.events(0)[2].text.contains("windows.rs"), "says where");
    assert_eq!(monitor.events(3).len(), 1);

    // What nobody has a handle to is forgotten.
    drop(pool);
    assert!(monitor.report("plots").is_none() && monitor.names().is_empty());
}
