//! R2: no task is starved by another's loop, and no forgotten future keeps what others wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::time::{Instant, sleep};

use pool_testkit::FakeServer;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r02_a_loop_that_is_always_served_starves_no_other_task() {
    let (_, pool) = pool_of(1);
    let turns = Arc::new(AtomicU64::new(0));
    let other = tokio::spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let looping = tokio::spawn(async move {
        for _ in 0..12_800 {
            drop(pool.acquire().await.unwrap()); // never pending by itself
        }
    });
    looping.await.unwrap();
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= 100, "the other task had {turns} turns in 12,800 acquires");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn r02_what_a_forgotten_future_holds_is_taken_back_after_200_ms() {
    let server = FakeServer::new();
    let log = Log::default();
    let pool = builder(&server, 1).metrics(Arc::new(log.clone())).build().unwrap();
    let guard = pool.acquire().await.unwrap();
    let line = line!() + 1;
    let mut forgotten = Box::pin(pool.acquire().operation("forgotten").into_future());
    assert!(poll_once(&mut forgotten).await.is_pending());
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    settle().await;
    let begun = Instant::now();
    drop(guard); // into the hands of the future that nobody polls
    let guard = next.await.unwrap();
    took(begun, ms(200));
    assert_eq!(pool.snapshot().counts.taken_back, 1);
    let told = log.told();
    let stalled: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Stalled { site, operation } => Some((site.file(), site.line(), *operation)),
            _ => None,
        })
        .collect();
    assert_eq!(stalled, [(file!(), line, Some("forgotten"))]);

    // Polled again, it stands where it stood: before whoever came after it.
    let mut late = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut late).await.is_pending());
    assert!(poll_once(&mut forgotten).await.is_pending());
    drop(guard);
    assert!(poll_once(&mut late).await.is_pending());
    let Poll::Ready(Ok(guard)) = poll_once(&mut forgotten).await else {
        panic!("it kept its place")
    };
    drop(guard);
    assert!(poll_once(&mut late).await.is_ready());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r02_with_nobody_else_waiting_what_was_taken_back_is_idle() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let mut forgotten = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut forgotten).await.is_pending());
    drop(guard);
    assert_eq!(pool.snapshot().in_use, 1);
    sleep(ms(201)).await;
    assert_eq!((pool.snapshot().in_use, pool.snapshot().idle), (0, 1));
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    took(begun, ms(0));
    assert!(poll_once(&mut forgotten).await.is_ready());
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r02_one_that_forgets_again_and_again_does_not_cover_another_that_forgets() {
    let (_, pool) = pool_of(2);
    let mut guards = hold(&pool, 2).await;
    let mut often = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut often).await.is_pending());
    for _ in 0..3 {
        // Handed, forgotten, taken back, and polled again only to be handed another.
        drop(guards.pop());
        sleep(secs(2)).await;
        assert_eq!(pool.snapshot().idle, 1);
        guards.push(pool.acquire().await.unwrap());
        assert!(poll_once(&mut often).await.is_pending());
    }
    let mut once = Box::pin(pool.acquire().into_future());
    assert!(poll_once(&mut once).await.is_pending());
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    settle().await;
    drop(guards.pop()); // to `often`, who has longer each time
    let begun = Instant::now();
    drop(guards.pop()); // to `once`
    drop(next.await.unwrap());
    took(begun, ms(200));
    drop((often, once));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r02_who_is_slow_to_take_one_has_twice_as_long_the_next_time() {
    let (_, pool) = pool_of(1);
    let mut guard = pool.acquire().await.unwrap();
    let mut slow = Box::pin(pool.acquire().within(None).into_future());
    for grace in [200, 400, 800] {
        assert!(poll_once(&mut slow).await.is_pending());
        settle().await;
        drop(guard);
        sleep(ms(grace - 1)).await;
        assert_eq!(pool.snapshot().in_use, 1);
        sleep(ms(2)).await;
        assert_eq!(pool.snapshot().in_use, 0, "after {grace} ms");
        guard = pool.acquire().await.unwrap();
    }
    drop((slow, guard));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r02_a_forgotten_future_learns_at_its_next_poll_that_the_pool_was_closed() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let mut forgotten = Box::pin(pool.acquire().within(None).into_future());
    assert!(poll_once(&mut forgotten).await.is_pending());
    drop(guard);
    sleep(secs(1)).await;
    assert_eq!(pool.snapshot().counts.taken_back, 1);
    pool.close(secs(1)).await;
    let Poll::Ready(Err(error)) = poll_once(&mut forgotten).await else { panic!("it is closed") };
    assert_eq!(error.kind(), pool_core::AcquireErrorKind::Closed);
    assert_eq!(audit(&pool).counts.closed, 1);
}

#[tokio::test(start_paused = true)]
async fn r02_it_is_taken_back_after_200_ms_whatever_else_falls_due_then() {
    for leak_after in [50, 150, 250, 350] {
        let server = FakeServer::new();
        let pool = builder(&server, 1).leak_after(ms(leak_after)).build().unwrap();
        let guard = pool.acquire().await.unwrap();
        let mut forgotten = Box::pin(pool.acquire().into_future());
        assert!(poll_once(&mut forgotten).await.is_pending());
        settle().await;
        drop(guard);
        sleep(ms(199)).await;
        assert_eq!(pool.snapshot().in_use, 1);
        sleep(ms(2)).await;
        assert_eq!(pool.snapshot().in_use, 0, "with another alarm at {leak_after} ms");
        drop(forgotten);
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r02_handing_on_wakes_nobody_but_the_waiter() {
    let (_, pool) = pool_of(1);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..250 {
                    let guard = pool.acquire().await.unwrap();
                    tokio::task::yield_now().await;
                    drop(guard);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(audit(&pool).counts.waited > 900);
    let recording = pool.flight_recording().to_string();
    let ticks = recording.lines().filter(|line| line.contains("Tick")).count();
    assert!(ticks < 10, "the maintenance looked {ticks} times in 1000 hand-offs");
}
