//! Pools for the tests of code that uses pools.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{AcquireErrorKind, ErrorClass, ManagedPool, Pool, PoolExt, Request};
use pool_testkit::test_pools::{AssertingPool, RollbackPool};
use pool_testkit::{Behaviour, FakeConnection, FakeManager, FakeServer, Op};

fn asserting(server: &FakeServer, max_size: u32) -> AssertingPool<FakeConnection> {
    let pool = ManagedPool::builder(server.manager()).max_size(max_size).build().unwrap();
    AssertingPool::new(Arc::new(pool))
}

/// Runs this in a task that has to panic, and returns the message.
async fn panic_of<F>(task: F) -> String
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let panic = tokio::spawn(task).await.map(drop).unwrap_err().into_panic();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_nested_acquire_panics_and_both_places_are_named() {
    let pool = asserting(&FakeServer::new(), 1);
    let (held_at, held) = (Location::caller().line() + 1, pool.clone());
    let panic = panic_of(async move {
        let _outer = held.acquire().await.unwrap();
        let _inner = held.acquire().await.unwrap();
    });
    let panic = panic.await;
    let (file, held_at) = (file!(), held_at + 2);
    assert!(panic.contains(&format!("asked for at {file}:{}:", held_at)), "{panic}");
    assert!(panic.contains(&format!("held, asked for at {file}:{}:", held_at - 1)), "{panic}");
    let guard = pool.acquire().await; // the panic gave back what was held
    assert!(guard.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other_is_fine() {
    let server = FakeServer::new();
    let pool = asserting(&server, 2);
    for _ in 0..3 {
        pool.acquire().await.unwrap().query().unwrap();
    }
    pool.acquire().await.unwrap().invalidate();
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.snapshot().counts.acquired, 5);
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_cancelled_acquire_holds_nothing() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Permanent)]);
    let pool = asserting(&server, 1);
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    tokio::time::sleep(Duration::from_secs(2)).await; // the error is remembered for a second
    server.always(Op::Connect, Behaviour::Slow(Duration::from_secs(2)));
    let limit = Duration::from_secs(1);
    assert!(tokio::time::timeout(limit, pool.acquire()).await.is_err());
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn as_many_as_are_allowed_and_no_more() {
    let pool = asserting(&FakeServer::new(), 9).at_most(2);
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let panic = panic_of({
        let pool = pool.clone();
        async move { drop(pool.acquire().await) }
    });
    let panic = panic.await;
    assert!(panic.contains("while 2 are held, asked for at "), "{panic}");
    drop(held);
    assert!(pool.acquire().await.is_ok());
}

fn rollback(server: &FakeServer) -> RollbackPool<FakeManager> {
    RollbackPool::new(
        server.manager(),
        |connection: &mut FakeConnection| {
            Box::pin(async {
                connection.begin();
                Ok(())
            })
        },
        |connection: &mut FakeConnection| {
            Box::pin(async {
                connection.query()?;
                connection.commit();
                Ok(())
            })
        },
    )
}

#[tokio::test(start_paused = true)]
async fn all_checkouts_share_one_transaction_until_the_end() {
    let server = FakeServer::new();
    let pool = rollback(&server).open_while(|connection| connection.in_transaction());
    assert_eq!(server.calls(Op::Connect), 0, "nothing before the first checkout");
    for _ in 0..3 {
        let mut connection = pool.acquire().await.unwrap();
        assert!(connection.in_transaction());
        connection.set("left", "for the next");
    }
    tokio::time::sleep(Duration::from_secs(7200)).await; // nothing gets old
    let connection = pool.acquire().await.unwrap();
    assert_eq!(connection.setting("left").as_deref(), Some("for the next"));
    assert_eq!((connection.id(), server.transactions()), (1, 1));
    assert_eq!((server.calls(Op::Reset), server.calls(Op::Ping)), (0, 0));
    drop(connection);
    pool.finish().await.unwrap();
    assert_eq!((server.transactions(), server.held()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn checkouts_take_turns() {
    let server = FakeServer::new();
    let pool = rollback(&server);
    let first = pool.acquire().await.unwrap();
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().id() }
    });
    let late = pool.acquire_with(Request::new().within(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(late.kind(), AcquireErrorKind::TimedOut);
    drop(first);
    assert_eq!(second.await.unwrap(), 1);
    pool.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_noticed() {
    let server = FakeServer::new();
    let pool = rollback(&server).open_while(|connection| connection.in_transaction());
    pool.acquire().await.unwrap().commit();
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("the code under test ended the test's transaction"), "{error}");
    let error = pool.finish().await.unwrap_err().to_string();
    assert!(error.contains("what it committed stays"), "{error}");
    assert_eq!(server.calls(Op::Connect), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_second_transaction() {
    let server = FakeServer::new();
    let pool = rollback(&server);
    pool.acquire().await.unwrap().invalidate();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    assert!(error.to_string().contains("there is no second one"), "{error}");
    assert_eq!(server.calls(Op::Connect), 1);
    pool.finish().await.unwrap(); // it was rolled back
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_fails_is_tried_again() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Transient), Behaviour::Ok]);
    let pool = rollback(&server);
    assert!(pool.acquire().await.unwrap().in_transaction());
    pool.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_at_the_end_is_told() {
    let server = FakeServer::new();
    let pool = rollback(&server);
    drop(pool.acquire().await.unwrap());
    server.silence_all(); // the rollback fails
    let error = pool.finish().await.unwrap_err().to_string();
    assert!(error.contains("the rollback failed: the connection has ended"), "{error}");

    let pool = rollback(&FakeServer::new());
    let held = pool.acquire().await.unwrap();
    let error = pool.finish().await.unwrap_err().to_string();
    assert!(error.contains("still held") && error.contains(file!()), "{error}");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn dropped_it_rolls_back_too() {
    let server = FakeServer::new();
    let pool = rollback(&server);
    drop(pool.acquire().await.unwrap());
    assert_eq!(server.transactions(), 1);
    drop(pool);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((server.transactions(), server.held()), (0, 0));
}
