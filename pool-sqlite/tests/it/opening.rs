//! Opening: what cannot be opened says so in one sentence, and pragmas are what they should be.

use std::time::Duration;

use pool_core::ManagedPool;
use pool_sqlite::{JournalMode, SqliteBuilder, SqliteErrorKind, SqlitePool, rusqlite};

use super::closing::threads;
use super::{Place, number, run, soon};

#[tokio::test]
async fn r12_what_cannot_be_opened_fails_at_once_and_says_why() {
    let place = Place::new();
    std::fs::write(
        place.file("text.db"),
        "this is no database, only text of some length. ".repeat(90),
    )
    .unwrap();
    std::fs::create_dir(place.file("folder.db")).unwrap();
    let mut torn = Vec::from(*b"SQLite format 3\0");
    torn.resize(8192, 0xff);
    std::fs::write(place.file("torn.db"), torn).unwrap();
    for (name, kind, says) in [
        ("nowhere/x.db", SqliteErrorKind::CannotOpen, "check that its folder exists"),
        ("folder.db", SqliteErrorKind::CannotOpen, "cannot be opened"),
        ("text.db", SqliteErrorKind::NotADatabase, "no SQLite database"),
        ("torn.db", SqliteErrorKind::NotADatabase, "no SQLite database"),
    ] {
        let begun = tokio::time::Instant::now();
        let error = soon(SqlitePool::builder(place.file(name)).build()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(says), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(20), "permanent: not until the timeout");
    }
    let read_only = SqlitePool::builder(place.file("none.db")).read_only().build().await;
    assert_eq!(read_only.unwrap_err().kind(), SqliteErrorKind::CannotOpen);
    assert!(!place.file("none.db").exists());
}

#[tokio::test]
async fn a_locked_database_is_one_clear_error() {
    let place = Place::new();
    let path = place.file("locked.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").unwrap();
    let builder = SqlitePool::builder(&path)
        .acquire_timeout(Duration::from_millis(500))
        .options(|o| o.busy_timeout = Duration::from_millis(100));
    let error = soon(builder.build()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("locked by another process"), "{error}");
}

#[tokio::test]
async fn connections_are_set_up_as_the_options_say() {
    let place = Place::new();
    let builder = place.builder().max_size(5).options(|o| {
        o.cache_budget = 20_000;
        o.synchronous = pool_sqlite::Synchronous::Full;
    });
    let pool = builder.build().await.unwrap();
    let mut writer = pool.write().await.unwrap();
    let mut reader = pool.read().await.unwrap();
    for (guard, query_only, cache) in [(&mut writer, 0, 10_000), (&mut reader, 1, 2_500)] {
        assert_eq!(number(guard, "PRAGMA foreign_keys").await, 1);
        assert_eq!(number(guard, "PRAGMA synchronous").await, 2);
        assert_eq!(number(guard, "PRAGMA cache_size").await, -cache, "of a budget of 20,000");
        assert_eq!(number(guard, "PRAGMA mmap_size").await, 0);
        assert_eq!(number(guard, "PRAGMA query_only").await, query_only);
        let mode: String =
            guard.call(|c| c.query_row("PRAGMA journal_mode", [], |r| r.get(0))).await.unwrap();
        assert_eq!(mode, "wal");
    }
}

#[tokio::test]
async fn another_journal_mode_is_a_single_connection() {
    let place = Place::new();
    let pool = place.builder().options(|o| o.journal_mode = JournalMode::Delete).build().await;
    assert!(pool.unwrap().snapshot().read.is_none());
}

#[tokio::test]
async fn a_database_that_is_only_read_is_never_written() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (5)").await;
    soon(pool.close(Duration::from_secs(10))).await;
    let pool = place.builder().read_only().build().await.unwrap();
    let mut reader = pool.write().await.unwrap();
    assert_eq!(number(&mut reader, "SELECT x FROM t").await, 5);
    let error = reader.call(|c| c.execute("DELETE FROM t", [])).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::ReadOnly);
}

#[tokio::test]
async fn memory_is_one_connection_that_never_goes() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x); INSERT INTO t VALUES (1); CREATE TEMP TABLE u (x)").await;
    drop(writer);
    assert_eq!(number(&mut pool.read().await.unwrap(), "SELECT x FROM t").await, 1);
    assert!(pool.snapshot().read.is_none());
    // Neither a panic nor a lost connection takes the data along.
    let mut writer = pool.write().await.unwrap();
    writer.call(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await.unwrap_err();
    drop(writer);
    pool.writer().invalidate_all();
    assert_eq!(number(&mut pool.read().await.unwrap(), "SELECT x FROM t").await, 1);

    let shared = SqliteBuilder::in_shared_memory().max_size(4).build().await.unwrap();
    run(&mut shared.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (2)").await;
    assert_eq!(number(&mut shared.read().await.unwrap(), "SELECT x FROM t").await, 2);
    let other = SqliteBuilder::in_shared_memory().build().await.unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema";
    assert_eq!(number(&mut other.write().await.unwrap(), tables).await, 0, "of its own");
}

#[tokio::test]
async fn r25_errors_and_debug_name_the_file_but_no_values() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x UNIQUE)").await;
    let add = "INSERT INTO t VALUES ('canary-7f3a')";
    run(&mut writer, add).await;
    let error = writer.call(|c| c.execute("INSERT INTO t SELECT x FROM t", [])).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Constraint);
    let all = format!("{error} {error:?} {writer:?} {pool:?} {:?}", pool.snapshot());
    assert!(all.contains("test.db") && !all.contains("canary"), "{all}");
}

#[tokio::test]
async fn r08_any_busy_timeout_and_any_cache_is_possible() {
    let place = Place::new();
    let builder = place.builder().options(|o| {
        o.busy_timeout = Duration::MAX;
        o.cache_budget = u32::MAX;
        o.optimize_every = Duration::ZERO;
    });
    let pool = builder.build().await.unwrap();
    let mut writer = soon(pool.write()).await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    assert!(number(&mut writer, "PRAGMA cache_size").await < 0);
}

#[tokio::test]
async fn r15_a_panic_in_set_up_is_told_at_once() {
    let place = Place::new();
    let error = soon(place.builder().set_up(|_| panic!("on purpose")).build()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Panicked);
    assert!(error.to_string().contains("on purpose"), "{error}");
}

#[tokio::test]
async fn a_url_can_ask_that_the_file_exists() {
    let place = Place::new();
    let url = format!("sqlite://{}?mode=rw", place.file("none.db").display());
    let error = soon(SqlitePool::connect(&url)).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::CannotOpen);
    assert!(!place.file("none.db").exists());
}

#[tokio::test]
async fn errors_quote_no_sql() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    let wrong = "SELECT nosuch('canary-7f3a')";
    let error = writer.call(move |c| c.execute_batch(wrong)).await.unwrap_err();
    assert!(error.to_string().contains("no such function"), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

/// A thread that waits for a lock cannot be ended when the connect's time is up.
#[tokio::test]
async fn r01_opens_that_hang_leave_few_threads_behind() {
    let place = Place::new();
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").unwrap();
    let ms = Duration::from_millis;
    let builder = place.builder().options(|o| o.busy_timeout = Duration::from_secs(600));
    let manager = builder.config(|c| c.name("left-behind")).manager().unwrap();
    let pool = ManagedPool::builder(manager).max_size(1).connect_timeout(ms(5));
    let pool = pool.backoff_base(ms(1)).backoff_cap(ms(2)).build().unwrap();
    let says = "too many attempts to open it";
    let all = async {
        loop {
            let error = pool.acquire().within(ms(50)).await.unwrap_err();
            assert!(threads("left-behind") <= 8 + 1, "and one under way");
            if error.to_string().contains(says) {
                return;
            }
        }
    };
    soon(all).await;
    assert!(threads("left-behind") >= 8);
    other.execute_batch("COMMIT").unwrap();
    run(&mut soon(pool.acquire().within(Duration::from_secs(60))).await.unwrap(), "SELECT 1").await;
}
