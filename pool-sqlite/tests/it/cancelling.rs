//! Futures that are dropped: their statement ends, and only theirs.

use std::time::Duration;

use pool_sqlite::SqliteErrorKind;
use pool_sqlite::rusqlite;
use tokio::time::timeout;

use super::{ENDLESS, Place, number, run, soon};

/// With one reading connection, the next user gets the very one on which the query was given up.
#[tokio::test]
async fn r18_a_dropped_query_is_interrupted_and_the_next_user_does_not_notice() {
    let place = Place::new();
    let pool = place.builder().max_size(2).build().await.unwrap();
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x); INSERT INTO t VALUES (42)").await;
    for n in 0..50 {
        let mut reader = pool.read().await.unwrap();
        let endless = reader.call(|c| c.query_row(ENDLESS, [], |_| Ok(())));
        timeout(Duration::from_micros(n * 200), endless).await.unwrap_err();
        drop(reader);
        let mut reader = soon(pool.read()).await.unwrap();
        assert_eq!(soon(number(&mut reader, "SELECT x FROM t")).await, 42);
    }
    let counts = pool.readers().snapshot().counts;
    assert_eq!(counts.created, 1, "one connection served all: {counts:?}");
}

/// Each outcome may be there before it is waited for; the loop has to let others run all the same.
#[tokio::test]
async fn r02_a_loop_of_calls_starves_no_other_task() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut reader = pool.read().await.unwrap();
    let in_a_row = std::cell::Cell::new(0);
    let calls = async {
        for _ in 0..10_000 {
            reader.call(|c| c.query_row("SELECT 1", [], |_| Ok(()))).await.unwrap();
            in_a_row.set(in_a_row.get() + 1);
            assert!(in_a_row.get() <= 128, "more than a task's budget");
        }
    };
    let other = async {
        loop {
            in_a_row.set(0);
            tokio::task::yield_now().await;
        }
    };
    soon(async { tokio::select!(biased; () = calls => {}, () = other => {}) }).await;
}

#[tokio::test]
async fn the_same_user_may_go_on_after_giving_up_a_query() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    for _ in 0..20 {
        let endless = writer.call(|c| c.query_row(ENDLESS, [], |_| Ok(())));
        timeout(Duration::from_millis(1), endless).await.unwrap_err();
        assert_eq!(soon(number(&mut writer, "SELECT count(*) FROM t")).await, 0);
        assert_eq!(soon(writer.inline(|c| c.execute("SELECT 1", []))).await.ok(), None);
    }
}

#[tokio::test]
async fn r14_a_transaction_that_is_dropped_leaves_nothing() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    for n in 0..50 {
        let mut writer = pool.write().await.unwrap();
        let writing = writer.transaction(|tx| {
            tx.execute("INSERT INTO t VALUES (1)", [])?;
            tx.query_row(ENDLESS, [], |_| Ok(()))
        });
        timeout(Duration::from_micros(n * 100), writing).await.unwrap_err();
    }
    let mut writer = soon(pool.write()).await.unwrap();
    assert_eq!(number(&mut writer, "SELECT count(*) FROM t").await, 0);
    let snapshot = pool.writer().snapshot();
    assert_eq!((snapshot.open(), snapshot.in_use), (1, 1));
}

/// A job that has not begun when its future is dropped never begins.
#[tokio::test]
async fn a_dropped_call_that_was_still_in_line_never_runs() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    for _ in 0..100 {
        // Polled once, so that the job is on its way, and dropped.
        let mut adding = Box::pin(writer.call(|c| c.execute("INSERT INTO t VALUES (1)", [])));
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(Future::poll(adding.as_mut(), cx)));
        let _ = polled.await;
        drop(adding);
        let before = number(&mut writer, "SELECT count(*) FROM t").await;
        tokio::task::yield_now().await;
        let after = number(&mut writer, "SELECT count(*) FROM t").await;
        assert_eq!(before, after, "what was given up is over before the next statement");
    }
}

#[tokio::test]
async fn r15_a_panic_in_a_closure_costs_its_connection() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    for way in ["call", "inline", "blocking", "transaction"] {
        let mut writer = pool.write().await.unwrap();
        let error = match way {
            "call" => writer.call(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await,
            "inline" => writer.inline(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await,
            "blocking" => {
                writer.call_blocking(|_| -> rusqlite::Result<()> { panic!("on purpose") })
            }
            _ => {
                writer
                    .transaction(|tx| -> rusqlite::Result<()> {
                        tx.execute("INSERT INTO t VALUES (1)", [])?;
                        panic!("on purpose")
                    })
                    .await
            }
        };
        let error = error.unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::Panicked);
        assert!(error.to_string().contains("on purpose"), "{error}");
        drop(writer);
        let mut writer = soon(pool.write()).await.unwrap();
        assert_eq!(number(&mut writer, "SELECT count(*) FROM t").await, 0, "{way}");
    }
    assert_eq!(pool.writer().snapshot().counts.reset, 4, "opened anew each time");
}

/// What a closure panics with is dropped on the connection's thread, and may panic as well.
#[tokio::test]
async fn r15_a_thread_that_ended_costs_its_connection() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("and again");
        }
    }
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    let end = |_: &mut rusqlite::Connection| std::panic::panic_any(Again);
    let error = soon(writer.call::<(), _>(end)).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Closed, "{error}");
    let error = soon(writer.call(|_| Ok(()))).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Closed, "{error}");
    drop(writer);
    run(&mut soon(pool.write()).await.unwrap(), "CREATE TABLE t (x)").await;
    let counts = pool.writer().snapshot().counts;
    assert_eq!((counts.created, counts.ended.broken), (2, 1));
}

/// No statement runs when the future is dropped, so there is nothing to interrupt: what the closure
/// does afterwards is not committed all the same.
#[tokio::test]
async fn r14_nothing_is_committed_once_the_future_is_dropped() {
    let place = Place::new();
    let pool = place.pool().await;
    run(&mut pool.write().await.unwrap(), "CREATE TABLE t (x)").await;
    for in_transaction in [true, false] {
        let mut writer = pool.write().await.unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let add = "INSERT INTO t VALUES (1)";
        let slow = Duration::from_millis(20);
        if in_transaction {
            let adding = writer.transaction(move |tx| {
                let _ = wait.lock().unwrap().recv();
                tx.execute(add, [])
            });
            timeout(slow, adding).await.unwrap_err();
        } else {
            let adding = writer.call(move |c| {
                let _ = wait.lock().unwrap().recv();
                c.execute(add, [])
            });
            timeout(slow, adding).await.unwrap_err();
        }
        drop(go);
        drop(writer);
        let mut next = soon(pool.write()).await.unwrap();
        assert_eq!(number(&mut next, "SELECT count(*) FROM t").await, 0, "{in_transaction}");
    }
}

#[tokio::test]
async fn r14_a_given_up_transaction_is_undone_before_a_blocking_call() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    let endless = writer.call(|c| {
        c.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")?;
        c.query_row(ENDLESS, [], |_| Ok(()))
    });
    timeout(Duration::from_millis(20), endless).await.unwrap_err();
    let seen = soon(async {
        loop {
            let count = |c: &mut rusqlite::Connection| {
                assert!(c.is_autocommit());
                c.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
            };
            match writer.call_blocking(count) {
                Ok(count) => return count,
                Err(error) => assert!(error.is_busy(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(seen, 0);
}

/// The built-in busy handler would go on waiting.
#[tokio::test]
async fn r07_giving_up_ends_a_wait_for_another_process() {
    let place = Place::new();
    let patient = Duration::from_secs(3600);
    let pool = place.builder().options(|o| o.busy_timeout = patient).build().await.unwrap();
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adding = writer.call(|c| c.execute("INSERT INTO t VALUES (1)", []));
    timeout(Duration::from_millis(30), adding).await.unwrap_err();
    assert_eq!(soon(number(&mut writer, "SELECT count(*) FROM t")).await, 0);
}
