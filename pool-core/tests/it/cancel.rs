//! R14: an acquire dropped at any of its polls leaks nothing and passes on what it was handed.

use pool_core::Validation;
use pool_testkit::{Behaviour, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

/// Runs a scene with an acquire that is dropped at its first poll, its second, and so on, until one
/// ends by itself; afterwards the pool has to be whole.
async fn at_every_poll(scene: impl AsyncFn() -> (FakeServer, TestPool)) {
    for at_once in [true, false] {
        for polls in 0.. {
            assert!(polls < 50, "it never ends");
            let (server, pool) = scene().await;
            let ended = poll_times(pool.acquire().into_future(), polls, at_once);
            let ended = tokio::time::timeout(ms(300), ended).await;
            let served = matches!(ended, Ok(Some(Ok(_))));
            drop(ended);
            whole(&server, &pool).await;
            if served {
                break;
            }
        }
    }
}

/// Nothing is lost: every slot can be had, and the server sees no connection besides.
async fn whole(server: &FakeServer, pool: &TestPool) {
    sleep(secs(1)).await;
    let now = audit(pool);
    assert_eq!((now.waiting, now.in_use, now.connecting), (0, 0, 0), "{now:?}");
    assert_eq!(server.held(), now.idle as usize);
    usable(server, pool).await;
    assert_eq!(server.peak(), now.max_size as usize);
}

fn steps() -> impl Fn(
    &mut pool_testkit::FakeConnection,
) -> pool_core::BoxFuture<'_, Result<(), pool_core::BoxError>> {
    |_| {
        Box::pin(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            sleep(ms(5)).await;
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn r14_ready_and_boxed_acquires_dropped_at_any_poll() {
    use pool_core::{BoxFuture, Pool, Request};

    let futures: [fn(&TestPool) -> BoxFuture<'_, bool>; 3] = [
        |pool| Box::pin(async { pool.ready().await.is_ok() }),
        |pool| Box::pin(async { Pool::acquire_with(pool, Request::new()).await.is_ok() }),
        |pool| Box::pin(async { pool.acquire().within(None).operation("op").await.is_ok() }),
    ];
    for (future, at_once) in futures.iter().flat_map(|future| [(future, true), (future, false)]) {
        for polls in 0.. {
            assert!(polls < 50, "it never ends");
            let server = FakeServer::new();
            server.always(Op::Connect, Behaviour::Slow(ms(10)));
            let pool = builder(&server, 3).min_idle(1).build().unwrap();
            let ended = tokio::time::timeout(ms(300), poll_times(future(&pool), polls, at_once));
            let done = matches!(ended.await, Ok(Some(true)));
            whole(&server, &pool).await;
            if done {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r14_close_dropped_at_any_poll_closes_all_the_same() {
    for (polls, at_once) in (0..4).flat_map(|polls| [(polls, true), (polls, false)]) {
        let server = FakeServer::new();
        server.always(Op::Close, Behaviour::Slow(ms(10)));
        let pool = builder(&server, 3).build().unwrap();
        warm(&pool, 2).await;
        let guard = pool.acquire().await.unwrap();
        let ended = poll_times(pool.close(secs(1)), polls, at_once);
        drop(tokio::time::timeout(ms(300), ended).await);
        assert_eq!(pool.acquire().await.unwrap_err().kind(), pool_core::AcquireErrorKind::Closed);
        drop(guard);
        sleep(secs(1)).await;
        assert_eq!((server.held(), audit(&pool).open()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_while_a_connect_is_pending() {
    at_every_poll(async || {
        let server = FakeServer::new();
        server.always(Op::Connect, Behaviour::Slow(ms(10)));
        let pool = builder(&server, 3).after_connect_async(steps()).build().unwrap();
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_while_a_ping_is_pending() {
    at_every_poll(async || {
        let server = FakeServer::new();
        let pool = builder(&server, 3).validation(Validation::Always).build().unwrap();
        warm(&pool, 1).await;
        server.always(Op::Ping, Behaviour::Slow(ms(10)));
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_while_a_hook_is_pending() {
    at_every_poll(async || {
        let server = FakeServer::new();
        let pool = builder(&server, 3)
            .before_acquire_async(steps())
            .after_release_async(steps())
            .build()
            .unwrap();
        drop(pool.acquire().await.unwrap());
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_while_a_reset_is_pending() {
    at_every_poll(async || {
        let (server, pool) = pool_of(1);
        server.always(Op::Reset, Behaviour::Slow(ms(10)));
        pool.acquire().await.unwrap().begin();
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_in_the_queue() {
    at_every_poll(async || {
        let (server, pool) = pool_of(1);
        let guard = pool.acquire().await.unwrap();
        tokio::spawn(async move {
            sleep(ms(10)).await;
            drop(guard);
        });
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_dropped_with_a_dead_connection_in_its_hands() {
    at_every_poll(async || {
        let (server, pool) = pool_of(1);
        let guard = pool.acquire().await.unwrap();
        server.always(Op::Connect, Behaviour::Slow(ms(5)));
        tokio::spawn({
            let server = server.clone();
            async move {
                sleep(ms(10)).await;
                drop(guard);
                server.kill_all();
            }
        });
        (server, pool)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r14_what_a_cancelled_waiter_was_handed_goes_to_the_next() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let mut waiters: Vec<_> = (0..5).map(|_| Box::pin(pool.acquire().into_future())).collect();
    for waiter in &mut waiters {
        assert!(poll_once(waiter).await.is_pending());
    }
    drop(guard);
    let mut last = waiters.pop().unwrap();
    for waiter in waiters {
        assert!(poll_once(&mut last).await.is_pending());
        drop(waiter); // with the connection in its hands
    }
    assert!(poll_once(&mut last).await.is_ready());
    assert_eq!(audit(&pool).counts.cancelled, 4);
}

#[tokio::test(start_paused = true)]
async fn r14_a_half_made_ping_reaches_no_user() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).validation(Validation::Always).build().unwrap();
    warm(&pool, 1).await;
    sleep(ms(1)).await;
    server.next(Op::Ping, [Behaviour::Slow(ms(500))]);
    assert!(pool.acquire().within(ms(100)).await.is_err());
    assert_eq!(pool.snapshot().validating, 1, "it goes on without its caller");
    let begun = tokio::time::Instant::now();
    let guard = pool.acquire().await.unwrap();
    took(begun, ms(400));
    assert_eq!((guard.id(), server.calls(Op::Ping)), (1, 1), "to its end, and no second one");
    drop(guard);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r14_a_thousand_tasks_aborted_at_random() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(3)));
    server.always(Op::Reset, Behaviour::Slow(ms(2)));
    server.always(Op::Ping, Behaviour::Slow(ms(1)));
    let pool = builder(&server, 5).validation(Validation::Always).build().unwrap();
    let tasks: Vec<_> = (0..1000_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                sleep(ms(n % 97)).await;
                let mut guard = pool.acquire().await.unwrap();
                guard.query().unwrap();
                if n % 3 == 0 {
                    guard.begin();
                }
                sleep(ms(n % 5)).await;
            })
        })
        .collect();
    for (n, task) in tasks.iter().enumerate() {
        if n % 7 == 0 {
            sleep(ms(1)).await;
        }
        task.abort();
    }
    sleep(secs(5)).await;
    let now = audit(&pool);
    assert_eq!((now.waiting, now.in_use), (0, 0));
    assert!(now.counts.acquired > 50 && now.counts.cancelled > 50, "{now:?}");
    usable(&server, &pool).await;
}
