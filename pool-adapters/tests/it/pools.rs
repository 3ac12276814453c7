//! The pools of bb8 and of r2d2 behind our trait: what holds for both.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_adapters::{Bb8Pool, ForBb8, R2d2Pool};
use pool_core::{AcquireErrorKind, Phase, Pool, PoolExt, Request};
use pool_testkit::{FakeServer, Op};
use tokio::time::Instant;

use crate::support::{dropped_after, ms, secs, soon, until};
use crate::theirs::{Act, Conn, Server};

type AnyPool = Arc<dyn Pool<Connection = Conn>>;

/// Runs this with each pool, of so many connections and none of them spare.
async fn each<F: Future<Output = ()>>(max_size: u32, test: impl Fn(Server, AnyPool) -> F) {
    let server = Server::default();
    let builder = bb8::Pool::builder().max_size(max_size).connection_timeout(secs(20));
    let pool = Bb8Pool::new("theirs", builder, server.manager());
    soon(test(server, Arc::new(pool))).await;

    for tested in [true, false] {
        let server = Server::default();
        let builder = r2d2::Pool::builder().max_size(max_size).min_idle(Some(0));
        let builder = builder.connection_timeout(secs(20)).test_on_check_out(tested);
        let pool = R2d2Pool::new("theirs", builder, server.manager());
        soon(test(server, Arc::new(pool))).await;
    }
}

#[tokio::test]
async fn a_connection_is_reused_unless_it_is_broken_or_invalidated() {
    each(2, |server, pool| async move {
        assert_eq!(pool.acquire().await.unwrap().id, 1);
        assert_eq!(pool.acquire().await.unwrap().id, 1);
        pool.acquire().await.unwrap().broken = true;
        let connection = pool.acquire().await.unwrap();
        assert_eq!(connection.id, 2);
        connection.invalidate();
        assert_eq!(pool.acquire().await.unwrap().id, 3);
        until("the others are closed", || server.open() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn r08_zero_tries_once_and_none_and_huge_wait() {
    each(1, |_, pool| async move {
        let once = || pool.acquire_with(Request::new().within(secs(0)));
        let refused = once().await.unwrap_err();
        assert_eq!((refused.kind(), refused.phase()), (AcquireErrorKind::TimedOut, Phase::Connect));
        // It started a connect for those who come after.
        until("one is spare", || pool.snapshot().idle == 1).await;
        let held = once().await.unwrap();
        assert_eq!(once().await.unwrap_err().phase(), Phase::Queue);
        let patient = pool.acquire_with(Request::new().within(None));
        let huge = pool.acquire_with(Request::new().within(Duration::MAX));
        let give_back = async {
            tokio::time::sleep(ms(20)).await;
            drop(held);
        };
        let one_after_the_other = async {
            drop(patient.await.unwrap());
            drop(huge.await.unwrap());
        };
        tokio::join!(one_after_the_other, give_back);
    })
    .await;
}

#[tokio::test]
async fn r07_r23_a_timeout_is_kept_and_names_the_holders() {
    each(1, |_, pool| async move {
        let held = pool.acquire_with(Request::new().operation("scan")).await.unwrap();
        let begun = Instant::now();
        let error = pool.acquire_with(Request::new().within(ms(30))).await.unwrap_err();
        assert!(begun.elapsed() >= ms(30));
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        let text = error.to_string();
        for part in ["theirs: no connection within", "1 of 1 in use", "pools.rs", "(scan)"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        drop(held);
        let counts = pool.snapshot().counts;
        assert_eq!((counts.acquired, counts.timed_out, counts.acquires()), (1, 1, 2));
    })
    .await;
}

#[tokio::test]
async fn r12_a_timeout_tells_the_last_connect_error() {
    each(1, |server, pool| async move {
        server.down();
        let error = pool.acquire_with(Request::new().within(ms(100))).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (AcquireErrorKind::TimedOut, Phase::Connect));
        assert!(error.to_string().contains("password refused"), "{error}");
        assert!(pool.snapshot().counts.connect_transient > 0);
    })
    .await;
}

#[tokio::test]
async fn r02_callers_are_served_in_the_order_in_which_they_came() {
    each(1, |_, pool| async move {
        let held = pool.acquire().await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..5 {
            let (theirs, order) = (pool.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _held = theirs.acquire().await.unwrap();
                order.lock().unwrap().push(n);
            }));
            until("it waits", || pool.snapshot().waiting == n + 1).await;
        }
        drop(held);
        let newcomer = pool.acquire().await.unwrap();
        order.lock().unwrap().push(5);
        drop(newcomer);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn r14_a_cancelled_acquire_leaks_nothing() {
    each(2, |server, pool| async move {
        let mut cancelled = 0;
        for looks in 0..40 {
            cancelled += u64::from(dropped_after(looks % 5, pool.acquire()).await);
        }
        // Those never looked at have not asked.
        let counts = pool.snapshot().counts;
        assert!(cancelled >= counts.cancelled, "{counts:?}");
        let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        assert!(!held.0.asked && !held.1.asked);
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.waiting, snapshot.in_use), (0, 2));
        until("no more are open", || server.open() == 2).await;
    })
    .await;
}

#[tokio::test]
async fn r15_a_panic_costs_one_connection() {
    each(1, |server, pool| async move {
        server.next_connects([Act::Panic]);
        drop(pool.acquire().await.unwrap());
        server.next_tests([Act::Panic]);
        drop(pool.acquire().await.unwrap());
        pool.acquire().await.unwrap().panics = true;
        drop(pool.acquire().await.unwrap());
        server.drop_panics();
        pool.acquire().await.unwrap().broken = true;
        assert!(pool.acquire().await.is_ok());
        assert_eq!((server.open(), pool.snapshot().idle), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn r21_a_close_refuses_at_once_waits_for_holders_and_names_them() {
    each(2, |server, pool| async move {
        let kept = pool.acquire_with(Request::new().operation("scan")).await.unwrap();
        let returned = pool.acquire().await.unwrap();
        let closing = async {
            until("one waits", || pool.snapshot().waiting == 1).await;
            let close = pool.close(ms(50));
            assert_eq!(pool.acquire().await.unwrap_err().kind(), AcquireErrorKind::Closed);
            drop(returned);
            close.await
        };
        let (waited, report) = tokio::join!(pool.acquire(), closing);
        assert_eq!(waited.unwrap_err().kind(), AcquireErrorKind::Closed);
        assert_eq!((report.closed, report.abandoned), (1, 1), "{report}");
        assert_eq!(report.holders[0].operation, Some("scan"));
        let snapshot = pool.snapshot();
        assert!(snapshot.closed && snapshot.counts.closed == 2);
        drop(kept);
        assert!(pool.close(secs(9)).await.is_complete());
        until("all are closed", || server.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn r21_a_close_ends_what_is_spare_at_once() {
    each(3, |server, pool| async move {
        let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        let kept = pool.acquire().await.unwrap();
        drop(held);
        let tests = server.tests();
        let close = pool.close(secs(9));
        until("the spare ones are closed", || server.open() == 1).await;
        drop(kept);
        let report = close.await;
        assert_eq!((report.closed, report.abandoned), (3, 0), "{report}");
        assert_eq!((server.open(), server.tests()), (0, tests));
        drop(pool);
        until("nothing is left of it", || server.is_alone()).await;
    })
    .await;
}

#[tokio::test]
async fn dropping_the_pool_closes_it() {
    each(2, |server, pool| async move {
        let held = pool.acquire().await.unwrap();
        drop(pool.acquire().await.unwrap());
        drop(pool);
        until("the spare one is closed", || server.open() == 1).await;
        drop(held);
        until("so is the other", || server.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn r22_a_guard_may_be_dropped_outside_a_runtime() {
    each(1, |server, pool| async move {
        let mut held = pool.acquire().await.unwrap();
        std::thread::spawn(move || held.broken = true).join().unwrap();
        assert_eq!(pool.acquire().await.unwrap().id, 2);
        assert_eq!(server.open(), 1);
    })
    .await;
}

#[test]
fn r22_pools_and_guards_may_outlive_the_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, left) = (runtime(), Mutex::new(Vec::new()));
    first.block_on(each(2, |server, pool| {
        let left = &left;
        async move {
            let held = pool.acquire().await.unwrap();
            drop(pool.acquire().await.unwrap());
            left.lock().unwrap().push((server, held, pool));
        }
    }));
    drop(first);
    for (server, held, pool) in left.into_inner().unwrap() {
        drop(held);
        drop(pool);
        runtime().block_on(until("all are closed", || server.open() == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn r18_with_our_manager_in_their_pool_behind_our_trait_nothing_dirty_is_inherited() {
    let server = FakeServer::new();
    let builder = bb8::Pool::builder().max_size(1);
    let pool = Bb8Pool::new("theirs", builder, ForBb8::new(server.manager()));
    pool.acquire().await.unwrap().begin();
    let connection = pool.acquire().await.unwrap();
    assert_eq!((connection.id(), connection.in_transaction()), (2, false));
    drop(connection);
    assert_eq!((server.calls(Op::Reset), server.held()), (0, 1));
    assert!(pool.close(secs(1)).await.is_complete());
    assert_eq!(server.held(), 0);
}
