//! R20: `ready()`, which waits for the minimums.

use pool_core::{AcquireErrorKind, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r20_ready_waits_for_the_minimums() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    let pool = builder(&server, 8).min_size(5).max_connecting(2).build().unwrap();
    let begun = Instant::now();
    pool.ready().await.unwrap();
    took(begun, secs(3)); // two, two and one
    assert_eq!(audit(&pool).idle, 5);
}

#[tokio::test(start_paused = true)]
async fn r20_ready_of_a_pool_whose_acquires_try_once_waits_for_connects() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(secs(1)));
    let pool = builder(&server, 2).min_size(1).acquire_timeout(ms(0)).build().unwrap();
    pool.ready().await.unwrap();
    server.always(Op::Connect, Behaviour::Hang);
    let pool = builder(&server, 2).min_size(1).acquire_timeout(ms(0)).connect_timeout(secs(3));
    let pool = pool.build().unwrap();
    let begun = Instant::now();
    assert_eq!(pool.ready().await.unwrap_err().kind(), AcquireErrorKind::TimedOut);
    took(begun, secs(3));
}

#[tokio::test(start_paused = true)]
async fn r20_ready_says_why_not() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::FailAfter(ms(5), pool_core::ErrorClass::Permanent));
    let pool = builder(&server, 8).min_size(1).build().unwrap();
    let begun = Instant::now();
    let error = pool.ready().await.unwrap_err();
    assert!(begun.elapsed() <= ms(6));
    assert_eq!(error.kind(), AcquireErrorKind::Connect);

    server.always(Op::Connect, Behaviour::Hang);
    let pool = builder(&server, 8).min_size(1).acquire_timeout(secs(2)).build().unwrap();
    let begun = Instant::now();
    assert_eq!(pool.ready().await.unwrap_err().kind(), AcquireErrorKind::TimedOut);
    took(begun, secs(2));
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ready().await.unwrap_err().kind() }
    });
    settle().await;
    drop(pool.close(secs(1)));
    assert_eq!(waiting.await.unwrap(), AcquireErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn r20_ready_notices_a_spare_connection_that_comes_back() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).min_idle(1).build().unwrap();
    let guard = pool.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ready().await }
    });
    sleep(secs(1)).await;
    assert!(!waiting.is_finished());
    let begun = Instant::now();
    drop(guard);
    waiting.await.unwrap().unwrap();
    took(begun, ms(0));
    audit(&pool);
}

#[test]
fn r20_ready_needs_no_runtime_of_the_callers() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = FakeServer::new();
        let given = runtime.handle().clone();
        let pool = builder(&server, 2).min_size(2).runtime(given.clone()).build().unwrap();
        park_on(pool.ready()).unwrap();
        server.always(Op::Connect, Behaviour::Hang);
        let pool =
            builder(&server, 2).min_size(2).runtime(given).acquire_timeout(ms(20)).build().unwrap();
        assert_eq!(park_on(pool.ready()).unwrap_err().kind(), AcquireErrorKind::TimedOut);
        let pool = builder(&server, 2).min_size(2).build().unwrap();
        assert_eq!(park_on(pool.ready()).unwrap_err().kind(), AcquireErrorKind::NoRuntime);
    });
}

#[tokio::test(start_paused = true)]
async fn r20_one_that_is_being_proven_counts_for_ready() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).min_idle(1).validation(Validation::Always).build().unwrap();
    warm(&pool, 1).await;
    server.always(Op::Ping, Behaviour::Slow(secs(1)));
    let mut acquire = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut acquire).await.is_pending());
    assert_eq!(pool.snapshot().idle, 0);
    let begun = Instant::now();
    pool.ready().await.unwrap();
    took(begun, ms(0));
}

#[test]
fn r22_who_waits_for_ready_brings_a_runtime_when_the_pools_is_gone() {
    let server = FakeServer::new();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    server.next(Op::Connect, [Behaviour::Hang]);
    let pool = {
        let _inside = first.enter();
        builder(&server, 2).min_size(1).build().unwrap()
    };
    let waiting = second.spawn({
        let pool = pool.clone();
        async move { pool.ready().await.map_err(|error| error.kind()) }
    });
    second.block_on(async { sleep(ms(20)).await }); // it waits
    drop(first);
    let waited = second.block_on(async { tokio::time::timeout(secs(20), waiting).await });
    assert_eq!(waited.expect("in time").unwrap(), Ok(()));
    assert_eq!(audit(&pool).idle, 1);
}

#[test]
fn r22_who_waits_for_ready_without_a_runtime_is_told_when_the_pools_is_gone() {
    live(|| {
        let server = FakeServer::new();
        server.always(Op::Connect, Behaviour::FailAfter(ms(1), pool_core::ErrorClass::Transient));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let builder = builder(&server, 2).min_size(1).acquire_timeout(None);
        // Nothing is under way then.
        let builder = builder.backoff_base(secs(3600)).backoff_cap(secs(3600));
        let pool = builder.runtime(runtime.handle().clone()).build().unwrap();
        let ending = std::thread::spawn({
            let pool = pool.clone();
            move || {
                runtime.block_on(async {
                    while pool.snapshot().counts.connects_failed() == 0 {
                        sleep(ms(1)).await;
                    }
                    sleep(ms(20)).await; // it waits
                });
                drop(runtime);
            }
        });
        assert_eq!(park_on(pool.ready()).unwrap_err().kind(), AcquireErrorKind::NoRuntime);
        ending.join().unwrap();
    });
}

/// It has neither a clock of its own nor, from then on, the one it had.
#[test]
fn r22_who_waits_for_ready_without_a_runtime_goes_on_by_the_next_one() {
    live(|| {
        let server = FakeServer::new();
        server.always(Op::Connect, Behaviour::Hang);
        let (first, second) = [(); 2].map(|()| tokio::runtime::Runtime::new().unwrap()).into();
        let builder = builder(&server, 2).min_size(1).runtime(first.handle().clone());
        let pool = builder.acquire_timeout(secs(20)).build().unwrap();
        let mut ready = Box::pin(pool.ready());
        let mut once = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ready.as_mut().poll(&mut once).is_pending());
        drop(first);
        let mut other = Box::pin(pool.acquire().into_future());
        second.block_on(async { assert!(poll_once(&mut other).await.is_pending()) });
        assert!(ready.as_mut().poll(&mut once).is_pending());
    });
}
