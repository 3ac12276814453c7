//! R23: who holds what. R24: counts that add up. R25: no secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pool_core::{
    AcquireErrorKind, ConnectContext, ErrorClass, ManagedPool, Manager, Pool, PoolExt, Request,
};
use pool_testkit::{Behaviour, FakeConnection, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r23_a_time_out_reads_like_a_diagnosis() {
    let server = FakeServer::new();
    let pool = builder(&server, 3).name("orders").build().unwrap();
    let line = line!() + 3;
    let mut guards = Vec::new();
    for _ in 0..2 {
        guards.push(pool.acquire().operation("report").await.unwrap());
    }
    let other = pool.acquire().await.unwrap();
    for guard in &mut guards {
        guard.work(secs(1)).await;
    }
    sleep(secs(8)).await;
    let asker = pool.clone();
    let error = tokio::spawn(async move { asker.acquire().within(secs(2)).await.unwrap_err() });
    let error = error.await.unwrap();
    let text = error.to_string();
    for part in [
        "orders: no connection within 2.0 s, waiting for one to come back",
        "3 of 3 in use, 0 idle, 0 connecting",
        &format!("insight.rs:{line}:"),
        "(report) for up to 12.0 s, unused 92 % of it",
        &format!("1 by {}:{}:", file!(), line + 2),
        "held without being used",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let [report, single] = error.holders() else { panic!("{text}") };
    assert_eq!((report.count, report.site.line()), (2, line));
    assert_eq!((report.operation, report.longest), (Some("report"), secs(12)));
    assert_eq!((single.count, single.idle_share), (1, None), "it never said when it was busy");
    assert!(error.nested_in().is_none());
    assert_eq!(error.snapshot().in_use, 3);
    drop((guards, other));
    assert!(pool.holders().is_empty());
}

#[tokio::test(start_paused = true)]
async fn r23_the_last_connect_error_is_told_while_it_matters() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Saturated)]);
    server.always(Op::Connect, Behaviour::Hang);
    let error = pool.acquire().within(secs(2)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("waiting for one to be opened"), "{text}");
    assert!(text.contains("last connect error 2.0 s ago"), "{text}");
    assert!(text.contains("failed Connect (saturated)"), "{text}");
    server.always(Op::Connect, Behaviour::Ok);
    let guard = pool.acquire().await.unwrap();
    let text = pool.acquire().within(secs(1)).await.unwrap_err().to_string();
    assert!(!text.contains("connect error"), "all is well by now: {text}");
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn r23_a_nested_acquire_is_named() {
    let (_, pool) = pool_of(2);
    let other = tokio::spawn({
        let pool = pool.clone();
        async move {
            let _held = pool.acquire().await.unwrap();
            sleep(secs(60)).await;
        }
    });
    settle().await;
    let nested = tokio::spawn(async move {
        let line = line!() + 1;
        let _outer = pool.acquire().await.unwrap();
        let error = pool.acquire().within(secs(1)).await.unwrap_err();
        (line, error)
    });
    let (line, error) = nested.await.unwrap();
    assert_eq!(error.nested_in().unwrap().line(), line);
    let text = error.to_string();
    assert!(text.contains("The caller may be waiting for itself"), "{text}");
    assert!(text.contains(&format!("insight.rs:{line}")), "{text}");
    assert!(!text.contains("deadlock"), "the other one will be back: {text}");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn r23_a_full_deadlock_is_named() {
    let (_, pool) = pool_of(3);
    let tasks: Vec<_> = (0..3_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let _outer = pool.acquire().await.unwrap();
                sleep(ms(1)).await;
                pool.acquire().within(secs(1 + n)).await.map(drop)
            })
        })
        .collect();
    let mut texts = Vec::new();
    for task in tasks {
        texts.extend(task.await.unwrap().err().map(|error| error.to_string()));
    }
    assert_eq!(texts.len(), 1, "the first gives up, which frees the others: {texts:?}");
    assert!(texts[0].contains("a deadlock"), "{}", texts[0]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r23_the_call_site_survives_a_pool_as_an_object() {
    let (_, pool) = pool_of(2);
    let object: Arc<dyn Pool<Connection = FakeConnection>> = Arc::new(pool.clone());
    let line = line!() + 1;
    let first = object.acquire().await.unwrap();
    let second = object.acquire_with(Request::new().operation("second")).await.unwrap();
    let mut holders = pool.holders();
    holders.sort_by_key(|holder| holder.site.line());
    let sites: Vec<_> =
        holders.iter().map(|holder| (holder.site.file(), holder.site.line())).collect();
    assert_eq!(sites, [(file!(), line), (file!(), line + 1)]);
    let within = Request::new().within(ms(20));
    let error = object.acquire_with(within).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.holders().len()), (AcquireErrorKind::TimedOut, 2));
    drop(first);
    second.invalidate();
    settle().await;
    assert_eq!(audit(&pool).counts.ended.invalidated, 1);
}

#[tokio::test(start_paused = true)]
async fn r23_a_leak_is_reported_once_with_its_holder() {
    let server = FakeServer::new();
    let log = Log::default();
    let pool =
        builder(&server, 2).leak_after(secs(5)).metrics(Arc::new(log.clone())).build().unwrap();
    let line = line!() + 1;
    let leaked = pool.acquire().await.unwrap();
    sleep(secs(4)).await;
    drop(pool.acquire().await.unwrap());
    sleep(secs(60)).await;
    drop(leaked);
    let leaks: Vec<_> = log
        .told()
        .into_iter()
        .filter_map(|told| match told {
            Told::Leaked { site, held } => Some((site.line(), held.as_secs())),
            _ => None,
        })
        .collect();
    assert_eq!(leaks, [(line, 5)]);
    assert_eq!(audit(&pool).counts.leaks, 1);
}

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
