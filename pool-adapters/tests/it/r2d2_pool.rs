//! r2d2's pool behind our trait: whom it blocks.

use std::sync::Arc;

use pool_adapters::R2d2Pool;
use pool_core::{AcquireErrorKind, Pool, PoolExt, Request};
use scheduled_thread_pool::ScheduledThreadPool;

use crate::support::{ms, secs, soon, until};
use crate::theirs::{Act, Server, TheirManager};

fn pool_of(server: &Server, max_size: u32) -> R2d2Pool<TheirManager> {
    let builder = r2d2::Pool::builder().max_size(max_size).min_idle(Some(0));
    R2d2Pool::new("theirs", builder.connection_timeout(secs(20)), server.manager())
}

#[tokio::test]
async fn r07_a_test_that_hangs_costs_a_thread_and_a_place_and_stops_nobody() {
    let server = Server::default();
    let pool = pool_of(&server, 2);
    drop(pool.acquire().await.unwrap());
    server.next_tests([Act::Hang]);
    // The only worker of this runtime goes on, or the deadline would not come.
    let error = pool.acquire_with(Request::new().within(ms(30))).await.unwrap_err();
    assert_eq!((error.kind(), pool.threads()), (AcquireErrorKind::TimedOut, 1));
    assert_eq!(soon(pool.acquire()).await.unwrap().id, 2);
    server.release();
    until("the thread goes", || pool.threads() == 0).await;
    let held = (soon(pool.acquire()).await.unwrap(), soon(pool.acquire()).await.unwrap());
    assert_eq!(held.0.id + held.1.id, 3, "it came back, tested");
}

#[tokio::test]
async fn r21_a_close_reports_a_test_that_hangs() {
    let server = Server::default();
    let pool = pool_of(&server, 2);
    drop(pool.acquire().await.unwrap());
    server.next_tests([Act::Hang]);
    let refused = pool.acquire_with(Request::new().within(ms(10))).await.unwrap_err();
    assert_eq!(refused.kind(), AcquireErrorKind::TimedOut);
    let report = pool.close(ms(10)).await;
    assert_eq!((report.abandoned, report.holders.len()), (1, 0), "{report}");
    server.release();
    assert!(soon(pool.close(secs(9))).await.is_complete());
    until("it is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn there_is_at_most_a_thread_for_each_connection() {
    let server = Server::default();
    let pool = Arc::new(pool_of(&server, 2));
    server.next_connects([Act::Hang, Act::Hang]);
    let ask = |pool: Arc<R2d2Pool<_>>| async move { pool.acquire().await.map(drop) };
    let tasks: Vec<_> = (0..20).map(|_| tokio::spawn(ask(pool.clone()))).collect();
    until("all wait", || pool.snapshot().waiting == 20).await;
    until("two connect", || pool.snapshot().connecting == 2).await;
    assert_eq!(pool.threads(), 2);
    server.release();
    for task in tasks {
        soon(task).await.unwrap().unwrap();
    }
    assert_eq!((pool.threads(), pool.snapshot().counts.acquired), (0, 20));
}

#[tokio::test]
async fn r14_a_caller_without_a_deadline_who_goes_takes_the_thread_along() {
    let server = Server::default();
    server.down();
    let pool = pool_of(&server, 1);
    let patient = pool.acquire_with(Request::new().within(None));
    assert!(tokio::time::timeout(ms(10), patient).await.is_err());
    assert_eq!((pool.threads(), pool.snapshot().counts.cancelled), (1, 1));
    until("the thread goes", || pool.threads() == 0).await;
}

#[tokio::test]
async fn no_thread_is_needed_where_nothing_is_tested() {
    let server = Server::default();
    let builder = r2d2::Pool::builder().max_size(1).min_idle(Some(1)).test_on_check_out(false);
    let pool = R2d2Pool::new("theirs", builder, server.manager());
    until("one is spare", || pool.snapshot().idle == 1).await;
    let mut acquire = pool.acquire();
    let looked = std::future::poll_fn(|cx| std::task::Poll::Ready(acquire.as_mut().poll(cx)));
    assert!(looked.await.is_ready());
}

#[tokio::test]
async fn an_invalidated_connection_is_not_dropped_on_the_worker() {
    let server = Server::default();
    let pool = pool_of(&server, 1);
    pool.acquire().await.unwrap().invalidate();
    until("it is dropped", || server.open() == 0).await;
    assert_eq!(server.threads().last().unwrap(), "pool-r2d2");
    assert_eq!(soon(pool.acquire()).await.unwrap().id, 2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn r21_without_a_reaper_no_thread_is_left_after_a_close() {
    fn threads(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|comm| comm.starts_with(name)).count()
    }
    let server = Server::default();
    let workers = ScheduledThreadPool::builder().num_threads(2);
    let workers = Arc::new(workers.thread_name_pattern("closing-{}").build());
    let builder = r2d2::Pool::builder().max_size(2).thread_pool(workers);
    let builder = builder.idle_timeout(None).max_lifetime(None);
    let pool = R2d2Pool::new("theirs", builder, server.manager());
    drop(soon(pool.acquire()).await.unwrap());
    until("r2d2's threads have their names", || threads("closing-") == 2).await;
    assert!(pool.close(secs(9)).await.is_complete());
    until("r2d2's threads go", || threads("closing-") == 0).await;
    until("nothing is left", || server.is_alone() && server.open() == 0).await;
}
