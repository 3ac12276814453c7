//! R14: ask A, drop the future, ask B. Wherever A is dropped, B gets the answer to B or an error, and
//! the next user finds nothing of either.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool_mysql::mysql_async::Row;
use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::pool_core::PoolConfig;
use pool_mysql::{MySqlConnection, MySqlError, MySqlErrorKind, MySqlGuard, MySqlPool};
use pool_testkit::poll_times;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::place::{Place, in_transaction, is_whole};
use crate::soon;

type Done<'c> = Pin<Box<dyn Future<Output = Result<(), MySqlError>> + Send + 'c>>;
type Work = for<'c> fn(&'c mut MySqlConnection, i64) -> Done<'c>;

const INSERT: &str = "INSERT INTO t VALUES (?)";
const ROWS: &str = "SELECT 'wrong', t.x FROM t LIMIT 50";
const WRONG: &str = "SELECT 'wrong', 7, 8, 9";

/// Everything that may be dropped half-way. The number is another each time.
const WORKS: &[(&str, Work)] = &[
    ("query", |c, _| Box::pin(c.query_drop(WRONG))),
    ("long query", |c, _| Box::pin(c.query_drop("SELECT 'wrong', SLEEP(30)"))),
    ("several", |c, _| Box::pin(c.query_drop("SELECT 1; SELECT SLEEP(0.001); SELECT 'wrong'"))),
    ("rows", |c, _| {
        Box::pin(async {
            let mut rows = c.query_iter(ROWS).await?;
            while rows.next().await?.is_some() {}
            Ok(())
        })
    }),
    ("exec", |c, n| {
        Box::pin(async move {
            let row: Option<(i64, i64)> = c.exec_first("SELECT ?, 77", (n,)).await?;
            assert_eq!(row, Some((n, 77)));
            Ok(())
        })
    }),
    ("exec rows", |c, n| {
        Box::pin(async move {
            let mut rows = c.exec_iter("SELECT ?, x FROM t LIMIT 50", (n,)).await?;
            rows.next().await?;
            rows.next().await?;
            drop(rows); // the next one reads the rest
            c.query_drop(WRONG).await
        })
    }),
    ("prepare", |c, n| {
        Box::pin(async move {
            let sql = format!("SELECT 'wrong', {n}, ?"); // never seen before
            let statement = c.prep(&sql).await?;
            c.exec_drop(&statement, (n,)).await?;
            c.close_statement(&statement).await?;
            c.ping().await
        })
    }),
    ("batch", |c, n| Box::pin(async move { c.exec_batch(INSERT, [(n,), (n,), (n,)]).await })),
    ("ping", |c, _| Box::pin(c.ping())),
    ("write and commit", |c, _| {
        Box::pin(async {
            let mut tx = c.transaction().await?;
            tx.exec_drop(INSERT, (1,)).await?;
            tx.query_drop("INSERT INTO t VALUES (1)").await?;
            tx.commit().await
        })
    }),
    ("savepoint", |c, _| {
        Box::pin(async {
            let mut tx = c.transaction().await?;
            let mut savepoint = tx.savepoint().await?;
            savepoint.exec_drop(INSERT, (2,)).await?;
            savepoint.rollback().await?;
            tx.exec_drop(INSERT, (2,)).await?;
            drop(tx.savepoint().await?);
            tx.rollback().await
        })
    }),
    ("dropped transaction", |c, _| {
        Box::pin(async {
            let mut tx = c.transaction().await?;
            tx.exec_drop(INSERT, (2,)).await?;
            drop(tx);
            c.query_drop(WRONG).await // after the rollback
        })
    }),
    // The return clears it, in the background.
    ("state", |c, _| Box::pin(c.query_drop("SET @left = 1; BEGIN; INSERT INTO t VALUES (2)"))),
    ("error", |c, _| {
        Box::pin(async {
            c.query_drop("BEGIN; SELECT nothing").await.unwrap_err();
            Ok(())
        })
    }),
    ("raw", |c, _| {
        Box::pin(async {
            c.raw()?.query_drop("BEGIN; SELECT SLEEP(0.001); SELECT 'wrong'; COMMIT").await?;
            Ok(())
        })
    }),
];

/// What its user may do on it is up to him: see `MySqlConnection::raw`.
fn is_for_the_next_only(name: &str) -> bool {
    ["raw", "state", "error"].iter().any(|first| name.starts_with(first))
}

/// One question with one right answer: the number, no state, no transaction.
async fn ask(connection: &mut MySqlConnection, nonce: i64, what: &str) -> Result<(), MySqlError> {
    let mariadb = connection.server().is_mariadb;
    let sql = match mariadb {
        true => "SELECT ?, @left IS NULL, @@in_transaction",
        false => "SELECT ?, @left IS NULL, 0",
    };
    let answer = connection.exec_first::<Row, _, _>(sql, (nonce,)).await?;
    let answer = answer.map(|row| format!("{row:?}"));
    let values = answer.as_deref().unwrap_or("nothing");
    // By its text, since a wrong answer may have any shape.
    assert!(values.contains(&nonce.to_string()), "{what}: WRONG ANSWER: {values}");
    let row: Option<(i64, bool, bool)> = connection.exec_first(sql, (nonce,)).await?;
    assert_eq!(row, Some((nonce, true, false)), "{what}");
    if !mariadb {
        assert!(!in_transaction(connection).await, "{what}: in a transaction");
    }
    Ok(())
}

/// What comes after a call that was dropped is refused for good, whatever it is.
async fn is_refused(connection: &mut MySqlConnection) {
    let kinds = [
        connection.query_drop("SELECT 1").await.unwrap_err().kind(),
        connection.exec_drop("SELECT ?", (1,)).await.unwrap_err().kind(),
        connection.exec_iter("SELECT ?", (1,)).await.map(drop).unwrap_err().kind(),
        connection.prep("SELECT 1").await.unwrap_err().kind(),
        connection.close_statement(INSERT).await.unwrap_err().kind(),
        connection.exec_batch(INSERT, [(1,)]).await.unwrap_err().kind(),
        connection.transaction().await.map(drop).unwrap_err().kind(),
        connection.raw().map(drop).unwrap_err().kind(),
        connection.ping().await.unwrap_err().kind(),
    ];
    assert!(kinds.iter().all(|kind| *kind == MySqlErrorKind::Abandoned), "{kinds:?}");
    assert!(connection.is_closed());
}

async fn table(place: &Place) {
    place.tell(&format!("CREATE TABLE {}.t (x bigint)", place.name)).await;
    let fill = (10..100).map(|x| format!("({x})")).collect::<Vec<_>>().join(", ");
    place.tell(&format!("INSERT INTO {}.t VALUES {fill}", place.name)).await;
}

/// What was rolled back is not there, and what was committed is there as a whole.
async fn is_consistent(place: &Place) {
    place.until_quiet().await;
    let count = |x: u32| format!("SELECT count(*) FROM {}.t WHERE x = {x}", place.name);
    assert_eq!(place.ask::<u32>(&count(2)).await, 0);
    assert_eq!(place.ask::<u32>(&count(1)).await % 2, 0);
}

/// The same connection, if it still answers, and the next one.
async fn goes_on(pool: &MySqlPool, mut connection: MySqlGuard, name: &str, n: i64) {
    if !is_for_the_next_only(name) {
        match ask(&mut connection, n, name).await {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), MySqlErrorKind::Abandoned, "{name}: {error}");
                is_refused(&mut connection).await;
            }
        }
    }
    drop(connection);
    let mut next = pool.acquire().await.unwrap();
    ask(&mut next, n, name).await.unwrap_or_else(|error| panic!("{name}, the next: {error}"));
}

#[tokio::test]
async fn r14_a_drop_at_any_await_point_leaves_nothing() {
    let place = Place::new().await;
    table(&place).await;
    let pool = place.one().await;
    let mut nonce = 1_000_000;
    for (name, work) in WORKS {
        for at_once in [true, false] {
            for polls in 0..=40 {
                nonce += 1;
                let what = format!("{name}, {polls} polls, at once: {at_once}");
                let mut connection = soon(pool.acquire()).await.unwrap();
                let worked = poll_times(work(&mut connection, nonce), polls, at_once);
                // A long query is polled no second time: then it is dropped after a while.
                let worked = timeout(Duration::from_millis(50), worked).await;
                let ended = worked.is_ok_and(|done| done.is_some());
                soon(goes_on(&pool, connection, &what, nonce)).await;
                if ended || (*name == "long query" && polls > 3) {
                    break;
                }
            }
        }
    }
    is_consistent(&place).await;
    is_whole(&pool).await;
    assert_eq!(place.connections().await, 1);
}

/// Drops a future anywhere. Whether it did.
async fn cut<F: Future>(work: F) -> bool {
    if fastrand::bool() {
        return timeout(Duration::from_micros(fastrand::u64(0..3_000)), work).await.is_err();
    }
    let worked = poll_times(work, fastrand::usize(0..12), fastrand::bool());
    // A long query is polled no second time.
    timeout(Duration::from_millis(20), worked).await.map_or(true, |done| done.is_none())
}

/// How many futures are dropped: `POOL_TEST_CANCELS`, else a number that is soon done.
fn cancels() -> u32 {
    std::env::var("POOL_TEST_CANCELS").map_or(3_000, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_thousands_dropped_anywhere_and_no_answer_is_wrong() {
    pool_testkit::hard_deadline();
    let place = Place::new().await;
    table(&place).await;
    let cancelled = Arc::new(AtomicU32::new(0));
    let mut pools = Vec::new();
    let mut tasks = JoinSet::new();
    // On the one connection the next user gets what the last one left, if anything.
    for (max_size, users) in [(1, 2), (4, 6)] {
        // On a busy machine.
        let patient = |config: PoolConfig| config.close_timeout(Duration::from_secs(20));
        let pool = place.builder().max_size(max_size).config(patient).build().await.unwrap();
        for _ in 0..users {
            tasks.spawn(user(pool.clone(), cancelled.clone()));
        }
        pools.push(pool);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    is_consistent(&place).await;
    for pool in &pools {
        is_whole(pool).await;
        let snapshot = pool.snapshot();
        println!("{} opened, {:?} ended", snapshot.counts.created, snapshot.counts.ended);
        assert_eq!(snapshot.counts.abandoned, 0);
        assert_eq!(snapshot.open(), snapshot.max_size);
    }
    assert_eq!(place.connections().await, 5);
}

async fn user(pool: MySqlPool, cancelled: Arc<AtomicU32>) {
    while cancelled.load(Ordering::Relaxed) < cancels() {
        let nonce = fastrand::i64(1_000_000..1_000_000_000);
        let choice = fastrand::usize(..WORKS.len() + 2);
        let Some((name, work)) = WORKS.get(choice) else {
            // Of an acquire; or of one for which a connection is opened.
            if choice > WORKS.len() {
                pool.acquire().await.unwrap().invalidate();
            }
            if cut(pool.acquire().into_future()).await {
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
            let mut next = soon(pool.acquire()).await.unwrap();
            ask(&mut next, nonce, "acquire").await.expect("works");
            continue;
        };
        let mut connection = soon(pool.acquire()).await.unwrap();
        if cut(work(&mut connection, nonce)).await {
            cancelled.fetch_add(1, Ordering::Relaxed);
        }
        soon(goes_on(&pool, connection, name, nonce)).await;
    }
}
