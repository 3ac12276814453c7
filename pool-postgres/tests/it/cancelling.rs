//! R14: whatever is dropped, wherever it is dropped: the next user finds nothing of it, and nobody
//! else is hit.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pool_postgres::{PgConnection, PgErrorKind, PgPool};
use pool_testkit::poll_times;
use tokio::time::{Instant, timeout};

use crate::place::Place;
use crate::soon;

type Work = for<'c> fn(&'c mut PgConnection, &'c str) -> Pin<Box<dyn Future<Output = ()> + 'c>>;

/// Everything that may be dropped half-way. The second argument is a table.
const WORKS: &[(&str, Work)] = &[
    ("begin", |c, _| Box::pin(async { drop(c.transaction().await) })),
    ("query", |c, _| {
        Box::pin(async {
            let _ = c.query("SELECT generate_series(1, 1000)", &[]).await;
        })
    }),
    ("long query", |c, _| {
        Box::pin(async {
            let _ = c.query("SELECT 'wrong', pg_sleep(30)", &[]).await;
        })
    }),
    ("several", |c, _| {
        Box::pin(async {
            let ask = || c.query("SELECT 'wrong', pg_sleep(0.05)", &[]);
            let _ = tokio::join!(ask(), ask(), ask());
        })
    }),
    ("write and commit", |c, table| {
        Box::pin(async move {
            let Ok(tx) = c.transaction().await else { return };
            let insert = format!("INSERT INTO {table} SELECT 1 FROM generate_series(1, 100)");
            let _ = tx.execute(&insert, &[]).await;
            let _ = tx.commit().await;
        })
    }),
    ("savepoint", |c, table| {
        Box::pin(async move {
            let Ok(mut tx) = c.transaction().await else { return };
            {
                let Ok(savepoint) = tx.transaction().await else { return };
                let _ = savepoint.execute(&format!("INSERT INTO {table} VALUES (2)"), &[]).await;
                let _ = savepoint.rollback().await;
            }
            let _ = tx.rollback().await;
        })
    }),
    ("copy in", |c, table| {
        Box::pin(async move {
            let sql = format!("COPY {table} FROM STDIN");
            let Ok(mut copy) = c.copy_in::<Bytes>(&sql).await else { return };
            for _ in 0..3 {
                let _ = copy.send(Bytes::from(b"3\n".repeat(3_000))).await;
            }
            let _ = copy.finish().await;
        })
    }),
    ("copy out", |c, _| {
        Box::pin(async {
            let sql = "COPY (SELECT generate_series(1, 100000)) TO STDOUT";
            let Ok(mut copy) = c.copy_out(sql).await else { return };
            while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut copy).poll_next(cx)).await {}
        })
    }),
    ("raw", |c, _| {
        Box::pin(async {
            let _ = c.raw().batch_execute("BEGIN; SELECT pg_sleep(0.02); COMMIT").await;
        })
    }),
];

/// Nobody's answer but one's own, in nobody's transaction, and at once.
async fn is_served(pool: &PgPool, nonce: i64, what: &str) {
    let within = Duration::from_secs(10); // of thirty that a query would take
    let asked = async {
        let connection = pool.acquire().await.unwrap();
        let row = connection
            .query_one(
                "SELECT $1::bigint, pg_current_xact_id_if_assigned() IS NULL, \
                 transaction_timestamp() = statement_timestamp()",
                &[&nonce],
            )
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(row.get::<_, i64>(0), nonce, "{what}");
        assert!(row.get::<_, bool>(1), "{what}: in a transaction that writes");
        let now = async || -> std::time::SystemTime {
            connection.query_one("SELECT now()", &[]).await.unwrap().get(0)
        };
        assert_ne!(now().await, now().await, "{what}: in a transaction");
    };
    timeout(within, asked).await.unwrap_or_else(|_| panic!("{what}: the next user waits"));
}

#[tokio::test]
async fn r14_a_drop_at_any_await_point_leaves_nothing() {
    let place = Place::new().await;
    let table = place.name.replace('-', "_");
    let make = format!("CREATE TABLE {table} (x int); GRANT ALL ON {table} TO test");
    place.admin.0.batch_execute(&make).await.unwrap();
    let pool = place.builder().max_size(1).build().await.unwrap();
    let mut nonce = 0;
    for (name, work) in WORKS {
        for at_once in [true, false] {
            for polls in 1..=12 {
                let what = format!("{name}, {polls} polls, at once: {at_once}");
                let mut connection = soon(pool.acquire()).await.unwrap();
                let patience = Duration::from_millis(50);
                // A long query is polled no second time: then it is dropped after a while.
                let worked = poll_times(work(&mut connection, &table), polls, at_once);
                let ended = timeout(patience, worked).await.is_ok_and(|done| done.is_some());
                drop(connection);
                nonce += 1;
                is_served(&pool, nonce, &what).await;
                if ended && polls > 1 {
                    break;
                }
            }
        }
    }
    let left = format!("SELECT count(*) FROM {table} WHERE x = 2");
    let left: i64 = place.admin.0.query_one(&left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    let whole = format!("SELECT count(*) FROM {table} WHERE x = 1");
    let whole: i64 = place.admin.0.query_one(&whole, &[]).await.unwrap().get(0);
    assert_eq!(whole % 100, 0);
    place.admin.0.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    assert_eq!(place.connections().await, 1);
}

#[tokio::test]
async fn r14_a_dropped_connect_leaves_nothing() {
    let place = Place::new().await;
    for polls in 1..=8 {
        let pool = place.builder().max_size(1).build_unchecked().unwrap();
        drop(poll_times(pool.acquire().into_future(), polls, true).await);
        is_served(&pool, polls as i64, "connect").await;
        assert_eq!(place.connections().await, 1);
        assert!(soon(pool.close(Duration::from_secs(10))).await.is_complete());
        assert_eq!(place.connections().await, 0, "closed means that the server knows");
    }
}

#[tokio::test]
async fn a_given_up_statement_does_not_hold_up_its_own_user() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let slow = timeout(Duration::from_millis(20), connection.query("SELECT pg_sleep(30)", &[]));
    slow.await.unwrap_err();
    let begun = Instant::now();
    let row = soon(connection.query_one("SELECT 7::bigint", &[])).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 7);
    assert!(begun.elapsed() < Duration::from_secs(20));

    // In a transaction it is the transaction that was cancelled.
    let tx = connection.transaction().await.unwrap();
    let slow = timeout(Duration::from_millis(20), tx.query("SELECT pg_sleep(30)", &[]));
    slow.await.unwrap_err();
    soon(tx.query("SELECT 1", &[])).await.unwrap_err();
    assert_eq!(soon(tx.commit()).await.unwrap_err().kind(), PgErrorKind::RolledBack);
}

/// Statements are given up about when they end, so that cancel requests are sent about when there
/// is nothing to cancel any more; whoever comes next must not be hit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_no_innocent_statement_is_cancelled() {
    const RACES: u32 = 10_000;
    let place = Place::new().await;
    let pool = place.builder().max_size(8).build().await.unwrap();
    let races = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (pool, races) = (pool.clone(), races.clone());
        tasks.spawn(async move {
            while races.fetch_add(1, Ordering::Relaxed) < RACES {
                let connection = pool.acquire().await.unwrap();
                let millis = 2.0 + 10.0 * fastrand::f64();
                let slow = format!("SELECT pg_sleep({})", millis / 1e3);
                let query = connection.simple_query(&slow);
                let _ = timeout(Duration::from_micros(fastrand::u64(0..4_000)), query).await;
                drop(connection);
                let connection = pool.acquire().await.unwrap();
                let nonce = fastrand::i64(..);
                let asked = "SELECT $1::bigint, pg_sleep(0.0005)";
                let row = connection.query_one(asked, &[&nonce]).await.expect("hit by a cancel");
                assert_eq!(row.get::<_, i64>(0), nonce);
            }
        });
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    timeout(Duration::from_secs(240), all).await.expect("hangs");
    let counts = pool.snapshot().counts;
    println!("{RACES} races, {} connections, {} resets", counts.created, counts.reset);
    assert!(counts.reset > u64::from(RACES) / 4, "not many races: {counts:?}");
}

#[tokio::test]
async fn a_cancel_token_cancels_its_own_statement() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).build().await.unwrap();
    let connection = soon(pool.acquire()).await.unwrap();
    let slow = connection.query("SELECT pg_sleep(30)", &[]);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        connection.cancel_token().cancel().await
    };
    let (slow, cancelled) = soon(async { tokio::join!(slow, cancel) }).await;
    assert_eq!(slow.unwrap_err().kind(), PgErrorKind::Cancelled);
    cancelled.unwrap();
    // A request that was left on its way may hit anything: not this pool's next user.
    assert!(poll_times(connection.cancel_token().cancel(), 2, true).await.is_none());
    let refused = connection.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(refused.kind(), PgErrorKind::OutOfStep);
    drop(connection);
    is_served(&pool, 1, "after a cancel").await;
    assert_eq!(pool.snapshot().counts.created, 2);
}
