//! Our managers in r2d2.

use pool_adapters::{AdapterError, ForR2d2, Marked};
use pool_core::Cause;
use pool_testkit::{Behaviour, FakeManager, FakeServer, Op};
use tokio::runtime::Runtime;

use crate::support::{ms, secs, until};

type Theirs = r2d2::Pool<ForR2d2<FakeManager>>;

/// A runtime that works on threads of its own, and a pool without spare connections.
fn pool_of(server: &FakeServer, max_size: u32) -> (Runtime, Theirs) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let manager = ForR2d2::new(server.manager(), runtime.handle().clone());
    let manager = manager.connect_timeout(ms(300)).ping_timeout(ms(300));
    let pool = r2d2::Pool::builder().max_size(max_size).min_idle(Some(0));
    (runtime, pool.connection_timeout(secs(20)).build_unchecked(manager))
}

#[test]
fn a_connection_is_reused_and_proven() {
    let server = FakeServer::new();
    let (_runtime, pool) = pool_of(&server, 2);
    for _ in 0..3 {
        assert_eq!(pool.get().unwrap().id(), 1);
    }
    assert_eq!((server.open(), server.calls(Op::Ping)), (1, 3));
}

#[test]
fn r18_a_dirty_connection_is_discarded_never_reset_never_inherited() {
    let server = FakeServer::new();
    let (_runtime, pool) = pool_of(&server, 1);
    pool.get().unwrap().begin();
    let connection = pool.get().unwrap();
    assert_eq!((connection.id(), connection.in_transaction()), (2, false));
    assert_eq!((server.calls(Op::Reset), server.calls(Op::Close), server.held()), (0, 0, 1));
}

#[test]
fn r17_a_connection_that_wants_upkeep_is_kept() {
    let server = FakeServer::new();
    let (_runtime, pool) = pool_of(&server, 1);
    pool.get().unwrap().soil(Cause::Upkeep);
    assert_eq!((pool.get().unwrap().id(), server.calls(Op::Connect)), (1, 1));
}

#[test]
fn r18_nothing_dirty_is_inherited_where_nothing_is_tested() {
    let server = FakeServer::new();
    let runtime = Runtime::new().unwrap();
    let manager = ForR2d2::new(server.manager(), runtime.handle().clone());
    let pool = r2d2::Pool::builder().max_size(1).test_on_check_out(false);
    let pool = pool.build(manager).unwrap();
    pool.get().unwrap().begin();
    assert!(!pool.get().unwrap().in_transaction());
}

#[test]
fn r17_a_broken_or_invalidated_connection_is_discarded() {
    let server = FakeServer::new();
    let (_runtime, pool) = pool_of(&server, 1);
    let mut connection = pool.get().unwrap();
    Marked::invalidate(&mut connection);
    drop(connection);
    drop(pool.get().unwrap());
    server.kill_all();
    assert_eq!((pool.get().unwrap().id(), server.held()), (3, 1));
}

#[test]
fn r07_calls_that_hang_are_given_up() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Hang]);
    let (_runtime, pool) = pool_of(&server, 1);
    assert_eq!(pool.get().unwrap().id(), 2);
    server.silence_all();
    assert_eq!((pool.get().unwrap().id(), server.held()), (3, 1));
}

#[test]
fn r15_a_panic_costs_one_connection() {
    let server = FakeServer::new();
    server.next(Op::Connect, [Behaviour::Panic]);
    let (_runtime, pool) = pool_of(&server, 1);
    assert_eq!(pool.get().unwrap().id(), 2);
    server.next(Op::Ping, [Behaviour::Panic]);
    let connection = pool.get().unwrap();
    assert_eq!(connection.id(), 3);
    server.next(Op::Condition, [Behaviour::Panic]);
    drop(connection);
    assert_eq!((pool.get().unwrap().id(), server.held()), (4, 1));
}

#[test]
fn r22_an_async_worker_is_refused_and_a_blocking_thread_is_not() {
    let server = FakeServer::new();
    let (runtime, pool) = pool_of(&server, 1);
    // Through the pool it may read as a time-out: r2d2 forgets the error when a connect succeeds.
    let manager = ForR2d2::new(server.manager(), runtime.handle().clone());
    let mut connection = r2d2::ManageConnection::connect(&manager).unwrap();
    let check = async move { r2d2::ManageConnection::is_valid(&manager, &mut connection) };
    let error = runtime.block_on(async { tokio::spawn(check).await.unwrap() }).unwrap_err();
    assert!(error.to_string().contains("spawn_blocking"), "{error}");
    let task = move || pool.get().map(|connection| connection.id()).unwrap();
    assert_eq!(runtime.block_on(runtime.spawn_blocking(task)).unwrap(), 1);
}

#[test]
fn r22_a_runtime_that_has_ended_is_an_error() {
    let server = FakeServer::new();
    let (runtime, pool) = pool_of(&server, 1);
    let mut connection = pool.get().unwrap();
    let manager = ForR2d2::new(server.manager(), runtime.handle().clone());
    runtime.shutdown_timeout(secs(5));
    server.always(Op::Connect, Behaviour::Slow(ms(1)));
    server.always(Op::Ping, Behaviour::Slow(ms(1)));
    use r2d2::ManageConnection;
    assert!(matches!(manager.connect(), Err(AdapterError::Panicked(_))));
    assert!(manager.is_valid(&mut connection).is_err());
}

#[test]
fn r21_nothing_is_left_when_r2d2_is_dropped() {
    let server = FakeServer::new();
    let (runtime, pool) = pool_of(&server, 2);
    drop((pool.get().unwrap(), pool.get().unwrap()));
    drop(pool);
    // A thread of r2d2's may be the last to have it.
    runtime.block_on(until("all are closed", || server.held() == 0));
    assert_eq!(server.calls(Op::Close), 0);
}
