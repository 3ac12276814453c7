//! R15: a panic in anything of a user's costs one connection at most.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use pool_core::{
    AcquireErrorKind, AcquireFailed, Acquired, Builder, Closed, ConnectFailed, Connected, Metrics,
    Released, ResetDone, Validated, Validation,
};
use pool_testkit::{Behaviour, FakeManager, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

/// Panics once when it is armed.
#[derive(Clone, Default)]
struct Bomb(Arc<AtomicBool>);

impl Bomb {
    fn arm(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn pass(&self) -> Result<(), pool_core::BoxError> {
        assert!(!self.0.swap(false, Ordering::Relaxed), "a bomb goes off");
        Ok(())
    }
}

/// Acquires under a deadline, makes the connection dirty if told to, and gives it back.
async fn round(pool: &TestPool, dirty: bool) -> Option<AcquireErrorKind> {
    match pool.acquire().within(secs(20)).await {
        Ok(mut guard) => {
            if dirty {
                guard.begin();
            }
            None
        }
        Err(error) => Some(error.kind()),
    }
}

#[tokio::test(start_paused = true)]
async fn r15_in_the_managers_methods() {
    let panicked = Some(AcquireErrorKind::Panicked);
    for (op, expected, lost) in [
        (Op::Connect, panicked, 0),
        (Op::Ping, None, 1),
        (Op::Reset, None, 1),
        (Op::Close, None, 1),
        (Op::Condition, panicked, 1),
        (Op::Drop, None, 1),
    ] {
        let server = FakeServer::new();
        let pool = builder(&server, 1).validation(Validation::Always).build().unwrap();
        if op != Op::Connect {
            warm(&pool, 1).await;
            sleep(ms(1)).await;
        }
        match op {
            Op::Reset => assert_eq!(round(&pool, true).await, None),
            Op::Close | Op::Drop => pool.acquire().await.unwrap().invalidate(),
            _ => {}
        }
        server.next(op, [Behaviour::Panic]);
        assert_eq!(round(&pool, false).await, expected, "{op:?}");
        settle().await;
        assert_eq!(audit(&pool).counts.ended.total(), lost, "{op:?}");
        usable(&server, &pool).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r15_in_condition_at_the_return() {
    let (server, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    server.next(Op::Condition, [Behaviour::Panic]);
    drop(guard);
    settle().await;
    assert_eq!(audit(&pool).counts.ended.broken, 1);
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r15_a_connect_that_panics_is_told_to_one_waiter_and_the_others_are_served() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Panic]);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { round(&pool, false).await })
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        told.push(task.await.unwrap());
    }
    assert_eq!(told, [Some(AcquireErrorKind::Panicked), None, None]);
    let now = audit(&pool);
    assert_eq!((now.counts.failed, now.counts.acquired), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn r15_in_each_hook() {
    type Build = fn(Builder<FakeManager>, Bomb) -> Builder<FakeManager>;
    let panicked = Some(AcquireErrorKind::Panicked);
    let hooks: [(&str, Build, Option<AcquireErrorKind>); 6] = [
        ("after_connect", |b, bomb| b.after_connect(move |_| bomb.pass()), panicked),
        (
            "after_connect_async",
            |b, bomb| {
                b.after_connect_async(move |_| {
                    let bomb = bomb.clone();
                    Box::pin(async move { bomb.pass() })
                })
            },
            panicked,
        ),
        ("before_acquire", |b, bomb| b.before_acquire(move |_| bomb.pass()), panicked),
        (
            "before_acquire_async",
            |b, bomb| {
                b.before_acquire_async(move |_| {
                    let passed = bomb.pass(); // before there is a future
                    Box::pin(async move { passed })
                })
            },
            None,
        ),
        ("after_release", |b, bomb| b.after_release(move |_| bomb.pass()), None),
        (
            "after_release_async",
            |b, bomb| {
                b.after_release_async(move |_| {
                    let bomb = bomb.clone();
                    Box::pin(async move { bomb.pass() })
                })
            },
            None,
        ),
    ];
    for (name, build, expected) in hooks {
        let (server, bomb) = (FakeServer::new(), Bomb::default());
        let pool = build(builder(&server, 2), bomb.clone()).build().unwrap();
        bomb.arm();
        assert_eq!(round(&pool, false).await, expected, "{name}");
        sleep(secs(1)).await;
        assert!(!bomb.0.load(Ordering::Relaxed), "{name} was run");
        usable(&server, &pool).await;
    }
}

/// Panics whatever it is told.
struct Squeamish;

macro_rules! squeamish {
    ($($method:ident: $event:ident),*) => {
        impl Metrics for Squeamish {
            $(fn $method(&self, _: &$event<'_>) {
                panic!(concat!("cannot stand ", stringify!($method)));
            })*
        }
    };
}

squeamish!(
    connected: Connected, connect_failed: ConnectFailed, acquired: Acquired,
    acquire_failed: AcquireFailed, released: Released, reset: ResetDone, validated: Validated,
    closed: Closed
);

#[tokio::test(start_paused = true)]
async fn r15_in_the_observer_always() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Fail(pool_core::ErrorClass::Transient)]);
    let log = Arc::new(Log::default());
    let pool = builder(&server, 2)
        .validation(Validation::Always)
        .metrics(Arc::new(Squeamish))
        .metrics(log.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(round(&pool, true).await, None);
        assert_eq!(round(&pool, false).await, None);
        pool.acquire().await.unwrap().invalidate();
    }
    let guards = hold(&pool, 2).await;
    assert_eq!(round_within(&pool).await, Some(AcquireErrorKind::TimedOut));
    drop(guards);
    let acquired = log.told().iter().filter(|told| matches!(told, Told::Acquired { .. })).count();
    assert_eq!(
        acquired as u64,
        pool.snapshot().counts.acquired,
        "the next one is told all the same"
    );
    usable(&server, &pool).await;
}

async fn round_within(pool: &TestPool) -> Option<AcquireErrorKind> {
    pool.acquire().within(ms(10)).await.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn r15_in_the_predicate_of_retain() {
    let (server, pool) = pool_of(4);
    warm(&pool, 4).await;
    let mut seen = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        pool.retain(|connection| {
            seen += 1;
            assert!(connection.id() != 2, "not this one");
            connection.id() != 3
        })
    }));
    assert!(outcome.is_err(), "the caller's own panic comes back to the caller");
    assert_eq!(seen, 4, "once all have been looked at");
    settle().await;
    let now = audit(&pool);
    assert_eq!((now.idle, now.counts.ended.retain), (2, 2));
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r15_in_the_drop_of_a_connection_on_every_way_out() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).close_timeout(secs(1)).build().unwrap();
    let guard = pool.acquire().await.unwrap();
    server.next(Op::Drop, [Behaviour::Panic]);
    server.next(Op::Close, [Behaviour::Hang]);
    guard.invalidate(); // dropped when the goodbye is given up
    let guard = pool.acquire().await.unwrap();
    assert_eq!(pool.snapshot().counts.abandoned, 1);
    server.next(Op::Drop, [Behaviour::Panic]);
    let outside = guard.detach(); // dropped by its user
    assert!(catch_unwind(AssertUnwindSafe(|| drop(outside))).is_err());
    usable(&server, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn r15_a_user_who_panics_with_a_connection_in_hand_costs_that_connection() {
    let (server, pool) = pool_of(2);
    for _ in 0..100 {
        let pool = pool.clone();
        let task = tokio::spawn(async move {
            let _guard = pool.acquire().await.unwrap();
            panic!("a bug in the application");
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    settle().await;
    assert_eq!(audit(&pool).counts.ended.broken, 100, "nobody inherits what it was doing");
    usable(&server, &pool).await;
}

/// A waker whose drop panics when the pool lets go of it.
struct Grenade;

impl Wake for Grenade {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a waker's drop");
    }
}

#[tokio::test(start_paused = true)]
async fn r15_in_the_drop_of_a_waker() {
    let (_, pool) = pool_of(1);
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire().into_future());
    for _ in 0..3 {
        // The pool's is the last one of each but the first.
        let waker = Waker::from(Arc::new(Grenade));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waiting);
    drop(held);
    drop(pool.acquire().await.unwrap());
    audit(&pool);
}

/// What the panic said is what the caller reads, whether it was a literal or put together.
#[tokio::test(start_paused = true)]
async fn r15_what_a_connect_panicked_with_is_told() {
    struct Loud;
    impl pool_core::Manager for Loud {
        type Connection = ();
        type Error = std::io::Error;

        async fn connect(&self, cx: &pool_core::ConnectContext) -> Result<(), Self::Error> {
            match cx.id() {
                1 => panic!("injected panic, as it is"),
                2 => panic!("injected panic number {}", cx.id()),
                _ => std::panic::panic_any(3),
            }
        }
        async fn ping(&self, (): &mut ()) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    pool_testkit::hush_injected_panics();
    let pool = pool_core::ManagedPool::new(Loud);
    for text in ["injected panic, as it is", "injected panic number 2", "(no text)"] {
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Panicked);
        assert!(error.to_string().contains(text), "{error}");
    }
}
