//! R20: other settings for a running pool: each takes effect, at once where that can be, and what
//! needs a restart is said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use pool_core::{AcquireErrorKind, ErrorClass, PoolConfig, Reuse, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

type Change = fn(PoolConfig) -> PoolConfig;

/// Changes some of the settings that a pool goes by now; says which have changed.
#[track_caller]
fn change(
    pool: &TestPool,
    change: impl FnOnce(PoolConfig) -> PoolConfig,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let new = change(PoolConfig::clone(&pool.config()));
    let done = pool.reconfigure(&new).unwrap();
    (done.changed, done.needs_restart)
}

/// The same, of one setting that can be changed.
#[track_caller]
pub(crate) fn set(pool: &TestPool, name: &'static str, to: impl FnOnce(PoolConfig) -> PoolConfig) {
    assert_eq!(change(pool, to), (vec![name], vec![]));
}

#[tokio::test(start_paused = true)]
async fn r20_every_setting_is_told_by_its_name_and_read_again() {
    let live: [(&str, Change); 20] = [
        ("max_size", |c| c.max_size(11)),
        ("min_size", |c| c.min_size(1)),
        ("min_idle", |c| c.min_idle(1)),
        ("max_idle", |c| c.max_idle(9)),
        ("max_waiting", |c| c.max_waiting(9)),
        ("max_connecting", |c| c.max_connecting(3)),
        ("acquire_timeout", |c| c.acquire_timeout(None)),
        ("connect_timeout", |c| c.connect_timeout(Duration::MAX)),
        ("ping_timeout", |c| c.ping_timeout(secs(1))),
        ("reset_timeout", |c| c.reset_timeout(secs(1))),
        ("close_timeout", |c| c.close_timeout(secs(2))),
        ("idle_timeout", |c| c.idle_timeout(None)),
        ("max_lifetime", |c| c.max_lifetime(Duration::MAX)),
        ("lifetime_jitter", |c| c.lifetime_jitter(0.0)),
        ("keepalive", |c| c.keepalive(secs(60))),
        ("validation", |c| c.validation(Validation::Always)),
        ("reuse", |c| c.reuse(Reuse::Fifo)),
        ("backoff_base", |c| c.backoff_base(ms(1))),
        ("backoff_cap", |c| c.backoff_cap(ms(20))),
        ("leak_after", |c| c.leak_after(secs(60))),
    ];
    let fixed: [(&str, Change); 2] =
        [("name", |c| c.name("other")), ("flight_recorder", |c| c.flight_recorder(1))];
    let (_, pool) = pool_of(10);
    let (before, mut wanted) = (pool.config(), PoolConfig::clone(&pool.config()));
    for (name, change) in live {
        wanted = change(wanted);
        set(&pool, name, change);
        assert_eq!(*pool.config(), wanted, "{name}");
    }
    for (name, to) in fixed {
        assert_eq!(change(&pool, to), (vec![], vec![name]));
        assert_eq!(*pool.config(), wanted, "{name} stays");
    }
    // All at once, and back again.
    let all = pool.reconfigure(&PoolConfig::clone(&before).name("other").flight_recorder(1));
    let all = all.unwrap();
    assert_eq!(all.changed, live.map(|(name, _)| name));
    assert_eq!(all.needs_restart, fixed.map(|(name, _)| name));
    assert!(all.to_string().starts_with("changed max_size, min_size, "), "{all}");
    assert!(all.to_string().ends_with("leak_after; needs a restart: name, flight_recorder"));
    assert_eq!(pool.config(), before);
    assert_eq!(pool.snapshot().name, "pool");
    assert!(pool.flight_recording().len() > 1);
    let none = pool.reconfigure(&before).unwrap();
    assert_eq!(none.to_string(), "changed nothing");
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_settings_that_make_no_sense_change_nothing() {
    let (_, pool) = pool_of(4);
    warm(&pool, 4).await;
    sleep(secs(1)).await;
    let (before, events) = (pool.config(), pool.flight_recording().len());
    let wrong = PoolConfig::new().max_size(1).min_size(2).idle_timeout(ms(1));
    let error = pool.reconfigure(&wrong.ping_timeout(ms(0))).unwrap_err();
    let faults: Vec<_> = error.faults().iter().map(|fault| fault.field).collect();
    assert_eq!(faults, ["min_size", "ping_timeout"]);
    sleep(secs(1)).await;
    assert_eq!(pool.config(), before);
    assert_eq!((pool.snapshot().idle, pool.flight_recording().len()), (4, events));
}

#[tokio::test(start_paused = true)]
async fn r20_sizes_serve_who_waits_and_close_what_is_too_many() {
    let (server, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let waiting = ask(&pool, 3);
    settle().await;
    set(&pool, "max_size", |c| c.max_size(4));
    for waiting in waiting {
        let (after, guard) = waiting.await.unwrap();
        assert_eq!((after, guard.is_ok()), (ms(0), true));
    }
    drop(held);
    settle().await;
    assert_eq!(pool.snapshot().idle, 4);
    set(&pool, "max_idle", |c| c.max_idle(3));
    settle().await;
    assert_eq!(audit(&pool).idle, 3);
    change(&pool, |c| c.max_size(2).max_idle(None));
    settle().await;
    assert_eq!((audit(&pool).idle, server.held()), (2, 2));
    change(&pool, |c| c.max_size(6).min_size(5));
    settle().await;
    assert_eq!(audit(&pool).idle, 5);
    let _held = hold(&pool, 5).await;
    set(&pool, "min_idle", |c| c.min_idle(1));
    settle().await;
    assert_eq!(audit(&pool).idle, 1);
}

#[tokio::test(start_paused = true)]
async fn r20_resize_takes_the_sizes_and_nothing_else() {
    let (_, pool) = pool_of(4);
    let before = PoolConfig::clone(&pool.config());
    let sizes = PoolConfig::new().max_size(7).min_size(1).min_idle(2).max_idle(3);
    pool.resize(&sizes.clone().keepalive(secs(1)).reuse(Reuse::Fifo)).unwrap();
    assert_eq!(*pool.config(), before.max_size(7).min_size(1).min_idle(2).max_idle(3));
}

#[tokio::test(start_paused = true)]
async fn r20_max_waiting_holds_for_who_comes_later() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let waiting = ask(&pool, 3);
    settle().await;
    set(&pool, "max_waiting", |c| c.max_waiting(1));
    let refused = pool.acquire().await.unwrap_err();
    assert_eq!(refused.kind(), AcquireErrorKind::QueueFull);
    assert_eq!(pool.snapshot().waiting, 3, "who waits stays");
    set(&pool, "max_waiting", |c| c.max_waiting(4));
    let fourth = ask(&pool, 1);
    settle().await;
    drop(held);
    for waiting in waiting.into_iter().chain(fourth) {
        assert!(waiting.await.unwrap().1.is_ok());
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_max_connecting_starts_more_at_once_and_fewer_later() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(100)));
    let pool = builder(&server, 8).max_connecting(1).build().unwrap();
    let waiting = ask(&pool, 8);
    settle().await;
    assert_eq!(pool.snapshot().connecting, 1);
    set(&pool, "max_connecting", |c| c.max_connecting(4));
    settle().await;
    assert_eq!(pool.snapshot().connecting, 4);
    set(&pool, "max_connecting", |c| c.max_connecting(2));
    sleep(ms(101)).await;
    assert_eq!((pool.snapshot().in_use, pool.snapshot().connecting), (4, 2));
    waiting.iter().for_each(JoinHandle::abort);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_the_acquire_timeout_holds_for_who_begins_later() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let first = ask(&pool, 1).remove(0);
    settle().await;
    for (to, after) in [(secs(2), secs(2)), (ms(0), ms(0)), (secs(20), secs(20))] {
        set(&pool, "acquire_timeout", |c| c.acquire_timeout(to));
        let begun = Instant::now();
        let error = pool.acquire().await.unwrap_err();
        took(begun, after);
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    }
    for to in [None, Some(Duration::MAX)] {
        set(&pool, "acquire_timeout", |c| c.acquire_timeout(to));
        let hour = secs(3600);
        assert!(timeout(hour, pool.acquire().into_future()).await.is_err(), "it waits on");
    }
    let (after, outcome) = first.await.unwrap();
    assert!(outcome.is_err() && (secs(30)..=secs(30) + ms(1)).contains(&after), "{after:?}");
    // `ready` goes by it too.
    drop(held);
    change(&pool, |c| c.acquire_timeout(secs(3)).max_size(2).min_size(2));
    pool.suspend();
    let begun = Instant::now();
    assert!(pool.ready().await.is_err());
    took(begun, secs(3));
}

#[tokio::test(start_paused = true)]
async fn r20_the_deadlines_of_background_work_hold_for_what_begins_later() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).validation(Validation::Always).build().unwrap();
    set(&pool, "connect_timeout", |c| c.connect_timeout(ms(300)));
    server.next(Op::Connect, [Behaviour::Hang]);
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    let (late, pause) = (begun.elapsed(), ms(12));
    assert!(ms(300) <= late && late <= ms(300) + pause, "{late:?}");

    set(&pool, "ping_timeout", |c| c.ping_timeout(ms(400)));
    sleep(ms(1)).await;
    server.next(Op::Ping, [Behaviour::Hang]);
    let begun = Instant::now();
    let guard = pool.acquire().await.unwrap();
    took(begun, ms(400));

    set(&pool, "close_timeout", |c| c.close_timeout(ms(500)));
    server.next(Op::Close, [Behaviour::Hang]);
    guard.invalidate();
    let begun = Instant::now();
    let mut guard = pool.acquire().await.unwrap();
    took(begun, ms(500));

    set(&pool, "reset_timeout", |c| c.reset_timeout(ms(600)));
    server.next(Op::Reset, [Behaviour::Hang]);
    guard.begin();
    drop(guard);
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, ms(600));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_validation_and_reuse_hold_from_the_next_hand_out_on() {
    let (server, pool) = pool_of(2);
    warm(&pool, 2).await;
    sleep(secs(1)).await;
    let pings = async |to| {
        set(&pool, "validation", |c| c.validation(to));
        let before = server.calls(Op::Ping);
        drop(pool.acquire().await.unwrap());
        sleep(ms(100)).await;
        server.calls(Op::Ping) - before
    };
    assert_eq!(pings(Validation::Always).await, 1);
    assert_eq!(pings(Validation::Never).await, 0);
    assert_eq!(pings(Validation::IfIdleFor(ms(10))).await, 1);
    assert_eq!(pings(Validation::Never).await, 0);

    let used = async || {
        let guard = pool.acquire().await.unwrap();
        guard.id()
    };
    assert_eq!(used().await, used().await);
    set(&pool, "reuse", |c| c.reuse(Reuse::Fifo));
    assert_ne!(used().await, used().await);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_a_policy_that_asks_for_less_serves_who_waits_for_a_proof() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).validation(Validation::Always).build().unwrap();
    warm(&pool, 2).await;
    sleep(ms(1)).await;
    server.next(Op::Ping, [Behaviour::Hang]);
    let waiting = ask(&pool, 1).remove(0);
    settle().await;
    assert_eq!((pool.snapshot().validating, pool.snapshot().idle), (1, 1));
    set(&pool, "validation", |c| c.validation(Validation::Never));
    assert_eq!(waiting.await.unwrap().0, ms(0), "by the other one, at once");
    sleep(secs(3)).await;
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r05_a_shorter_backoff_cuts_a_pause_short_and_holds_for_the_next() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let pool = builder(&server, 1).backoff_base(secs(3600)).backoff_cap(secs(3600));
    let pool = pool.acquire_timeout(None).build().unwrap();
    let waiting = ask(&pool, 1).remove(0);
    sleep(secs(10)).await;
    assert_eq!(server.calls(Op::Connect), 1);
    let changed = change(&pool, |c| c.backoff_base(secs(1)).backoff_cap(secs(1)));
    assert_eq!(changed.0, ["backoff_base", "backoff_cap"]);
    let begun = Instant::now();
    sleep(secs(10)).await;
    let connects = server.connects();
    assert!(connects[1] - begun <= secs(1) + ms(1), "{connects:?}");
    assert!((10..=21).contains(&connects.len()), "every half to whole second: {connects:?}");
    waiting.abort();
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r12_a_permanent_error_is_left_alone_for_its_second_whatever_the_backoff() {
    let (server, pool) = pool_of(2);
    let held = pool.acquire().await.unwrap();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let begun = Instant::now();
    let waiting = ask(&pool, 1).remove(0);
    settle().await;
    change(&pool, |c| c.backoff_base(ms(1)).backoff_cap(ms(1)));
    sleep(ms(2500)).await;
    let connects: Vec<_> = server.connects()[1..].iter().map(|at| *at - begun).collect();
    assert_eq!(connects.len(), 3, "{connects:?}");
    assert!(connects[1] >= secs(1) && connects[2] >= secs(2), "{connects:?}");
    drop(held);
    assert!(waiting.await.unwrap().1.is_ok());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r23_leak_after_holds_for_what_is_held() {
    let (server, log) = (FakeServer::new(), Log::default());
    let pool = builder(&server, 2).metrics(Arc::new(log.clone())).build().unwrap();
    let leaks = || -> Vec<u64> {
        let told = log.told().into_iter();
        told.filter_map(|told| match told {
            Told::Leaked { held, .. } => Some(held.as_secs()),
            _ => None,
        })
        .collect()
    };
    let first = pool.acquire().await.unwrap();
    sleep(secs(60)).await;
    let second = pool.acquire().await.unwrap();
    sleep(secs(3)).await;
    set(&pool, "leak_after", |c| c.leak_after(secs(5)));
    settle().await;
    assert_eq!(leaks(), [63], "at once");
    sleep(secs(3)).await;
    assert_eq!(leaks(), [63, 5]);
    set(&pool, "leak_after", |c| c.leak_after(secs(100)));
    sleep(secs(200)).await;
    assert_eq!(leaks(), [63, 5], "each once");
    drop((first, second));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r20_without_a_runtime_and_closed_it_is_harmless() {
    let server = FakeServer::new();
    let pool = std::thread::spawn({
        let server = server.clone();
        move || {
            let pool = builder(&server, 1).build().unwrap();
            assert_eq!(change(&pool, |c| c.max_size(2).min_idle(1)).0, ["max_size", "min_idle"]);
            pool
        }
    });
    let pool = pool.join().unwrap();
    drop(hold(&pool, 2).await);
    settle().await;
    assert_eq!(audit(&pool).idle, 2);
    let held = pool.acquire().await.unwrap();
    let closing = pool.close(secs(1));
    set(&pool, "min_idle", |c| c.min_idle(2));
    drop(held);
    assert!(closing.await.is_complete());
    assert_eq!(audit(&pool).open(), 0);
}

#[test]
fn r20_several_at_once_beside_users_leave_one_of_them_in_force() {
    live(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap();
        let (server, over) = (FakeServer::new(), Arc::new(AtomicBool::new(false)));
        let _inside = runtime.enter();
        let pool = builder(&server, 4).flight_recorder(1 << 18).build().unwrap();
        let users: Vec<_> = (0..4)
            .map(|_| {
                let (pool, over) = (pool.clone(), over.clone());
                runtime.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        pool.acquire().await.unwrap().query().unwrap();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        let barrier = Arc::new(Barrier::new(3));
        let operators: Vec<_> = (1..=3_u32)
            .map(|n| {
                let (pool, barrier) = (pool.clone(), barrier.clone());
                std::thread::spawn(move || {
                    let mut at_odds = 0;
                    for round in 0..500 {
                        let size = 1 + (n * 7 + round) % 5;
                        change(&pool, |_| {
                            let config = PoolConfig::new().max_size(size).min_idle(size - 1);
                            config.acquire_timeout(secs(u64::from(size) * 10))
                        });
                        if barrier.wait().is_leader() {
                            let (now, config) = (pool.snapshot(), pool.config());
                            let machine = (now.max_size, now.min_idle);
                            at_odds += u32::from(machine != (config.max_size, config.min_idle));
                        }
                        barrier.wait();
                    }
                    at_odds
                })
            })
            .collect();
        let at_odds = operators.into_iter().map(|operator| operator.join().unwrap());
        assert_eq!(at_odds.sum::<u32>(), 0, "it says what it goes by");
        over.store(true, Ordering::Relaxed);
        users.into_iter().for_each(|user| runtime.block_on(user).unwrap());
        runtime.block_on(async {
            let rest = || async { pool.snapshot().open() <= pool.config().max_size };
            while !rest().await {
                tokio::task::yield_now().await;
            }
        });
        audit(&pool);
        runtime.block_on(usable(&server, &pool));
    });
}

#[tokio::test(start_paused = true)]
async fn r20_a_recording_with_other_settings_in_it_is_replayed_to_the_same_end() {
    let (server, pool) = pool_of(3);
    let held = hold(&pool, 3).await;
    let waiting = ask(&pool, 4);
    settle().await;
    change(&pool, |c| c.max_size(5).max_waiting(0).leak_after(secs(1)));
    assert!(pool.acquire().await.is_err());
    sleep(secs(2)).await;
    change(&pool, |c| c.max_lifetime(secs(60)).lifetime_jitter(1.0).keepalive(secs(5)));
    drop((held, waiting));
    server.next(Op::Ping, [Behaviour::Slow(ms(10)), Behaviour::Fail(ErrorClass::Transient)]);
    sleep(secs(90)).await;
    change(&pool, |c| c.max_size(2).idle_timeout(secs(1)).reuse(Reuse::Fifo));
    drop(hold(&pool, 2).await);
    sleep(secs(2)).await;
    let recording = pool.flight_recording();
    recording.replay().unwrap();
    let text = recording.to_string();
    assert_eq!(text.matches(" Tuning { sizes: Sizes { max_size: ").count(), 3, "{text}");
    let counts = audit(&pool).counts;
    assert!(counts.ended.lifetime > 0 && counts.ended.idle > 0 && counts.shed > 0, "{counts:?}");
    assert!(counts.leaks > 0 && counts.validated > 0, "{counts:?}");
}

/// Keeps what it was told last; panics when it is told of a pool of 13.
#[derive(Default)]
struct Reckons(std::sync::Mutex<Vec<u32>>);

impl pool_core::Manager for Reckons {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &pool_core::ConnectContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn ping(&self, _: &mut ()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn reconfigured(&self, config: &PoolConfig) {
        self.0.lock().unwrap().push(config.max_size);
        assert_ne!(config.max_size, 13, "a manager that fears 13 (expected in this test)");
    }
}

#[tokio::test(start_paused = true)]
async fn r20_the_manager_is_told_of_what_holds_once_it_does() {
    pool_testkit::hard_deadline();
    let pool = pool_core::ManagedPool::new(Reckons::default());
    let size = |n: u32| PoolConfig::clone(&pool.config()).max_size(n);
    let told = || std::mem::take(&mut *pool.manager().0.lock().unwrap_or_else(|e| e.into_inner()));
    assert!(told().is_empty(), "what it was built with, its maker knows");

    pool.reconfigure(&size(11)).unwrap();
    pool.resize(&size(12)).unwrap();
    assert_eq!(told(), [11, 12]);
    pool.reconfigure(&size(0)).unwrap_err();
    assert!(told().is_empty(), "nothing has changed");

    // R15: its panic is its own.
    pool.reconfigure(&size(13)).unwrap();
    assert_eq!(pool.config().max_size, 13);
    drop(pool.acquire().await.unwrap());
}
