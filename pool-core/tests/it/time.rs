//! R7: one deadline, whatever hangs. R8: zero, none and huge durations.

use std::task::Poll;
use std::time::Duration;

use pool_core::{AcquireErrorKind, Phase, Validation};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

/// Acquires with a deadline of half a second, which has to be kept.
async fn in_time(pool: &TestPool, phase: Phase) {
    let begun = Instant::now();
    let error = pool.acquire().within(ms(500)).await.unwrap_err();
    took(begun, ms(500));
    assert_eq!((error.kind(), error.phase()), (AcquireErrorKind::TimedOut, phase), "{error}");
    assert!(error.waited() >= ms(500) && error.waited() <= ms(501), "{error}");
}

#[tokio::test(start_paused = true)]
async fn r07_a_connect_that_hangs() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Hang]);
    let pool = builder(&server, 1).connect_timeout(secs(3)).build().unwrap();
    let begun = Instant::now();
    in_time(&pool, Phase::Connect).await;
    drop(pool.acquire().await.unwrap());
    let late = begun.elapsed();
    assert!(secs(3) <= late && late <= secs(3) + ms(12), "one hang costs one deadline: {late:?}");
    assert_eq!(audit(&pool).counts.connect_transient, 1);
}

#[tokio::test(start_paused = true)]
async fn r07_a_ping_that_hangs() {
    let server = FakeServer::new();
    let pool =
        builder(&server, 1).validation(Validation::Always).ping_timeout(secs(1)).build().unwrap();
    warm(&pool, 1).await;
    sleep(ms(1)).await;
    server.silence_all();
    let begun = Instant::now();
    in_time(&pool, Phase::Validate).await;
    let guard = pool.acquire().await.unwrap();
    took(begun, secs(1));
    assert_eq!(guard.id(), 2, "a fresh one, within the same acquire");
    assert_eq!(audit(&pool).counts.ended.validation, 1);
}

#[tokio::test(start_paused = true)]
async fn r07_a_reset_that_hangs() {
    let server = FakeServer::new();
    server.always(Op::Reset, Behaviour::Hang);
    let pool = builder(&server, 1).reset_timeout(secs(1)).build().unwrap();
    pool.acquire().await.unwrap().begin();
    let begun = Instant::now();
    in_time(&pool, Phase::Validate).await;
    drop(pool.acquire().await.unwrap());
    took(begun, secs(1));
    assert_eq!(audit(&pool).counts.ended.reset, 1);
}

#[tokio::test(start_paused = true)]
async fn r07_a_goodbye_that_hangs() {
    let server = FakeServer::new();
    server.always(Op::Close, Behaviour::Hang);
    let pool = builder(&server, 1).close_timeout(secs(1)).build().unwrap();
    pool.acquire().await.unwrap().invalidate();
    let begun = Instant::now();
    in_time(&pool, Phase::Connect).await;
    drop(pool.acquire().await.unwrap());
    took(begun, secs(1));
    assert_eq!(audit(&pool).counts.abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn r07_a_hook_that_hangs() {
    let server = FakeServer::new();
    let pool = builder(&server, 1)
        .after_connect_async(|_| Box::pin(std::future::pending()))
        .connect_timeout(secs(1))
        .build()
        .unwrap();
    in_time(&pool, Phase::Connect).await;

    let pool = builder(&server, 1)
        .before_acquire_async(|_| Box::pin(std::future::pending()))
        .ping_timeout(secs(2))
        .build()
        .unwrap();
    in_time(&pool, Phase::Validate).await;
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r07_a_holder_who_never_returns() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    in_time(&pool, Phase::Queue).await;
    let begun = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    took(begun, secs(30)); // the default
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    drop(guard);
    assert_eq!(audit(&pool).counts.timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn r07_everything_hangs_at_once() {
    let server = FakeServer::new();
    let pool = builder(&server, 4).validation(Validation::Always).build().unwrap();
    warm(&pool, 3).await;
    for op in [Op::Connect, Op::Ping, Op::Reset, Op::Close] {
        server.always(op, Behaviour::Hang);
    }
    let begun = Instant::now();
    let tasks: Vec<_> = (1..=50_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                assert!(pool.acquire().within(ms(n * 100)).await.is_err());
                took(begun, ms(n * 100));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for op in [Op::Connect, Op::Ping, Op::Reset, Op::Close] {
        server.always(op, Behaviour::Ok);
    }
    sleep(secs(30)).await;
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r07_a_connection_that_comes_at_the_very_deadline_is_not_lost() {
    let (server, pool) = pool_of(1);
    server.always(Op::Connect, Behaviour::Slow(ms(100)));
    let outcome = pool.acquire().within(ms(100)).await.map(drop);
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, now.in_use, now.waiting), (1, 0, 0), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn r08_zero_tries_once() {
    let (server, pool) = pool_of(1);
    let begun = Instant::now();
    let error = pool.acquire().within(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    warm(&pool, 1).await;
    let guard = pool.acquire().within(Duration::ZERO).await.unwrap();
    assert!(pool.acquire().within(Duration::ZERO).await.is_err());
    drop(guard);
    took(begun, ms(0));
    assert_eq!(server.calls(Op::Connect), 1);
    assert_eq!(audit(&pool).counts.timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn r08_zero_as_the_pools_setting_is_no_limitlessness() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(10)));
    let pool = builder(&server, 1).acquire_timeout(Duration::ZERO).build().unwrap();
    let begun = Instant::now();
    assert!(pool.acquire().await.is_err());
    took(begun, ms(0));
    sleep(ms(11)).await;
    drop(pool.acquire().await.unwrap());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r08_none_waits_without_limit() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).acquire_timeout(None).build().unwrap();
    let guard = pool.acquire().await.unwrap();
    tokio::spawn(async move {
        sleep(secs(90 * 24 * 3600)).await;
        drop(guard);
    });
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, secs(90 * 24 * 3600));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r08_no_duration_overflows() {
    const HUGE: Duration = Duration::MAX;
    let server = FakeServer::new();
    server.limits(pool_core::Limits::none().idle(HUGE).lifetime(HUGE));
    let pool = builder(&server, 1)
        .acquire_timeout(HUGE)
        .connect_timeout(HUGE)
        .ping_timeout(HUGE)
        .reset_timeout(HUGE)
        .close_timeout(HUGE)
        .idle_timeout(HUGE)
        .max_lifetime(HUGE)
        .keepalive(HUGE - secs(1))
        .validation(Validation::IfIdleFor(HUGE))
        .backoff_base(HUGE)
        .backoff_cap(HUGE)
        .leak_after(HUGE)
        .build()
        .unwrap();
    let mut guard = pool.acquire().within(HUGE).await.unwrap();
    guard.begin();
    assert!(pool.acquire().within(ms(5)).await.is_err());
    drop(guard);
    drop(pool.acquire().await.unwrap());
    sleep(secs(3600)).await;
    pool.acquire().await.unwrap().invalidate();
    server.next(Op::Connect, [Behaviour::Fail(pool_core::ErrorClass::Transient)]);
    assert!(pool.acquire().within(ms(5)).await.is_err());
    audit(&pool);
    assert!(pool.close(HUGE).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn r08_the_longest_connect_timeout_is_far_away() {
    struct Deadline(std::sync::Mutex<Option<Instant>>);
    impl pool_core::Manager for Deadline {
        type Connection = ();
        type Error = std::io::Error;

        async fn connect(&self, cx: &pool_core::ConnectContext) -> Result<(), Self::Error> {
            *self.0.lock().unwrap() = Some(cx.deadline());
            Ok(())
        }
        async fn ping(&self, (): &mut ()) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    let manager = Deadline(std::sync::Mutex::new(None));
    let builder = pool_core::ManagedPool::builder(manager);
    let pool = builder.connect_timeout(Duration::MAX).build().unwrap();
    drop(pool.acquire().await.unwrap());
    let deadline = pool.manager().0.lock().unwrap().expect("it has connected");
    assert!(deadline > Instant::now() + secs(365 * 24 * 3600));
    assert_eq!(pool.config().connect_timeout, Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn r07_everybody_is_called_in_time_whatever_the_others_allow() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let limits = [Some(500), Some(20), None, Some(300), Some(20), Some(7), Some(900), Some(1)];
    let tasks = (0..64).map(|n| {
        let (pool, limit) = (pool.clone(), limits[n % limits.len()].map(ms));
        tokio::spawn(async move {
            sleep(ms(3 * n as u64)).await;
            let begun = Instant::now();
            let outcome = pool.acquire().within(limit).await;
            if let Some(limit) = limit {
                assert_eq!(outcome.unwrap_err().kind(), AcquireErrorKind::TimedOut);
                took(begun, limit);
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    sleep(secs(2)).await;
    assert_eq!(pool.snapshot().waiting, 8);
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    audit(&pool);
}

/// Who found its task's budget spent joins late, behind somebody who came later than it did.
#[tokio::test(start_paused = true)]
async fn r07_who_joins_late_is_called_in_time() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).build().unwrap();
    let _held = pool.acquire().await.unwrap();
    let begun = Instant::now();
    let late = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut acquire = Box::pin(pool.acquire().within(secs(15)).into_future());
            std::future::poll_fn(|cx| {
                let mut spent = Vec::new();
                while let Poll::Ready(unit) = tokio::task::coop::poll_proceed(cx) {
                    spent.push(unit);
                }
                assert!(acquire.as_mut().poll(cx).is_pending());
                while spent.pop().is_some() {}
                Poll::Ready(())
            })
            .await;
            sleep(secs(11)).await;
            acquire.await.map(drop)
        }
    });
    sleep(secs(10)).await;
    let early = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().within(secs(20)).await.map(drop) }
    });
    assert_eq!(late.await.unwrap().unwrap_err().kind(), AcquireErrorKind::TimedOut);
    took(begun, secs(15));
    assert_eq!(early.await.unwrap().unwrap_err().kind(), AcquireErrorKind::TimedOut);
    took(begun, secs(30));
}

#[tokio::test(start_paused = true)]
async fn r07_whose_time_is_up_stands_in_nobodys_way_though_it_does_not_come() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).max_waiting(1).build().unwrap();
    let _held = pool.acquire().await.unwrap();
    let mut forgotten =
        Box::pin(pool.acquire().within(Duration::from_micros(50_500)).into_future());
    assert!(poll_once(&mut forgotten).await.is_pending());
    sleep(secs(60)).await;
    assert_eq!(pool.snapshot().oldest_waiter, None);
    let newcomer = pool.acquire().within(secs(1)).await.unwrap_err();
    assert_eq!(newcomer.kind(), AcquireErrorKind::TimedOut, "it was not sent away at once");
    assert_eq!(forgotten.await.unwrap_err().kind(), AcquireErrorKind::TimedOut);
}

#[test]
fn r07_who_waits_on_another_runtime_has_a_clock_of_its_own() {
    live(|| {
        // Never driven: nothing that the pool does on it ever happens.
        let asleep = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = FakeServer::new();
        let pool = builder(&server, 1).runtime(asleep.handle().clone()).build().unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let error = pool.acquire().within(ms(20)).await.unwrap_err();
            assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        });
    });
}

#[test]
fn r07_who_moves_to_another_runtime_while_it_waits_gets_a_clock_there() {
    live(|| {
        let home = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = FakeServer::new();
        let pool = builder(&server, 1).runtime(home.handle().clone()).build().unwrap();
        let held = home.block_on(pool.acquire().into_future()).unwrap();
        let mut waiting = Box::pin(pool.acquire().within(ms(20)).into_future());
        assert!(home.block_on(poll_once(&mut waiting)).is_pending());
        // Nobody drives its old home any more.
        let error = tokio::runtime::Runtime::new().unwrap().block_on(waiting).unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        drop(held);
    });
}

#[tokio::test(start_paused = true)]
async fn r07_who_slept_through_its_turn_is_still_called_in_time() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let begun = Instant::now();
    let mut waiting = Box::pin(pool.acquire().within(secs(2)).into_future());
    assert!(poll_once(&mut waiting).await.is_pending());
    drop(held);
    sleep(ms(500)).await;
    let _taken_back = pool.acquire().await.unwrap();
    assert!(poll_once(&mut waiting).await.is_pending());
    assert_eq!(waiting.await.unwrap_err().kind(), AcquireErrorKind::TimedOut);
    took(begun, secs(2));
}
