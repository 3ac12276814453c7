//! One writer and many readers of one file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_sqlite::{SqliteErrorKind, SqlitePool, rusqlite};
use tokio::time::Instant;

use super::{Place, number, run, soon};

#[tokio::test]
async fn readers_see_what_was_committed_and_cannot_write() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(
        &mut writer,
        "CREATE TABLE t (x); INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)",
    )
    .await;
    let mut reader = pool.read().await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 1);
    let refused = reader.call(|c| c.execute("INSERT INTO t VALUES (3)", [])).await.unwrap_err();
    assert_eq!(refused.kind(), SqliteErrorKind::ReadOnly, "{refused}");
    run(&mut writer, "COMMIT").await;
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test]
async fn max_size_is_one_writer_and_the_rest_readers() {
    let place = Place::new();
    let pool = place.builder().max_size(25).build().await.unwrap();
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.write.max_size, snapshot.read.unwrap().max_size), (1, 24));

    let single = SqlitePool::builder(place.file("one.db")).max_size(1).build().await.unwrap();
    assert!(single.snapshot().read.is_none());
    let mut connection = single.read().await.unwrap();
    run(&mut connection, "CREATE TABLE t (x)").await;
}

#[tokio::test]
async fn writers_are_served_in_the_order_they_came() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut first = pool.write().await.unwrap();
    run(&mut first, "CREATE TABLE t (x INTEGER)").await;
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..20_i64 {
        let own = pool.clone();
        tasks.spawn(async move {
            let mut writer = own.write().await.unwrap();
            writer.call(move |c| c.execute("INSERT INTO t VALUES (?1)", [i])).await.unwrap();
        });
        while pool.snapshot().write.waiting <= i as u32 {
            tokio::task::yield_now().await; // it has joined the queue
        }
    }
    drop(first);
    soon(tasks.join_all()).await;
    let mut reader = pool.read().await.unwrap();
    let order: Vec<i64> = reader
        .call(|c| {
            c.prepare("SELECT x FROM t ORDER BY rowid")?.query_map([], |r| r.get(0))?.collect()
        })
        .await
        .unwrap();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

/// Both sides at once, in every way there is to run a statement. No caller ever sees a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_readers_and_eight_writers_never_meet_a_lock() {
    let time = std::env::var("POOL_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(30);
    let place = Place::new();
    let pool = place.builder().max_size(9).build().await.unwrap();
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER)").await;
    drop(writer);
    let until = Instant::now() + Duration::from_secs(time);
    let (reads, writes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8_u32 {
        let for_readers = pool.clone();
        let (pool, writes) = (pool.clone(), writes.clone());
        tasks.spawn(async move {
            while Instant::now() < until {
                let mut writer = pool.write().await.unwrap();
                let add = "INSERT INTO t (x) SELECT count(*) FROM t WHERE id < 100";
                match n % 3 {
                    0 => writer.inline(|c| c.prepare_cached(add)?.execute([])).await.unwrap(),
                    1 => writer.call(|c| c.prepare_cached(add)?.execute([])).await.unwrap(),
                    _ => {
                        writer.transaction(|tx| tx.prepare_cached(add)?.execute([])).await.unwrap()
                    }
                };
                writes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (pool, reads) = (for_readers.clone(), reads.clone());
        tasks.spawn(async move {
            while Instant::now() < until {
                let mut reader = pool.read().await.unwrap();
                let ask = "SELECT max(id) FROM t";
                let get = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
                match n % 2 {
                    0 => {
                        reader.inline(|c| c.prepare_cached(ask)?.query_row([], get)).await.unwrap()
                    }
                    _ => {
                        let ask = move |c: &mut rusqlite::Connection| {
                            c.prepare_cached(ask)?.query_row([], get)
                        };
                        reader.call(ask).await.unwrap()
                    }
                };
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // A long query is given up again and again beside them.
    while Instant::now() < until {
        let mut reader = pool.read().await.unwrap();
        let endless = reader.call(|c| c.query_row(super::ENDLESS, [], |_| Ok(())));
        let _ = tokio::time::timeout(Duration::from_millis(20), endless).await;
    }
    let limit = Duration::from_secs(time + 60);
    tokio::time::timeout(limit, tasks.join_all()).await.expect("hangs");
    let (reads, writes) = (reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
    println!("{reads} reads and {writes} writes in {time} s");
    assert!(reads > 100 * time && writes > 100 * time, "{reads} reads, {writes} writes");
    let mut reader = pool.read().await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, writes as i64);
    let snapshot = pool.snapshot();
    assert!(snapshot.wal_bytes < 64 << 20, "the log is checkpointed: {}", snapshot.wal_bytes);
}

/// Another process (here: a connection of its own) may lock the file; the pool waits it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_another_process_is_waited_out() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    for way in ["inline", "call", "transaction"] {
        let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let own = pool.clone();
        let writing = tokio::spawn(async move {
            let mut writer = own.write().await?;
            let add = "INSERT INTO t VALUES (1)";
            match way {
                "inline" => writer.inline(|c| c.execute(add, [])).await,
                "call" => writer.call(move |c| c.execute(add, [])).await,
                _ => writer.transaction(move |tx| tx.execute(add, [])).await,
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!writing.is_finished(), "{way} waits");
        other.execute_batch("COMMIT").unwrap();
        soon(writing).await.unwrap().unwrap();
    }
    let mut reader = pool.read().await.unwrap();
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 3);
}

#[tokio::test]
async fn a_lock_that_stays_is_one_clear_error() {
    let place = Place::new();
    let builder = place.builder().options(|o| o.busy_timeout = Duration::from_millis(100));
    let pool = builder.build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writer = pool.write().await.unwrap();
    let add = "INSERT INTO t VALUES (1)";
    let errors = [
        soon(writer.inline(|c| c.execute(add, []))).await.unwrap_err(),
        soon(writer.call(move |c| c.execute(add, []))).await.unwrap_err(),
        soon(writer.transaction(move |tx| tx.execute(add, []))).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_busy(), "{error}");
        let text = error.to_string();
        assert!(text.contains("test.db: it is locked by another process"), "{text}");
    }
    other.execute_batch("COMMIT").unwrap();
    writer.inline(|c| c.execute(add, [])).await.unwrap();
}

/// An inline closure is run again only where it has changed nothing.
#[tokio::test]
async fn an_inline_closure_never_repeats_a_change() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    let mut writer = pool.write().await.unwrap();
    let mut other = None;
    let path = place.file("test.db");
    let error = writer
        .inline(|c| {
            c.execute("INSERT INTO t VALUES (1)", [])?;
            let locker = rusqlite::Connection::open(&path)?;
            locker.execute_batch("BEGIN IMMEDIATE")?;
            other = Some(locker);
            c.execute("INSERT INTO t VALUES (2)", [])
        })
        .await
        .unwrap_err();
    assert!(error.is_busy(), "{error}");
    drop(other);
    assert_eq!(number(&mut writer, "SELECT count(*) FROM t").await, 1);
}

#[tokio::test]
async fn a_backup_is_whole_and_never_overwrites() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (7)").await;
    let copy = place.file("copy.db");
    pool.backup(&copy).await.unwrap();
    let restored = rusqlite::Connection::open(&copy).unwrap();
    assert_eq!(restored.query_row("SELECT x FROM t", [], |r| r.get::<_, i64>(0)), Ok(7));
    let error = pool.backup(&copy).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    let folder = pool.backup(place.file("nowhere/copy.db")).await.unwrap_err();
    assert_eq!(folder.kind(), SqliteErrorKind::CannotOpen, "{folder}");
    assert!(folder.to_string().contains("nowhere"), "{folder}");

    // Two at once: one of them; and what is given up leaves nothing.
    let twice = place.file("twice.db");
    let (one, two) = tokio::join!(pool.backup(&twice), pool.backup(&twice));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    for n in 0..50 {
        let given_up = pool.backup(place.file("given-up.db"));
        if tokio::time::timeout(Duration::from_micros(n * 30), given_up).await.is_ok() {
            let _ = std::fs::remove_file(place.file("given-up.db"));
        }
    }
    soon(pool.close(Duration::from_secs(10))).await;
    let files = std::fs::read_dir(place.folder.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    let part = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".part");
    assert!(!names.iter().any(part), "{names:?}");
}

/// A conflict within one connection is no lock that waiting would help against.
#[tokio::test]
async fn a_conflict_of_ones_own_is_told_at_once() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2)").await;
    let mut tries = 0;
    let error = writer
        .inline(|c| {
            tries += 1;
            let mut reading = c.prepare("SELECT x FROM t")?;
            let mut rows = reading.query([])?;
            rows.next()?;
            c.execute_batch("DROP TABLE t")
        })
        .await
        .unwrap_err();
    assert_eq!((error.kind(), tries), (SqliteErrorKind::Conflict, 1), "{error}");
}
