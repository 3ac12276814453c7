//! R22: pools that outlive their runtimes, and threads without one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use pool_core::{AcquireErrorKind, ManagedPool};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::runtime::{Builder, Runtime};

use crate::support::*;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

static SERVER: LazyLock<FakeServer> = LazyLock::new(FakeServer::new);
static POOL: LazyLock<TestPool> = LazyLock::new(|| builder(&SERVER, 4).build().unwrap());

#[test]
fn r22_a_static_pool_serves_one_test_runtime_after_another() {
    live(|| {
        for round in 0..6 {
            let runtime = if round % 2 == 0 { current_thread() } else { multi_thread() };
            let pings = SERVER.calls(Op::Ping);
            runtime.block_on(async {
                let mut guards = hold(&POOL, 4).await;
                guards.iter_mut().for_each(|guard| guard.query().unwrap());
                guards[0].begin();
            });
            let proven = SERVER.calls(Op::Ping) - pings;
            assert!(round == 0 || proven >= 1, "what a dead runtime left is suspect: {proven}");
            drop(runtime);
            audit(&POOL);
        }
        // And two at once.
        let threads: Vec<_> = (0..2)
            .map(|n| {
                std::thread::spawn(move || {
                    for _ in 0..10 {
                        let runtime = if n == 0 { current_thread() } else { multi_thread() };
                        runtime.block_on(async {
                            for _ in 0..20 {
                                let mut guard = POOL.acquire().within(secs(5)).await.unwrap();
                                guard.query().unwrap();
                                tokio::task::yield_now().await;
                            }
                        });
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        current_thread().block_on(usable(&SERVER, &POOL));
    });
}

#[test]
fn r22_a_runtime_that_ends_by_a_panic_is_gone_as_well() {
    live(|| {
        let server = FakeServer::new();
        let pool = builder(&server, 2).build().unwrap();
        for runtime in [current_thread, multi_thread] {
            let failing = pool.clone();
            let test = std::thread::spawn(move || {
                runtime().block_on(async {
                    let _guard = failing.acquire().await.unwrap();
                    panic!("a test that fails");
                });
            });
            assert!(test.join().is_err());
            current_thread().block_on(async {
                let begun = tokio::time::Instant::now();
                drop(pool.acquire().within(secs(5)).await.expect("the next test is not to suffer"));
                assert!(begun.elapsed() < secs(2));
                usable(&server, &pool).await;
            });
        }
    });
}

#[test]
fn r22_somebody_waits_while_the_pools_runtime_dies() {
    for held in [false, true] {
        live(move || {
            let server = FakeServer::new();
            let doomed = multi_thread();
            let pool = builder(&server, 1).runtime(doomed.handle().clone()).build().unwrap();
            let guard = held.then(|| current_thread().block_on(hold(&pool, 1)).remove(0));
            if !held {
                server.next(Op::Connect, [Behaviour::Hang]); // to die with its runtime
            }
            let (waiting, waits) = mpsc::channel();
            let waiter = std::thread::spawn({
                let pool = pool.clone();
                move || {
                    current_thread().block_on(async {
                        let mut acquire = Box::pin(pool.acquire().within(None).into_future());
                        assert!(poll_once(&mut acquire).await.is_pending());
                        waiting.send(()).unwrap();
                        let mut guard = acquire.await.unwrap();
                        guard.query().unwrap();
                    });
                }
            });
            waits.recv().unwrap();
            while !held && server.calls(Op::Connect) == 0 {
                std::thread::yield_now(); // it hangs where it is to die
            }
            drop(doomed);
            drop(guard);
            waiter.join().unwrap();
            current_thread().block_on(usable(&server, &pool));
        });
    }
}

#[test]
fn r22_a_dead_runtime_is_no_runtime() {
    live(|| {
        let server = FakeServer::new();
        let doomed = multi_thread();
        let dead = doomed.handle().clone();
        drop(doomed);
        let pool = builder(&server, 1).runtime(dead.clone()).build().unwrap();
        let error = dead.block_on(pool.acquire().into_future()).unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
        let _inside = dead.enter();
        drop(pool.blocking().acquire().unwrap()); // it needs none
        audit(&pool);
    });
}

#[test]
fn r22_a_thread_waits_in_a_runtime_that_is_shut_down() {
    live(|| {
        let server = FakeServer::new();
        let doomed = multi_thread();
        let pool = builder(&server, 1).runtime(doomed.handle().clone()).build().unwrap();
        let guard = current_thread().block_on(hold(&pool, 1)).remove(0);
        let (sender, done) = mpsc::channel();
        doomed.spawn_blocking({
            let pool = pool.clone();
            move || {
                let outcome = pool.blocking().acquire_within(secs(5)).map(|guard| guard.id());
                sender.send(outcome).unwrap();
            }
        });
        eventually("it waits", || pool.snapshot().waiting == 1);
        doomed.shutdown_background();
        drop(guard);
        done.recv_timeout(secs(3)).expect("at once").expect("served");
        audit(&pool);
    });
}

#[test]
fn r22_given_a_runtime_it_works_on_that_one() {
    live(|| {
        let server = FakeServer::new();
        let given = multi_thread();
        let pool = builder(&server, 2).runtime(given.handle().clone()).min_size(2).build().unwrap();
        current_thread().block_on(async {
            pool.ready().await.unwrap();
            drop(pool.acquire().await.unwrap());
        });
        assert_eq!(audit(&pool).idle, 2);
        assert!(given.metrics().num_alive_tasks() >= 1, "the maintenance lives there");
        assert_eq!(server.calls(Op::Ping), 0, "and another caller's end is nothing to it");
    });
}

#[test]
fn r22_without_any_runtime_it_says_so() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).build().unwrap();
    let mut acquire = Box::pin(pool.acquire().into_future());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = acquire.as_mut().poll(&mut cx) else {
        panic!("there is nothing to wait for");
    };
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    assert!(error.to_string().contains("builder.runtime(handle)"), "{error}");
    assert_eq!(audit(&pool).counts.failed, 1);
}

#[test]
fn r22_blocking_from_plain_threads() {
    live(|| {
        let server = FakeServer::new();
        let pool = ManagedPool::builder(server.manager()).max_size(3).build().unwrap();
        let threads: Vec<_> = (0..8_u64)
            .map(|n| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for round in 0..200 {
                        let mut guard = pool.blocking().acquire().unwrap();
                        guard.query().unwrap();
                        if (n + round) % 10 == 0 {
                            guard.begin();
                        }
                        assert!(pool.snapshot().open() <= 3);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        eventually("all is back", || pool.snapshot().in_use + pool.snapshot().resetting == 0);
        assert_eq!(audit(&pool).counts.acquired, 1600);
    });
}

#[test]
fn r19_a_thread_is_spared_an_idle_connection_that_a_hook_refuses() {
    live(|| {
        let server = FakeServer::new();
        let uses = Arc::new(AtomicU32::new(0));
        let pool = builder(&server, 1)
            .before_acquire(move |_| match uses.fetch_add(1, Ordering::Relaxed) {
                1 => Err("not again".into()),
                _ => Ok(()),
            })
            .build()
            .unwrap();
        drop(pool.blocking().acquire().unwrap());
        // The idle one is refused, and another opened in its place.
        assert_eq!(pool.blocking().acquire_within(secs(5)).unwrap().id(), 2);
        let now = audit(&pool);
        assert_eq!((now.counts.acquired, now.counts.ended.validation), (2, 1));
    });
}

#[test]
fn r15_a_thread_is_told_that_a_hook_panicked_at_once_and_once() {
    live(|| {
        let server = FakeServer::new();
        let uses = Arc::new(AtomicU32::new(0));
        let pool = builder(&server, 1)
            .before_acquire(move |_| match uses.fetch_add(1, Ordering::Relaxed) {
                1 => panic!("a hook of the test"),
                _ => Ok(()),
            })
            .build()
            .unwrap();
        drop(pool.blocking().acquire().unwrap());
        let error = pool.blocking().acquire().unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Panicked);
        drop(pool.blocking().acquire_within(secs(5)).unwrap());
        let now = audit(&pool);
        assert_eq!((now.counts.acquired, now.counts.failed, now.counts.cancelled), (2, 1, 0));
    });
}

#[test]
fn r22_a_thread_that_comes_to_a_closed_pool_is_refused_and_counted_once() {
    live(|| {
        let (_, pool) = pool_of(1);
        drop(pool.blocking().acquire().unwrap());
        current_thread().block_on(pool.close(secs(1)));
        let error = pool.blocking().acquire().unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Closed);
        let counts = audit(&pool).counts;
        assert_eq!((counts.acquired, counts.closed, counts.cancelled), (1, 1, 0));
    });
}

#[test]
fn r22_blocking_keeps_its_deadline() {
    live(|| {
        let (_, pool) = pool_of(1);
        let guard = pool.blocking().acquire().unwrap();
        let begun = tokio::time::Instant::now();
        let error = pool.blocking().acquire_within(ms(50)).unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        assert!(begun.elapsed() >= ms(50));
        assert!(pool.blocking().acquire_within(Duration::ZERO).is_err());
        drop(guard);
        drop(pool.blocking().acquire_within(Duration::ZERO).unwrap());
        drop(pool.blocking().acquire_within(None).unwrap());
        audit(&pool);
    });
}

#[test]
fn r22_blocking_is_allowed_in_spawn_blocking_and_refused_in_a_task() {
    for runtime in [current_thread, multi_thread] {
        live(move || {
            runtime().block_on(async {
                let (_, pool) = pool_of(1);
                let inner = pool.clone();
                let blocking = move || inner.blocking().acquire().map(|guard| guard.id());
                let id = tokio::task::spawn_blocking(blocking).await.unwrap().unwrap();
                assert_eq!(id, 1);
                let refused = pool.blocking().acquire().unwrap_err();
                assert_eq!(refused.kind(), AcquireErrorKind::WouldBlockAsync);
                assert!(refused.to_string().contains("spawn_blocking"), "{refused}");
                let inner = pool.clone();
                let task = async move { inner.blocking().acquire().unwrap_err().kind() };
                let kind = tokio::spawn(task).await.unwrap();
                assert_eq!(kind, AcquireErrorKind::WouldBlockAsync);
                drop(pool.acquire().await.expect("and the task's budget is as it was"));
                audit(&pool);
            });
        });
    }
}

/// A worker holds up what it woke or spawned last; that must be nothing of the pool's.
#[test]
fn r07_who_computes_for_long_holds_up_nobodys_deadline_and_no_reset() {
    for dirty in [false, true] {
        live(move || {
            let runtime = multi_thread();
            let (_, pool) = pool_of(1);
            let mut guard = runtime.block_on(pool.acquire().into_future()).unwrap();
            if dirty {
                guard.begin();
            }
            let waiting = pool.clone();
            let (frees, freed) = mpsc::channel();
            let waiter = runtime.spawn(async move {
                let _guard = waiting.acquire().await.unwrap();
                let waited = waiting.acquire().within(ms(50)).await.map(drop);
                let _ = frees.send(());
                waited.unwrap_err().kind()
            });
            eventually("it waits", || pool.snapshot().waiting == 1);
            // Then the pool has nothing to do for long, and is woken by the release.
            runtime.block_on(async { tokio::time::sleep(ms(300)).await });
            let computing = runtime.spawn(async move {
                drop(guard);
                freed.recv_timeout(secs(5)).is_ok()
            });
            assert!(runtime.block_on(computing).unwrap(), "dirty {dirty}: others had to wait");
            assert_eq!(runtime.block_on(waiter).unwrap(), AcquireErrorKind::TimedOut);
        });
    }
}

#[test]
fn r22_what_a_runtime_left_that_ended_by_a_panic_is_proven_first() {
    live(|| {
        let server = FakeServer::new();
        let pool = builder(&server, 2).build().unwrap();
        for runtime in [current_thread, multi_thread] {
            let failing = pool.clone();
            let test = std::thread::spawn(move || {
                runtime().block_on(async {
                    drop(failing.acquire().await.unwrap());
                    panic!("a test that fails");
                });
            });
            assert!(test.join().is_err());
            eventually("its end is seen", || {
                format!("{}", pool.flight_recording()).contains("Unbind")
            });
            let pings = server.calls(Op::Ping);
            current_thread().block_on(async { drop(pool.acquire().await.unwrap()) });
            assert_eq!(server.calls(Op::Ping), pings + 1);
        }
        audit(&pool);
    });
}

#[test]
fn r22_a_thread_whose_connect_dies_with_its_runtime_gets_another() {
    live(|| {
        let server = FakeServer::new();
        let doomed = multi_thread();
        let pool = builder(&server, 1).runtime(doomed.handle().clone()).build().unwrap();
        server.next(Op::Connect, [Behaviour::Hang]);
        let (sender, done) = mpsc::channel();
        doomed.spawn_blocking({
            let pool = pool.clone();
            move || {
                let outcome = pool.blocking().acquire_within(None).map(|guard| guard.id());
                sender.send(outcome).unwrap();
            }
        });
        eventually("it waits", || server.calls(Op::Connect) == 1);
        doomed.shutdown_background();
        let id = done.recv_timeout(secs(3)).expect("at once").expect("served");
        assert!(id >= 2, "its first connect died");
        audit(&pool);
    });
}
