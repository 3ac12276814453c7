//! R20: other settings for a running pool, which are those of two sides.

use std::time::Duration;

use pool_core::{PoolConfig, Reuse, Validation};
use pool_sqlite::{JournalMode, SqlitePool};

use super::{Place, number, run, soon};

fn present(pool: &SqlitePool) -> PoolConfig {
    PoolConfig::clone(&pool.config())
}

/// What the pragma says on each reader that can be had at once.
async fn caches(pool: &SqlitePool) -> Vec<i64> {
    let (mut held, mut caches) = (Vec::new(), Vec::new());
    for _ in 0..pool.readers().config().max_size {
        let mut reader = soon(pool.read()).await.unwrap();
        caches.push(number(&mut reader, "PRAGMA cache_size").await);
        held.push(reader);
    }
    caches
}

#[tokio::test]
async fn r20_settings_hold_for_writer_and_readers() {
    let place = Place::new();
    let pool = place.builder().max_size(3).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    assert_eq!(caches(&pool).await, [-16_384; 2], "half of 64 MiB, between two");
    let held = [pool.read().await.unwrap(), pool.read().await.unwrap()];
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.read().await.map(drop) }
    });
    while pool.readers().snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let new = present(&pool).max_size(5).acquire_timeout(Duration::ZERO).reuse(Reuse::Fifo);
    let done = pool.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed max_size, acquire_timeout, reuse");
    soon(waiting).await.unwrap().unwrap();
    drop(held);
    assert_eq!(*pool.config(), new);
    let (write, read) = (pool.writer().config(), pool.readers().config());
    assert_eq!((write.max_size, write.min_size, read.max_size), (1, 1, 4));
    assert_eq!((&*write.name, &*read.name), ("sqlite-write", "sqlite-read"));
    assert_eq!([write.reuse, read.reuse], [Reuse::Fifo; 2]);
    // With a timeout of zero the writer that is taken is asked for once.
    let writer = pool.write().await.unwrap();
    assert!(pool.write().await.is_err());
    drop(writer);
    pool.reconfigure(&new.acquire_timeout(Duration::from_secs(30))).unwrap();
    pool.readers().invalidate_all();
    assert_eq!(caches(&pool).await, [-8_192; 4], "divided anew");
    assert!(pool.close(Duration::from_secs(10)).await.is_complete());
}

#[tokio::test]
async fn r20_from_one_connection_to_several_or_back_needs_a_restart() {
    let place = Place::new();
    let single = place.builder().max_size(1).build().await.unwrap();
    let several = place.builder().max_size(4).build().await.unwrap();
    let keepalive = Some(Duration::from_secs(60));
    for (pool, other) in [(&single, 4), (&several, 1)] {
        let before = present(pool);
        let new = before.clone().name("x").max_size(other).max_idle(1).keepalive(keepalive);
        let done = pool.reconfigure(&new).unwrap();
        assert_eq!(done.changed, ["keepalive"]);
        assert_eq!(done.needs_restart, ["name", "max_size", "max_idle"]);
        assert_eq!(*pool.config(), before.keepalive(keepalive));
        assert_eq!(pool.writer().config().keepalive, keepalive);
    }
    assert_eq!(several.readers().config().keepalive, keepalive);
    assert_eq!(several.snapshot().read.unwrap().max_size, 3);
    assert_eq!(single.snapshot().write.max_size, 1);
    // Where one connection is all there can be, its number is of no matter.
    let rollback = SqlitePool::builder(place.file("rollback.db"));
    let rollback = rollback.options(|options| options.journal_mode = JournalMode::Delete);
    let rollback = rollback.build().await.unwrap();
    let done = rollback.reconfigure(&present(&rollback).max_size(9)).unwrap();
    assert_eq!(done.to_string(), "changed nothing");
    // Who only reads has one side, of any size.
    let read_only = place.builder().read_only().build().await.unwrap();
    let done = read_only.reconfigure(&present(&read_only).max_size(1)).unwrap();
    assert_eq!(done.to_string(), "changed max_size");
    assert_eq!(read_only.snapshot().write.max_size, 1);
}

/// What a pool of this kind does not go by is neither said to be changed nor among its settings.
#[tokio::test]
async fn r20_the_report_and_the_settings_are_what_holds() {
    let place = Place::new();
    let single = place.builder().max_size(1).build().await.unwrap();
    let rollback = SqlitePool::builder(place.file("rollback.db")).max_size(5);
    let rollback = rollback.options(|options| options.journal_mode = JournalMode::Delete);
    let rollback = rollback.build().await.unwrap();
    for pool in [&single, &rollback] {
        let before = present(pool);
        let new = before.clone().idle_timeout(Duration::from_secs(7)).min_idle(1).max_idle(1);
        assert_eq!(pool.reconfigure(&new).unwrap().to_string(), "changed nothing");
        assert_eq!(*pool.config(), before);
        let done = pool.reconfigure(&new.reuse(Reuse::Fifo)).unwrap();
        assert_eq!(done.to_string(), "changed reuse");
        assert_eq!(*pool.config(), before.reuse(Reuse::Fifo));
    }
    let done = rollback.reconfigure(&present(&rollback).max_size(9)).unwrap();
    assert_eq!(done.to_string(), "changed nothing");
    assert_eq!(rollback.config().max_size, 5);
    // What a restart would make matter is said to need one.
    let new = present(&single).max_size(4).idle_timeout(Duration::from_secs(7));
    let done = single.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed nothing; needs a restart: max_size, idle_timeout");
    let read_only = place.builder().read_only().build().await.unwrap();
    let new = present(&read_only).min_size(3).idle_timeout(Duration::from_secs(7));
    let done = read_only.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed min_size, idle_timeout");
    assert_eq!([&*read_only.config(), &*read_only.writer().config()], [&new; 2]);
    let several = place.pool().await;
    let new = present(&several).min_size(3).idle_timeout(Duration::from_secs(7));
    let done = several.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed min_size, idle_timeout");
    assert_eq!(several.readers().config().min_size, 2);
    assert_eq!(*several.config(), new);
}

#[tokio::test]
async fn r20_settings_that_make_no_sense_for_either_side_change_nothing() {
    let place = Place::new();
    let pool = place.pool().await;
    let before = present(&pool);
    // The last would do for a pool, but not for the three readers.
    for wrong in [before.clone().max_size(0), before.clone().min_idle(4)] {
        let wrong = wrong.validation(Validation::Always);
        assert!(pool.reconfigure(&wrong).is_err());
        assert_eq!(*pool.config(), before);
        let sides = [pool.writer().config(), pool.readers().config()];
        assert_eq!(sides.map(|side| side.validation), [Validation::Never; 2]);
    }
    let read_only = place.builder().read_only().build().await.unwrap();
    let before = present(&read_only);
    assert!(read_only.reconfigure(&before.clone().max_idle(0)).is_err());
    assert_eq!(*read_only.config(), before);
}

#[test]
fn r20_several_at_once_leave_both_sides_with_one_of_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let place = Place::new();
    let pool = runtime.block_on(place.pool());
    let operators: Vec<_> = (1..=4_u64)
        .map(|n| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                for round in 0..200 {
                    let timeout = Duration::from_secs(n * 1000 + round);
                    pool.reconfigure(&present(&pool).acquire_timeout(timeout)).unwrap();
                }
            })
        })
        .collect();
    operators.into_iter().for_each(|operator| operator.join().unwrap());
    let sides = [pool.writer().config(), pool.readers().config(), pool.config()];
    let [write, read, both] = sides.map(|side| side.acquire_timeout);
    assert_eq!([write, read], [both; 2]);
}

/// What the one leaves as it is, it does not put back to what it was before the other came.
#[test]
fn r20_of_two_at_once_neither_undoes_the_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let place = Place::new();
    let pool = runtime.block_on(place.pool());
    let four = present(&pool);
    let start = std::sync::Barrier::new(2);
    for round in 0..2_000 {
        pool.reconfigure(&four).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                pool.reconfigure(&four.clone().max_size(9)).unwrap();
            });
            start.wait();
            // Its size would need a restart, so it is not touched.
            pool.reconfigure(&four.clone().max_size(1)).unwrap();
        });
        assert_eq!(pool.config().max_size, 9, "round {round}");
        assert_eq!(pool.readers().config().max_size, 8, "round {round}");
    }
}
