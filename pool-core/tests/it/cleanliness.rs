//! R17, R18: what a returned connection has to go through. R19: what is proven before use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::{
    BoxError, BoxFuture, Cause, Condition, ConnectContext, ManagedPool, Manager, Reset, Validation,
};
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r17_a_clean_connection_is_handed_on_at_once() {
    let (server, pool) = pool_of(1);
    for _ in 0..1000 {
        drop(pool.acquire().await.unwrap());
        assert_eq!(pool.snapshot().idle, 1, "idle before the drop returns, without any task");
    }
    assert_eq!((server.calls(Op::Connect), server.calls(Op::Reset)), (1, 0));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r17_a_dirty_one_is_reset_at_once_in_the_background_with_its_slot_taken() {
    let (server, pool) = pool_of(1);
    server.always(Op::Reset, Behaviour::Slow(ms(30)));
    let mut guard = pool.acquire().await.unwrap();
    guard.begin();
    drop(guard);
    let now = pool.snapshot();
    assert_eq!((now.resetting, now.idle, now.open()), (1, 0, 1));
    sleep(ms(31)).await; // nobody has asked for it
    assert_eq!(server.resets(), [Cause::Transaction]);
    let now = audit(&pool);
    assert_eq!((now.idle, now.counts.reset), (1, 1));
    let guard = pool.acquire().await.unwrap();
    assert_eq!((guard.id(), guard.in_transaction()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn r17_a_waiter_gets_it_when_it_is_clean_and_not_before() {
    let (server, pool) = pool_of(1);
    server.always(Op::Reset, Behaviour::Slow(ms(30)));
    let mut guard = pool.acquire().await.unwrap();
    guard.soil(Cause::Running);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().id() }
    });
    settle().await;
    let begun = Instant::now();
    drop(guard);
    assert_eq!(waiter.await.unwrap(), 1);
    took(begun, ms(30));
    assert_eq!(server.resets(), [Cause::Running]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r17_upkeep_waits_for_a_moment_of_rest() {
    let (server, pool) = pool_of(1);
    server.always(Op::Reset, Behaviour::Slow(ms(30)));
    let mut guard = pool.acquire().await.unwrap();
    guard.soil(Cause::Upkeep);
    let begun = Instant::now();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    settle().await;
    drop(guard);
    let guard = waiter.await.unwrap();
    took(begun, ms(0));
    assert_eq!(guard.id(), 1, "handed on as it was");
    drop(guard);
    for _ in 0..3 {
        sleep(ms(19)).await;
        drop(pool.acquire().await.unwrap());
        assert_eq!(pool.snapshot().idle, 1, "never idle for long enough");
    }
    took(begun, ms(57));
    assert_eq!(server.calls(Op::Reset), 0);

    sleep(ms(21)).await; // and nobody asks for it
    assert_eq!(pool.snapshot().resetting, 1);
    sleep(ms(30)).await;
    assert_eq!(server.resets(), [Cause::Upkeep]);
    let now = audit(&pool);
    assert_eq!((now.idle, now.counts.reset), (1, 1));
    sleep(secs(60)).await;
    assert_eq!(server.calls(Op::Reset), 1, "that was all");
}

#[tokio::test(start_paused = true)]
async fn r17_upkeep_is_not_forgotten_though_nobody_comes_for_the_connection() {
    for is_late in [false, true] {
        let (server, pool) = pool_of(1);
        let mut guard = pool.acquire().await.unwrap();
        let mut waiter = Box::pin(pool.acquire().into_future());
        assert!(poll_once(&mut waiter).await.is_pending());
        guard.soil(Cause::Upkeep);
        drop(guard);
        if is_late {
            sleep(secs(1)).await; // it is taken back from whom nobody polls
        }
        drop(waiter);
        sleep(ms(21)).await;
        assert_eq!(server.resets(), [Cause::Upkeep]);
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r17_upkeep_comes_beside_hooks_which_run_once_for_a_return() {
    let server = FakeServer::new();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let hooked = builder(&server, 1).after_release_async(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    });
    let pool = hooked.build().unwrap();
    let mut guard = pool.acquire().await.unwrap();
    guard.soil(Cause::Upkeep);
    drop(guard);
    sleep(ms(21)).await;
    assert_eq!((server.resets(), runs.load(Ordering::Relaxed)), (vec![Cause::Upkeep], 1));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r17_upkeep_needs_no_other_connection_in_its_place() {
    let server = FakeServer::new();
    server.always(Op::Reset, Behaviour::Slow(ms(30)));
    let pool = builder(&server, 2).min_idle(1).max_idle(1).build().unwrap();
    for round in 1..=3 {
        let mut guard = pool.acquire().await.unwrap();
        sleep(ms(100)).await; // meanwhile there is another
        guard.soil(Cause::Upkeep);
        drop(guard);
        sleep(ms(100)).await;
        let now = audit(&pool);
        assert_eq!((now.idle, now.counts.created), (1, 1 + round), "one for each checkout");
    }
}

#[tokio::test(start_paused = true)]
async fn r17_a_broken_one_is_discarded_and_replaced_only_if_somebody_waits() {
    let (server, pool) = pool_of(2);
    let guard = pool.acquire().await.unwrap();
    server.kill(guard.id());
    drop(guard);
    sleep(secs(60)).await;
    let now = audit(&pool);
    assert_eq!((now.open(), now.counts.created, now.counts.ended.broken), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn r17_after_connect_runs_again_where_a_reset_wiped_what_it_did() {
    let server = FakeServer::new();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let pool = builder(&server, 1)
        .after_connect(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .build()
        .unwrap();
    let dirty = async |cause| {
        pool.acquire().await.unwrap().soil(cause);
        settle().await;
        runs.load(Ordering::Relaxed)
    };
    assert_eq!(dirty(Cause::Transaction).await, 1, "kept");
    assert_eq!(dirty(Cause::SessionState).await, 2, "wiped");
    assert_eq!(audit(&pool).counts.created, 1);
}

/// Notices every change of its session, also by a hook.
struct Watchful;

impl Manager for Watchful {
    type Connection = bool;
    type Error = std::io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<bool, Self::Error> {
        Ok(false)
    }
    async fn ping(&self, _: &mut bool) -> Result<(), Self::Error> {
        Ok(())
    }
    fn condition(&self, changed: &mut bool) -> Condition {
        if *changed { Condition::Dirty(Cause::SessionState) } else { Condition::Clean }
    }
    fn adopt(&self, changed: &mut bool) {
        *changed = false;
    }
    async fn reset(&self, changed: &mut bool, _: Cause) -> Result<Reset, Self::Error> {
        *changed = false;
        Ok(Reset::Wiped)
    }
}

#[tokio::test(start_paused = true)]
async fn r18_what_hooks_change_is_nobodys_leavings() {
    fn change(changed: &mut bool) -> BoxFuture<'_, Result<(), BoxError>> {
        *changed = true;
        Box::pin(async { Ok(()) })
    }
    let builder = ManagedPool::builder(Watchful).max_size(1).after_connect_async(change);
    let pool = builder.before_acquire_async(change).build().unwrap();
    for _ in 0..3 {
        assert!(!*pool.acquire().await.unwrap());
    }
    assert_eq!(pool.snapshot().counts.reset, 0);
    for resets in 1..3 {
        *pool.acquire().await.unwrap() = true;
        assert!(!*pool.acquire().await.unwrap(), "after a reset, and the hooks again");
        assert_eq!(pool.snapshot().counts.reset, resets);
    }
}

#[tokio::test(start_paused = true)]
async fn r17_hooks_run_in_their_order_at_their_occasions() {
    for boxed in [false, true] {
        let server = FakeServer::new();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let order = order.clone();
            move || order.lock().unwrap().push(what)
        };
        let (born, taken, taken_too, back) =
            (note("born"), note("taken"), note("taken too"), note("back"));
        let builder = builder(&server, 1)
            .after_connect(move |_| {
                born();
                Ok(())
            })
            .before_acquire(move |_| {
                taken();
                Ok(())
            })
            .after_release(move |_| {
                back();
                Ok(())
            });
        let pool = match boxed {
            false => builder.before_acquire(move |_| {
                taken_too();
                Ok(())
            }),
            true => builder.before_acquire_async(move |_| {
                taken_too();
                Box::pin(async { Ok(()) })
            }),
        };
        let pool = pool.build().unwrap();
        for _ in 0..2 {
            drop(pool.acquire().await.unwrap());
        }
        let order = order.lock().unwrap().clone();
        let round = ["taken", "taken too", "back"];
        assert_eq!(order, [&["born"][..], &round, &round].concat(), "boxed: {boxed}");
        assert_eq!(server.calls(Op::Ping), 0, "a hook asks for no ping");
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r18_the_next_user_sees_nothing_of_an_abandoned_transaction() {
    let (server, pool) = pool_of(2);
    server.always(Op::Reset, Behaviour::Slow(ms(10)));
    for polls in 0..4_u64 {
        let task = tokio::spawn({
            let pool = pool.clone();
            async move {
                let mut guard = pool.acquire().await.unwrap();
                guard.begin();
                guard.work(secs(1)).await;
                guard.commit();
            }
        });
        sleep(ms(polls * 5)).await;
        task.abort(); // somewhere between begin and commit
        for mut guard in hold(&pool, 2).await {
            assert!(!guard.in_transaction());
            guard.query().unwrap();
        }
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r18_a_connection_that_is_dirty_before_its_use_is_cleaned_first() {
    let server = FakeServer::new();
    let pool = builder(&server, 1)
        .after_connect(|connection| {
            connection.begin(); // a hook that leaves a mess
            Ok(())
        })
        .build()
        .unwrap();
    assert!(!pool.acquire().await.unwrap().in_transaction());
    assert_eq!(server.resets(), [Cause::Transaction]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r19_when_a_ping_comes_before_use() {
    // Pings after: no pause, 4 s, 6 s, 6 s.
    let pings = |validation| async move {
        let server = FakeServer::new();
        let pool = builder(&server, 1).validation(validation).build().unwrap();
        warm(&pool, 1).await;
        let mut pings = Vec::new();
        for pause in [0, 4, 6, 6] {
            sleep(secs(pause)).await;
            drop(pool.acquire().await.unwrap());
            pings.push(server.calls(Op::Ping));
        }
        audit(&pool);
        pings
    };
    assert_eq!(pings(Validation::Always).await, [1, 2, 3, 4]);
    assert_eq!(pings(Validation::IfIdleFor(secs(5))).await, [0, 0, 1, 2]);
    assert_eq!(pings(Validation::Never).await, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn r19_the_check_without_a_round_trip_comes_in_any_case() {
    for validation in [Validation::Always, Validation::IfIdleFor(secs(5)), Validation::Never] {
        let server = FakeServer::new();
        let pool = builder(&server, 2).validation(validation).build().unwrap();
        warm(&pool, 1).await;
        server.kill_all();
        let mut guard = pool.acquire().await.unwrap();
        guard.query().unwrap();
        assert_eq!(guard.id(), 2);
        drop(guard);
        audit(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn r19_always_means_a_ping_for_those_who_waited_too() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).validation(Validation::Always).build().unwrap();
    let guard = pool.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire().await.unwrap()) }
    });
    settle().await;
    drop(guard);
    waiter.await.unwrap();
    assert_eq!(server.calls(Op::Ping), 1);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r19_a_hook_that_refuses_a_connection_costs_the_caller_nothing_but_that() {
    let server = FakeServer::new();
    let pool = builder(&server, 3)
        .before_acquire(|connection| match connection.id() {
            2 => Err("not this one".into()),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    let guards = hold(&pool, 3).await;
    let ids: Vec<_> = guards.iter().map(|guard| guard.id()).collect();
    assert_eq!(ids, [1, 3, 4]);
    drop(guards);
    let now = audit(&pool);
    assert_eq!((now.counts.acquired, now.counts.ended.validation), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn r18_a_reset_that_leaves_a_connection_dirty_is_not_tried_for_ever() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(1)));
    server.always(Op::Reset, Behaviour::Slow(ms(1)));
    // Dirty whatever is done about it.
    let pool = builder(&server, 2)
        .after_connect(|connection| {
            connection.stain();
            Ok(())
        })
        .build()
        .unwrap();
    let error = pool.acquire().within(secs(10)).await.unwrap_err();
    assert_eq!(error.kind(), pool_core::AcquireErrorKind::TimedOut);
    let (connects, resets) = (server.calls(Op::Connect), server.calls(Op::Reset));
    assert!((10..=40).contains(&connects), "{connects} connects in 10 s");
    assert!(resets <= connects + 1, "{resets} resets of {connects} connections");
    audit(&pool);
}
