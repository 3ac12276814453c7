//! R21: closing a pool, and what is left of one.

use std::time::Duration;

use pool_core::{AcquireErrorKind, ManagedPool, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn r21_pending_and_new_acquires_fail_at_once() {
    let (server, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let connecting = builder(&server, 1).build().unwrap();
    server.always(Op::Connect, Behaviour::Hang);
    let waiters: Vec<_> = [&pool, &pool, &connecting]
        .into_iter()
        .map(|pool| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().within(secs(3600)).await.unwrap_err().kind() })
        })
        .collect();
    settle().await;
    let begun = Instant::now();
    let (first, second) = (pool.close(secs(5)), connecting.close(secs(5)));
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), AcquireErrorKind::Closed);
    }
    assert_eq!(pool.acquire().await.unwrap_err().kind(), AcquireErrorKind::Closed);
    assert!(pool.is_closed());
    took(begun, ms(0));
    drop(held);
    assert!(first.await.is_complete() && second.await.is_complete());
    took(begun, ms(0)); // not even a connect that hangs is waited for
    assert_eq!(audit(&pool).counts.closed, 3);
    assert_eq!(server.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn r21_idle_connections_close_now_and_those_in_use_are_awaited() {
    let (server, pool) = pool_of(4);
    server.always(Op::Close, Behaviour::Slow(ms(20)));
    warm(&pool, 4).await;
    pool.acquire().await.unwrap().invalidate();
    sleep(ms(21)).await;
    warm(&pool, 4).await; // what ended before is no part of the report
    assert!(!pool.is_closed());
    let held = pool.acquire().await.unwrap();
    let closing = pool.close(secs(5)); // begins without being polled
    sleep(ms(21)).await;
    assert_eq!((server.held(), pool.snapshot().in_use), (1, 1));
    tokio::spawn(async move {
        sleep(secs(1)).await;
        drop(held);
    });
    let report = closing.await;
    assert!(report.took >= ms(1040) && report.took <= ms(1043), "{report}");
    assert_eq!((report.closed, report.abandoned, report.is_complete()), (4, 0, true));
    assert_eq!(report.to_string(), format!("closed 4 connections in {:?}", report.took));
    assert!(pool.is_closed());
    assert_eq!((server.held(), audit(&pool).counts.ended.pool_closed), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn r21_the_report_names_what_was_abandoned_and_by_whom() {
    let (server, pool) = pool_of(3);
    warm(&pool, 3).await;
    let line = line!() + 1;
    let held = pool.acquire().operation("export").await.unwrap();
    let mut slow = pool.acquire().await.unwrap();
    slow.begin();
    server.always(Op::Reset, Behaviour::Hang);
    drop(slow);
    let begun = Instant::now();
    let report = pool.close(secs(2)).await;
    took(begun, secs(2));
    // A reset has as long as a goodbye, and then its end is not confirmed either.
    assert_eq!((report.closed, report.abandoned), (2, 1));
    assert_eq!(pool.snapshot().counts.abandoned, 1);
    let [holder] = &report.holders[..] else { panic!("{report}") };
    assert_eq!((holder.site.file(), holder.site.line()), (file!(), line));
    assert_eq!((holder.operation, holder.count), (Some("export"), 1));
    let text = report.to_string();
    assert!(text.contains("abandoned 1") && text.contains(&format!("close.rs:{line}")), "{text}");
    drop(held);
    sleep(secs(10)).await;
    assert_eq!((server.held(), audit(&pool).open()), (0, 0), "late, but not lost");
}

#[tokio::test(start_paused = true)]
async fn r21_closing_twice_and_with_no_time_at_all() {
    let (server, pool) = pool_of(2);
    warm(&pool, 2).await;
    let held = pool.acquire().await.unwrap();
    let report = pool.close(Duration::ZERO).await;
    assert!(!report.is_complete());
    drop(held);
    assert!(pool.close(secs(1)).await.is_complete());
    assert_eq!(server.held(), 0);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r21_dropping_the_last_handle_leaves_no_task() {
    let before = tasks();
    let server = FakeServer::new();
    let pool = builder(&server, 8).min_size(2).keepalive(secs(1)).build().unwrap();
    let clone = pool.clone();
    warm(&pool, 5).await;
    server.next(Op::Connect, [Behaviour::Hang, Behaviour::Hang]);
    let held = hold(&pool, 5).await;
    let _ = pool.acquire().within(ms(5)).await;
    assert!(tasks() > before);
    drop((pool, held));
    settle().await;
    assert!(tasks() > before, "a handle is left");
    drop(clone);
    sleep(ms(100)).await;
    assert_eq!((tasks(), server.held()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn r21_a_reset_or_a_ping_that_hangs_does_not_outlive_the_last_handle() {
    for hangs in [Op::Reset, Op::Ping] {
        let before = tasks();
        let server = FakeServer::new();
        let pool = builder(&server, 2).validation(Validation::Always).close_timeout(ms(100));
        let pool = pool.build().unwrap();
        warm(&pool, 1).await;
        server.always(hangs, Behaviour::Hang);
        match hangs {
            Op::Reset => pool.acquire().await.unwrap().begin(),
            _ => drop(pool.acquire().within(ms(5)).await.unwrap_err()),
        }
        settle().await;
        let snapshot = pool.snapshot();
        let expected = if hangs == Op::Reset { (1, 0) } else { (0, 1) };
        assert_eq!((snapshot.resetting, snapshot.validating), expected);
        drop(pool);
        sleep(ms(99)).await; // as long as a goodbye may take
        assert_eq!(server.held(), 1, "{hangs:?}");
        sleep(ms(3)).await;
        assert_eq!((tasks(), server.held()), (before, 0), "{hangs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r21_a_reset_under_way_is_ended_before_the_goodbye() {
    let (server, pool) = pool_of(1);
    server.always(Op::Reset, Behaviour::Slow(ms(50)));
    pool.acquire().await.unwrap().begin();
    settle().await;
    assert_eq!(pool.snapshot().resetting, 1);
    let report = pool.close(secs(5)).await;
    assert!(report.is_complete() && report.took >= ms(50), "{report}");
    assert_eq!((audit(&pool).counts.reset, server.calls(Op::Close)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r21_a_goodbye_that_hangs_outlives_the_last_handle_by_its_deadline_at_most() {
    let before = tasks();
    let server = FakeServer::new();
    let pool = builder(&server, 2).close_timeout(secs(3)).build().unwrap();
    warm(&pool, 2).await;
    server.always(Op::Close, Behaviour::Hang);
    drop(pool);
    sleep(secs(2)).await;
    assert_eq!((tasks(), server.held()), (before + 2, 2));
    sleep(secs(1) + ms(2)).await;
    assert_eq!((tasks(), server.held()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn r21_a_guard_may_outlive_the_last_handle() {
    let before = tasks();
    let (server, pool) = pool_of(1);
    let mut held = pool.acquire().await.unwrap();
    drop(pool);
    sleep(secs(60)).await;
    held.query().unwrap();
    drop(held);
    sleep(ms(100)).await;
    assert_eq!((tasks(), server.held()), (before, 0));
}

#[test]
fn r21_a_guard_dropped_outside_a_runtime_goes_back() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (server, pool, clean, mut dirty) = runtime.block_on(async {
            let (server, pool) = pool_of(2);
            let (clean, dirty) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
            (server, pool, clean, dirty)
        });
        dirty.begin();
        std::thread::spawn(move || drop((clean, dirty))).join().unwrap();
        eventually("both are back", || pool.snapshot().idle == 2);
        assert_eq!(server.calls(Op::Reset), 1, "in the pool's own runtime");
        runtime.block_on(usable(&server, &pool));
    });
}

#[test]
fn r21_a_guard_dropped_after_its_runtime_is_gone_leaks_nothing() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (server, pool, clean, mut dirty, broken) = runtime.block_on(async {
            let (server, pool) = pool_of(3);
            let mut guards = hold(&pool, 3).await.into_iter();
            let mut next = || guards.next().unwrap();
            (server, pool, next(), next(), next())
        });
        drop(runtime);
        dirty.begin();
        server.kill(broken.id());
        drop((clean, dirty, broken));
        let now = audit(&pool);
        assert_eq!((now.idle, now.open(), server.held()), (1, 1, 1), "{now:?}");
        tokio::runtime::Runtime::new().unwrap().block_on(usable(&server, &pool));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn r21_a_pool_that_only_threads_use_leaves_no_thread() {
    // A list may lack threads while others end, so one that was seen is looked for by its number.
    let threads = || -> Vec<_> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let named = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "r21-pool")
        };
        tasks.map(|task| task.path()).filter(named).collect()
    };
    live(move || {
        let server = FakeServer::new();
        let pool = ManagedPool::builder(server.manager()).name("r21").max_size(2).build().unwrap();
        assert_eq!(threads().len(), 0);
        let guard = pool.blocking().acquire().unwrap();
        let mut seen = Vec::new();
        eventually("it has a thread", || {
            seen = threads();
            seen.len() == 1
        });
        drop(pool.blocking().acquire().unwrap());
        drop(guard);
        drop(pool);
        eventually("the thread ends", || !seen[0].exists());
        assert_eq!(server.held(), 0);
    });
}

#[test]
fn r21_closing_needs_no_runtime_of_the_callers() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (server, pool) = runtime.block_on(async {
            let (server, pool) = pool_of(2);
            warm(&pool, 2).await;
            (server, pool)
        });
        let held = runtime.block_on(pool.acquire().into_future()).unwrap();
        assert!(!park_on(pool.close(ms(20))).is_complete());
        drop(held);
        assert!(park_on(pool.close(secs(5))).is_complete());
        assert_eq!(server.held(), 0);

        let (_, never_used) = pool_of(2);
        assert!(park_on(never_used.close(secs(1))).is_complete());
        drop(runtime);
        assert!(park_on(pool.close(secs(1))).is_complete(), "nor one of its own");
    });
}

#[test]
fn r21_a_pool_without_any_runtime_does_not_wait_for_holders() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (pool, held) = runtime.block_on(async {
            let (_, pool) = pool_of(1);
            let held = pool.acquire().await.unwrap();
            (pool, held)
        });
        drop(runtime);
        let report = park_on(pool.close(ms(50)));
        assert_eq!(
            (report.abandoned, report.holders.len()),
            (1, 1),
            "there is no clock to wait by"
        );
        drop(held);
        assert_eq!(pool.snapshot().open(), 0);
    });
}
