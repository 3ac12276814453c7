//! R24: counts that add up. R25: no secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pool_core::{ConnectContext, ErrorClass, ManagedPool, Manager, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

#[test]
fn r24_acquires_add_up_at_every_snapshot_of_a_random_load() {
    live(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = FakeServer::new();
            server.always(Op::Reset, Behaviour::Slow(ms(1)));
            let pool = ManagedPool::builder(server.manager())
                .max_size(4)
                .max_waiting(20)
                .flight_recorder(1 << 18)
                .before_acquire(|connection| match connection.id() % 5 {
                    0 => Err("not this one".into()),
                    _ => Ok(()),
                })
                .build()
                .unwrap();
            let (started, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let workers: Vec<_> = (0..32_u64)
                .map(|n| {
                    let (pool, started, ended) = (pool.clone(), started.clone(), ended.clone());
                    tokio::spawn(async move {
                        for round in 0..150_u64 {
                            let dice = (n * 31 + round * 17) % 23;
                            started.fetch_add(1, Ordering::SeqCst);
                            let acquire = pool.acquire().within(ms(dice % 4)).into_future();
                            let outcome = poll_times(acquire, 1 + dice as usize % 3, true).await;
                            ended.fetch_add(1, Ordering::SeqCst);
                            if let Some(Ok(mut guard)) = outcome {
                                match dice {
                                    0 | 5 | 7 => guard.begin(),
                                    1 => server_kill(&guard),
                                    _ => {}
                                }
                                if dice % 2 == 0 {
                                    tokio::task::yield_now().await;
                                }
                                if dice == 2 {
                                    guard.invalidate();
                                }
                            }
                        }
                    })
                })
                .collect();
            let looking = Arc::new(AtomicBool::new(true));
            let looker = std::thread::spawn({
                let (pool, looking) = (pool.clone(), looking.clone());
                let (started, ended) = (started.clone(), ended.clone());
                move || {
                    let mut looks = 0;
                    while looking.load(Ordering::Relaxed) {
                        let least = ended.load(Ordering::SeqCst);
                        let now = pool.snapshot();
                        let most = started.load(Ordering::SeqCst);
                        adds_up(&now);
                        assert!(now.open() <= 4, "{now:?}");
                        let known = now.counts.acquires() + u64::from(now.waiting);
                        assert!(least <= known && known <= most, "{least} <= {known} <= {most}");
                        looks += 1;
                    }
                    looks
                }
            });
            for worker in workers {
                worker.await.unwrap();
            }
            looking.store(false, Ordering::Relaxed);
            assert!(looker.join().unwrap() > 10);
            sleep(ms(50)).await;
            let now = audit(&pool);
            assert_eq!(now.counts.acquires(), 32 * 150);
            assert_eq!((now.waiting, now.in_use), (0, 0));
            let counts = now.counts;
            for (what, count) in [
                ("acquired", counts.acquired),
                ("cancelled", counts.cancelled),
                ("timed out", counts.timed_out),
                ("shed", counts.shed),
                ("reset", counts.reset),
                ("broken", counts.ended.broken),
                ("invalidated", counts.ended.invalidated),
            ] {
                assert!(count > 0, "the load is to have some that were {what}: {counts:?}");
            }
            let report = pool.close(secs(5)).await;
            assert!(report.is_complete(), "{report}");
            assert_eq!((server.held(), pool.snapshot().open()), (0, 0));
            audit(&pool);
        });
    });
}

fn server_kill(guard: &TestGuard) {
    guard.server().kill(guard.id());
}

#[tokio::test(start_paused = true)]
async fn r24_what_is_on_its_way_to_its_user_is_still_waited_for() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).build().unwrap();
    let seen = || {
        let statistics = pool.statistics();
        let (snapshot, counts) = (&statistics.snapshot, statistics.snapshot.counts);
        let waits = statistics.wait.count();
        (counts.acquired, counts.waited, waits, snapshot.waiting, counts.cancelled)
    };
    for (round, cancelled) in [(1, true), (2, false)] {
        let guard = pool.acquire().await.unwrap();
        let mut future = Box::pin(pool.acquire().into_future());
        assert!(poll_once(&mut future).await.is_pending());
        let waiting = seen();
        drop(guard);
        assert_eq!(seen(), waiting, "handed out, but nobody has come for it");
        if cancelled {
            drop(future);
            assert_eq!(seen(), (1, 1, 1, 0, 1), "no count has fallen");
        } else {
            drop(future.await);
            assert_eq!(seen(), (round + 1, 2, round + 1, 0, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r24_a_new_connection_is_a_miss_when_its_user_has_come_for_it() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).build().unwrap();
    let seen = || {
        let counts = pool.snapshot().counts;
        (counts.created, counts.acquired, counts.hits, counts.misses)
    };
    let mut future = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut future).await.is_pending());
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(seen(), (1, 0, 0, 0), "opened and handed out, but nobody has come for it");
    drop(future.await.unwrap());
    assert_eq!(seen(), (1, 1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn r24_every_acquire_ends_in_exactly_one_count() {
    let server = FakeServer::new();
    let log = Log::default();
    let pool = builder(&server, 1).max_waiting(1).metrics(Arc::new(log.clone())).build().unwrap();
    let acquires = |pool: &TestPool| pool.snapshot().counts.acquires();
    let held = pool.acquire().operation("held").await.unwrap();
    assert_eq!(acquires(&pool), 1);
    let mut waiting = Box::pin(pool.acquire().within(secs(1)).into_future());
    assert!(poll_once(&mut waiting).await.is_pending());
    assert_eq!((acquires(&pool), pool.snapshot().waiting), (1, 1));
    assert!(pool.acquire().await.is_err()); // shed
    assert!(waiting.await.is_err()); // timed out
    drop(poll_times(pool.acquire().into_future(), 1, true).await); // cancelled
    pool.suspend();
    assert!(pool.acquire().within(ms(1)).await.is_err()); // suspended
    pool.resume();
    held.invalidate();
    server.next(Op::Connect, [Behaviour::Panic]);
    assert!(pool.acquire().await.is_err()); // failed
    pool.close(secs(1)).await;
    assert!(pool.acquire().await.is_err()); // closed
    let counts = audit(&pool).counts;
    assert_eq!((counts.acquired, counts.shed, counts.timed_out, counts.cancelled), (1, 1, 1, 1));
    assert_eq!((counts.suspended, counts.failed, counts.closed), (1, 1, 1));
    assert_eq!(counts.acquires(), 7);
    let failures: Vec<_> = log
        .told()
        .into_iter()
        .filter_map(|told| match told {
            Told::AcquireFailed(kind) => Some(kind.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(failures, ["queue_full", "timed_out", "suspended", "panicked", "closed"]);
}

#[tokio::test(start_paused = true)]
async fn r24_histograms_and_events_agree_with_the_counts() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(20)));
    let log = Log::default();
    let pool = builder(&server, 1).metrics(Arc::new(log.clone())).build().unwrap();
    for _ in 0..3 {
        let guard = pool.acquire().await.unwrap();
        sleep(ms(50)).await;
        drop(guard);
    }
    let statistics = pool.statistics();
    assert_eq!((statistics.wait.count(), statistics.usage.count()), (3, 3));
    assert!(statistics.wait.max() >= ms(20) && statistics.wait.max() <= ms(21));
    assert_eq!((statistics.connect.count(), statistics.snapshot.counts.waited), (1, 1));
    assert_eq!(statistics.snapshot.hit_rate(), Some(2.0 / 3.0));
    let hits = |hit| {
        let told = log.told();
        told.iter()
            .filter(|told| matches!(told, Told::Acquired { hit: h, .. } if *h == hit))
            .count()
    };
    assert_eq!((hits(true), hits(false)), (2, 1));
    audit(&pool);
}

const CANARY: &str = "hunter2-canary";

/// A manager that knows a secret and can be told to fail.
struct Keeper {
    password: String,
    fail: AtomicBool,
}

impl Manager for Keeper {
    type Connection = u64;
    type Error = std::io::Error;

    async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> {
        assert_eq!(self.password, CANARY);
        match self.fail.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("refused")),
            false => Ok(cx.id()),
        }
    }
    async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r25_a_managers_secret_is_in_no_output() {
    let keeper = Keeper { password: CANARY.into(), fail: AtomicBool::new(false) };
    let builder = ManagedPool::builder(keeper).max_size(1);
    let mut outputs = vec![format!("{builder:?}")];
    let pool = builder.build().unwrap();
    let guard = pool.acquire().await.unwrap();
    outputs.push(format!("{guard:?}"));
    let error = pool.acquire().within(ms(1)).await.unwrap_err();
    outputs.push(format!("{error} {error:?} {error:#?}"));
    guard.invalidate();
    pool.manager().fail.store(true, Ordering::Relaxed);
    let error = pool.acquire().within(ms(100)).await.unwrap_err();
    outputs.push(format!("{error} {error:?}"));
    let future = pool.acquire().into_future();
    outputs.push(format!("{pool:?} {:?} {:?} {future:?}", pool.acquire(), pool.blocking()));
    outputs.push(format!("{:?} {:?} {:?}", pool.snapshot(), pool.statistics(), pool.config()));
    let recording = pool.flight_recording();
    outputs.push(format!("{recording} {recording:?} {:?}", pool.holders()));
    drop(future);
    let report = pool.close(secs(1)).await;
    outputs.push(format!("{report} {report:?}"));
    #[cfg(feature = "serde")]
    outputs.push(serde_json::to_string(&pool.statistics()).unwrap());
    for output in outputs {
        assert!(!output.contains(CANARY) && !output.contains("hunter"), "{output}");
    }
}

/// `block_on` runs no task; its thread tells who asks.
#[tokio::test(start_paused = true)]
async fn r23_a_future_that_is_no_task_is_told_that_it_waits_for_itself() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let error = pool.acquire().within(ms(5)).await.unwrap_err();
    assert_eq!(error.nested_in().map(|site| site.file()), Some(file!()));
    assert!(error.to_string().contains("a deadlock"), "{error}");
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn r24_each_kind_of_failed_connect_and_each_ping_is_counted() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).validation(Validation::Always).build().unwrap();
    for class in [ErrorClass::Transient, ErrorClass::Saturated, ErrorClass::Permanent] {
        server.next(Op::Connect, [Behaviour::Fail(class), Behaviour::Fail(class)]);
        for _ in 0..3 {
            drop(pool.acquire().within(secs(2)).await);
            sleep(secs(2)).await;
        }
        pool.invalidate_all();
    }
    let counts = audit(&pool).counts;
    let failed = (counts.connect_transient, counts.connect_saturated, counts.connect_permanent);
    assert_eq!(failed, (2, 2, 2));
    assert!(counts.validated > 1);
    assert_eq!(counts.validated, server.calls(Op::Ping));
}

#[tokio::test(start_paused = true)]
async fn r24_a_new_connection_that_had_to_be_cleaned_first_is_still_a_miss() {
    let (server, once) = (FakeServer::new(), AtomicBool::new(true));
    let pool = builder(&server, 1).after_connect(move |connection| {
        if once.swap(false, Ordering::Relaxed) {
            connection.begin();
        }
        Ok(())
    });
    let pool = pool.build().unwrap();
    drop(pool.acquire().await.unwrap());
    let counts = audit(&pool).counts;
    assert_eq!((counts.misses, counts.hits, counts.reset), (1, 0, 1));
}
