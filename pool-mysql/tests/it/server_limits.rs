//! R10: what the server would cut or refuse is known, and stayed ahead of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_mysql::{MySqlBuilder, MySqlError, MySqlPool, MySqlWarning};
use pool_testkit::servers::{MariaDb, MariaDbBuilder};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::ask;
use crate::place::{Place, is_whole, root};
use crate::soon;

async fn server(builder: MariaDbBuilder) -> (MariaDb, Place) {
    let server = builder.start().expect("MariaDB starts");
    let place = Place::on(&root(&server)).await;
    (server, place)
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<MySqlWarning>>>);

impl Told {
    fn by(&self, builder: MySqlBuilder) -> MySqlBuilder {
        let told = self.0.clone();
        builder.on_warning(move |warning| told.lock().unwrap().push(warning.clone()))
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

/// A hundred at once, ten times.
async fn thousand_checkouts(pool: &MySqlPool) -> Result<(), MySqlError> {
    for _ in 0..10 {
        let mut burst = JoinSet::new();
        for nonce in 0..100 {
            let pool = pool.clone();
            burst.spawn(async move { ask(&pool, nonce).await });
        }
        while let Some(asked) = soon(burst.join_next()).await {
            asked.unwrap()?;
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_an_idle_pool_outlives_wait_timeout() {
    let (server, place) = server(MariaDb::builder()).await;
    place.tell("SET GLOBAL wait_timeout = 2").await;
    let told = Told::default();
    let resting = told.by(place.builder().max_size(8)).build().await.unwrap();
    let kept = place.builder().max_size(8);
    let kept = kept.config(|config| config.keepalive(Duration::from_millis(800)));
    let kept = kept.build().await.unwrap();
    is_whole(&resting).await;
    is_whole(&kept).await;
    let warnings =
        ["connections may be idle for 600 s, but the server cuts them after 2 s (wait_timeout): \
         they are closed or pinged after 1.3 to 1.8 s (65 to 90 % of 2 s)"];
    assert_eq!(told.texts(), warnings, "once, of eight connections");
    for _ in 0..2 {
        sleep(Duration::from_secs(5)).await;
        thousand_checkouts(&resting).await.expect("no caller is told");
        thousand_checkouts(&kept).await.expect("no caller is told");
    }
    let (resting, kept) = (resting.snapshot().counts, kept.snapshot().counts);
    println!("resting: {} opened, {:?}", resting.created, resting.ended);
    println!("kept: {} opened, {:?}", kept.created, kept.ended);
    assert!(resting.ended.server_limit >= 8, "{resting:?}");
    assert_eq!(resting.ended.total(), resting.ended.server_limit, "{resting:?}");
    // It is pinged before: the same connections all the time.
    assert_eq!((kept.created, kept.ended.total()), (8, 0), "{kept:?}");
    // The server had none to cut.
    assert_eq!(place.status("Aborted_clients").await, 0);
    assert_eq!(told.texts(), warnings);
    drop(server);
}

#[tokio::test]
async fn r10_what_the_server_changes_is_noticed_by_the_next_connect() {
    let (_server, place) = server(MariaDb::builder()).await;
    let told = Told::default();
    let pool = told.by(place.builder().max_size(20)).build().await.unwrap();
    assert_eq!(told.texts(), [""; 0]);
    assert!(pool.warnings().is_empty());
    assert_eq!(pool.server().unwrap().max_connections, Some(100));
    place.tell("SET GLOBAL wait_timeout = 60").await;
    place.tell("SET GLOBAL max_connections = 15").await;
    place.tell("SET GLOBAL max_prepared_stmt_count = 1000").await;
    hold(&pool, 1).await;
    assert_eq!(told.texts(), [""; 0], "nobody has connected since");
    pool.invalidate_all();
    hold(&pool, 2).await;
    let texts = told.texts();
    assert_eq!(
        texts,
        [
            "max_size is 20, but there is room for 15: max_connections 15; and others use the \
             server too: lower max_size",
            "connections may be idle for 600 s, but the server cuts them after 60 s \
             (wait_timeout): they are closed or pinged after 39.0 to 54.0 s (65 to 90 % of 60 s)",
            "20 connections with 256 prepared statements each are 5120, but the server keeps 1000 \
             (max_prepared_stmt_count): each keeps 50 (1000 / 20)",
        ]
    );
    let now: Vec<_> = pool.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(now, texts);
    assert_eq!(pool.server().unwrap().max_connections, Some(15));
    // And back: then there is nothing to warn of, and it is told once more when it comes again.
    place.tell("SET GLOBAL max_connections = 100").await;
    pool.invalidate_all();
    drop(soon(pool.acquire()).await.unwrap());
    assert_eq!(pool.warnings().len(), 2);
    place.tell("SET GLOBAL max_connections = 15").await;
    pool.invalidate_all();
    drop(soon(pool.acquire()).await.unwrap());
    assert_eq!(told.texts().len(), 4, "{:?}", told.texts());
}

/// So many connections at once.
async fn hold(pool: &MySqlPool, connections: u32) {
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut connection = soon(pool.acquire()).await.unwrap();
        connection.ping().await.unwrap();
        held.push(connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_prepared_statements_stay_within_what_the_server_keeps() {
    const KEEPS: u64 = 100;
    let builder = MariaDb::builder().setting("max_prepared_stmt_count", &KEEPS.to_string());
    let (_server, place) = server(builder).await;
    let told = Told::default();
    let pool = told.by(place.builder().max_size(8).statement_cache(50)).build().await.unwrap();
    let mut users = JoinSet::new();
    for user in 0..8 {
        let pool = pool.clone();
        users.spawn(async move {
            for round in 0..300 {
                let mut connection = soon(pool.acquire()).await.unwrap();
                // Some again and again, some never before.
                let statement = match round % 3 {
                    0 => format!("SELECT {user} + ?, {round}"),
                    _ => format!("SELECT {} + ?, 0", round % 5),
                };
                let answer: Option<(i64, i64)> =
                    connection.exec_first(statement, (7,)).await.expect("there is room");
                assert!(answer.is_some());
                assert!(connection.cached_statements() <= 12);
            }
        });
    }
    let mut most = 0;
    while !users.is_empty() {
        most = most.max(place.status("Prepared_stmt_count").await);
        while let Some(ended) = users.try_join_next() {
            ended.unwrap();
        }
    }
    let (hits, misses) = pool.statement_cache();
    println!("{most} at most of {KEEPS}; {hits} hits, {misses} misses");
    assert!(most <= KEEPS, "{most}");
    assert!(hits > 500, "{hits}");
    assert_eq!(
        told.texts(),
        ["8 connections with 50 prepared statements each are 400, but the server keeps 100 \
          (max_prepared_stmt_count): each keeps 12 (100 / 8)"]
    );
    assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
    // The server may still be about to hear some of the goodbyes.
    place
        .until(
            "(SELECT variable_value FROM information_schema.global_status \
             WHERE variable_name = 'Prepared_stmt_count') = 0",
        )
        .await;
}

/// Others have used up what there is: one's own statements fail, with what would help, and work
/// again when there is room.
#[tokio::test]
async fn a_server_that_keeps_no_more_statements_is_told_as_that() {
    let builder = MariaDb::builder().setting("max_prepared_stmt_count", "8");
    let (_server, place) = server(builder).await;
    let greedy = place.builder().max_size(1).build().await.unwrap();
    let mut other = soon(greedy.acquire()).await.unwrap();
    for number in 0..8 {
        other.prep(format!("SELECT {number}")).await.unwrap();
    }
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let refused = connection.exec_drop("SELECT ?", (1,)).await.unwrap_err();
    assert_eq!(refused.kind(), pool_mysql::MySqlErrorKind::Prepared);
    assert!(refused.to_string().contains("statement_cache"), "{refused}");
    // By text it works meanwhile.
    connection.query_drop("SELECT 1").await.unwrap();
    other.close_statement("SELECT 0").await.unwrap();
    // To which the server says nothing: it is done when the next answer is there.
    other.query_drop("SELECT 1").await.unwrap();
    connection.exec_drop("SELECT ?", (1,)).await.unwrap();
}
