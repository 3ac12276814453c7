//! A manager written for r2d2 in our pool: its calls block threads of ours, and nobody else.

use pool_adapters::R2d2Manager;
use pool_core::{AcquireErrorKind, Builder, ConnectContext, ErrorClass, ManagedPool, Manager};
use pool_core::{Condition, Validation};

use crate::support::{dropped_after, ms, secs, soon, until};
use crate::theirs::{Act, Server, TheirManager};

fn builder(server: &Server, max_size: u32) -> Builder<R2d2Manager<TheirManager>> {
    let builder = ManagedPool::builder(R2d2Manager::new(server.manager()));
    builder.max_size(max_size).validation(Validation::Always)
}

#[tokio::test]
async fn a_connection_is_reused_and_only_threads_of_ours_block() {
    let server = Server::default();
    let pool = builder(&server, 2).build().unwrap();
    for _ in 0..3 {
        assert_eq!(soon(async { pool.acquire().await }).await.unwrap().id, 1);
    }
    assert!(pool.close(secs(9)).await.is_complete());
    // A connect, two tests, a drop.
    assert_eq!(server.threads(), ["pool-r2d2"; 4]);
    assert_eq!((server.open(), server.tests(), pool.manager().threads()), (0, 2, 0));
}

#[test]
fn a_thread_needs_no_runtime() {
    let server = Server::default();
    let pool = builder(&server, 1).build().unwrap();
    assert_eq!(pool.blocking().acquire().unwrap().id, 1);
    assert_eq!(pool.blocking().acquire().unwrap().id, 1);
}

#[tokio::test]
async fn r17_a_broken_connection_is_discarded() {
    let server = Server::default();
    let pool = builder(&server, 1).build().unwrap();
    pool.acquire().await.unwrap().broken = true;
    assert_eq!(soon(async { pool.acquire().await }).await.unwrap().id, 2);
    assert_eq!(pool.snapshot().counts.ended.broken, 1);
    until("the first is dropped", || server.open() == 1 && pool.manager().threads() == 0).await;
    assert!(server.threads().iter().all(|name| name == "pool-r2d2"), "{:?}", server.threads());
}

#[tokio::test]
async fn r07_a_connect_that_hangs_is_given_up_and_its_connection_dropped_when_it_comes() {
    let server = Server::default();
    server.next_connects([Act::Hang]);
    let pool = builder(&server, 1).connect_timeout(ms(300)).build().unwrap();
    let connection = soon(async { pool.acquire().await }).await.unwrap();
    assert_eq!((connection.id, server.open(), pool.manager().threads()), (1, 1, 1));
    server.release();
    until("the thread goes", || pool.manager().threads() == 0).await;
    until("what came too late is dropped", || server.open() == 1).await;
}

#[tokio::test]
async fn r19_a_ping_that_hangs_takes_its_connection_along() {
    let server = Server::default();
    let pool = builder(&server, 1).ping_timeout(ms(300)).build().unwrap();
    drop(pool.acquire().await.unwrap());
    server.next_tests([Act::Hang]);
    let connection = soon(async { pool.acquire().await }).await.unwrap();
    assert_eq!((connection.id, connection.asked, server.open()), (2, false, 2));
    server.release();
    until("the first is dropped", || server.open() == 1).await;
    assert_eq!(pool.manager().threads(), 0);
}

#[tokio::test]
async fn a_connection_whose_ping_was_cut_short_is_broken() {
    let server = Server::default();
    let manager = R2d2Manager::new(server.manager());
    let mut connection = manager.connect(&ConnectContext::new(1, secs(1))).await.unwrap();
    assert_eq!(manager.condition(&mut connection), Condition::Clean);
    server.next_tests([Act::Hang]);
    assert!(tokio::time::timeout(ms(20), manager.ping(&mut connection)).await.is_err());
    assert!(matches!(manager.condition(&mut connection), Condition::Broken(_)));
    assert!(manager.ping(&mut connection).await.is_err());
    server.release();
    until("the thread drops it", || server.open() == 0).await;
}

#[tokio::test]
async fn r01_a_server_that_swallows_everything_does_not_collect_threads() {
    let server = Server::default();
    server.next_connects([Act::Hang; 10]);
    let manager = R2d2Manager::new(server.manager()).max_threads(3);
    let cx = ConnectContext::new(1, secs(1));
    for _ in 0..3 {
        assert!(tokio::time::timeout(ms(5), manager.connect(&cx)).await.is_err());
    }
    let error = soon(manager.connect(&cx)).await.unwrap_err();
    assert_eq!(manager.classify(&error), ErrorClass::Saturated, "{error}");
    assert_eq!(manager.threads(), 3);
    server.release();
    until("the threads go", || manager.threads() == 0 && server.open() == 0).await;
    assert!(manager.connect(&cx).await.is_ok());
}

#[tokio::test]
async fn r15_a_panic_costs_one_connection() {
    let server = Server::default();
    let pool = builder(&server, 1).build().unwrap();
    server.next_connects([Act::Panic]);
    let _ = soon(async { pool.acquire().await }).await;
    drop(soon(async { pool.acquire().await }).await.unwrap());
    server.next_tests([Act::Panic]);
    let _ = soon(async { pool.acquire().await }).await;
    soon(async { pool.acquire().await }).await.unwrap().panics = true;
    server.drop_panics();
    soon(async { pool.acquire().await }).await.unwrap().broken = true;
    assert!(soon(async { pool.acquire().await }).await.is_ok());
    until("one is left", || server.open() == 1 && pool.manager().threads() == 0).await;
}

#[tokio::test]
async fn r12_their_errors_are_told_as_text_with_the_class_they_are_given() {
    let server = Server::default();
    server.down();
    let manager = R2d2Manager::new(server.manager()).classify_with(|_| ErrorClass::Permanent);
    let error = soon(async { ManagedPool::new(manager).acquire().await }).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    assert!(error.to_string().contains("cannot log in: password refused"), "{error}");
}

#[tokio::test]
async fn r14_a_cancelled_acquire_leaks_nothing() {
    let server = Server::default();
    let pool = builder(&server, 2).build().unwrap();
    for looks in 0..40 {
        dropped_after(looks % 5, async { pool.acquire().await }).await;
    }
    let both = async { (pool.acquire().await.unwrap(), pool.acquire().await.unwrap()) };
    let held = soon(both).await;
    assert!(!held.0.asked && !held.1.asked);
    assert_eq!((server.open(), pool.snapshot().waiting), (2, 0));
}

#[tokio::test]
async fn r21_nothing_is_left_after_a_close() {
    let server = Server::default();
    let pool = builder(&server, 2).build().unwrap();
    drop((pool.acquire().await.unwrap(), pool.acquire().await.unwrap()));
    assert!(pool.close(secs(9)).await.is_complete());
    assert_eq!((server.open(), pool.manager().threads()), (0, 0));
    drop(pool);
    until("the manager is gone", || server.is_alone()).await;
}

#[tokio::test]
async fn a_detached_connection_blocks_no_task_by_its_drop() {
    let server = Server::default();
    let pool = builder(&server, 1).build().unwrap();
    drop(pool.acquire().await.unwrap().detach());
    until("it is dropped", || server.open() == 0).await;
    assert_eq!(server.threads(), ["pool-r2d2"; 2]);
    let alone = pool.acquire().await.unwrap().detach().into_inner();
    assert_eq!(alone.id, 2);
}
