//! Our managers in bb8.

use std::pin::pin;

use pool_adapters::{ForBb8, Marked};
use pool_core::{Cause, ErrorClass};
use pool_testkit::{Behaviour, FakeManager, FakeServer, Op};
use tokio::time::{Instant, timeout};

use crate::support::{dropped_after, ms, secs};

type Theirs = bb8::Pool<ForBb8<FakeManager>>;

async fn pool_of(server: &FakeServer, max_size: u32) -> Theirs {
    let manager = ForBb8::new(server.manager()).connect_timeout(secs(1)).ping_timeout(ms(100));
    bb8::Pool::builder().max_size(max_size).build(manager).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reused_and_proven() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 2).await;
    for _ in 0..3 {
        assert_eq!(pool.get().await.unwrap().id(), 1);
    }
    assert_eq!((server.open(), server.calls(Op::Ping)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn r18_a_dirty_connection_is_discarded_never_reset_never_inherited() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    pool.get().await.unwrap().begin();
    let mut connection = pool.get().await.unwrap();
    assert_eq!((connection.id(), connection.in_transaction()), (2, false));
    connection.soil(Cause::SessionState);
    drop(connection);
    assert_eq!(pool.get().await.unwrap().id(), 3);
    assert_eq!((server.calls(Op::Reset), server.calls(Op::Close), server.held()), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn r18_nothing_dirty_is_inherited_where_nothing_is_tested() {
    let server = FakeServer::new();
    let pool = bb8::Pool::builder().max_size(1).test_on_check_out(false);
    let pool = pool.build(ForBb8::new(server.manager())).await.unwrap();
    pool.get().await.unwrap().begin();
    assert!(!pool.get().await.unwrap().in_transaction());
}

#[tokio::test(start_paused = true)]
async fn r17_a_broken_or_invalidated_connection_is_discarded() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    let connection = pool.get().await.unwrap();
    server.kill(1);
    drop(connection);
    let mut connection = pool.get().await.unwrap();
    assert_eq!(connection.id(), 2);
    Marked::invalidate(&mut connection);
    drop(connection);
    drop(pool.get().await.unwrap());
    server.kill_all(); // while it is idle
    assert_eq!(pool.get().await.unwrap().id(), 4);
    assert_eq!((server.open(), server.held()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn r07_a_connect_that_hangs_is_given_up() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Hang]);
    let pool = pool_of(&server, 1).await;
    let begun = Instant::now();
    assert_eq!(pool.get().await.unwrap().id(), 2);
    assert!(begun.elapsed() < secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r07_a_ping_that_hangs_is_given_up_with_its_connection() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    drop(pool.get().await.unwrap());
    server.silence_all();
    let begun = Instant::now();
    assert_eq!(pool.get().await.unwrap().id(), 2);
    assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.held(), 1);
}

#[tokio::test(start_paused = true)]
async fn r19_a_connection_whose_test_was_cut_short_is_not_handed_out() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    drop(pool.get().await.unwrap());
    server.next(Op::Ping, [Behaviour::Hang]);
    assert!(timeout(ms(50), pool.get()).await.is_err());
    assert_eq!(pool.get().await.unwrap().id(), 2);
    assert_eq!(server.held(), 1);
}

#[tokio::test(start_paused = true)]
async fn r15_a_panic_costs_one_connection() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    server.next(Op::Connect, [Behaviour::Panic]);
    assert_eq!(pool.get().await.unwrap().id(), 2);
    server.next(Op::Ping, [Behaviour::Panic]);
    assert_eq!(pool.get().await.unwrap().id(), 3);
    let connection = pool.get().await.unwrap();
    server.next(Op::Condition, [Behaviour::Panic]);
    drop(connection);
    assert_eq!(pool.get().await.unwrap().id(), 4);
    assert_eq!(server.held(), 1);
}

#[tokio::test(start_paused = true)]
async fn r14_a_cancelled_get_leaks_nothing() {
    let server = FakeServer::new();
    server.always(Op::Ping, Behaviour::Slow(ms(1)));
    server.always(Op::Connect, Behaviour::Slow(ms(1)));
    let pool = pool_of(&server, 2).await;
    for looks in 0..24 {
        dropped_after(looks % 4, pool.get()).await;
        tokio::time::advance(ms(1)).await;
    }
    let held = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert_eq!((server.held(), pool.state().connections), (2, 2));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn r12_bb8_does_not_tell_a_permanent_error() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let pool = pool_of(&server, 1).await;
    let begun = Instant::now();
    assert!(matches!(pool.get().await, Err(bb8::RunError::TimedOut)));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn r02_bb8_lets_a_newcomer_overtake() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 1).await;
    let held = pool.get().await.unwrap();
    let mut first = pin!(pool.get());
    assert!(timeout(ms(1), first.as_mut()).await.is_err());
    drop(held);
    let newcomer = pool.get().await.unwrap();
    assert!(timeout(ms(1), first.as_mut()).await.is_err());
    drop(newcomer);
    assert_eq!(first.await.unwrap().id(), 1);
}

#[tokio::test(start_paused = true)]
async fn r21_nothing_is_left_when_bb8_is_dropped() {
    let server = FakeServer::new();
    let pool = pool_of(&server, 2).await;
    drop((pool.get().await.unwrap(), pool.get().await.unwrap()));
    drop(pool);
    assert_eq!((server.held(), server.calls(Op::Close)), (0, 0));
}
