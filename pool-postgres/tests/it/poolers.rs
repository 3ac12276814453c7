//! The profile `Pooler`, through a PgBouncer that pools by transaction.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pool_postgres::{PgBuilder, PgErrorKind, PgPool, Profile};
use pool_testkit::servers::{PgBouncer, Postgres};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::place::Place;
use crate::soon;

/// Where a second process finds the pooler.
const URL: &str = "POOL_TEST_POOLER_URL";

struct Pooled {
    bouncer: PgBouncer,
    server: Postgres,
}

fn start() -> Pooled {
    let server = Postgres::start().expect("PostgreSQL starts");
    let builder = PgBouncer::builder(&server).setting("default_pool_size", "5");
    let bouncer = builder.setting("max_client_conn", "200").start().expect("PgBouncer starts");
    Pooled { bouncer, server }
}

fn url(pooled: &Pooled) -> String {
    format!("{}?pgbouncer=true", pooled.bouncer.url())
}

/// What an application does all day; every answer has to be its own.
async fn work(pool: &PgPool, nonce: i64) -> Result<(), pool_postgres::PgError> {
    let mut connection = pool.acquire().await?;
    let row = connection.query_one("SELECT $1, $2", &[&nonce, &"text"]).await?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (nonce, "text"));
    if nonce % 3 == 0 {
        let tx = connection.transaction().await?;
        let insert = "INSERT INTO pooled (nonce, note) VALUES ($1, $2) RETURNING nonce";
        let row = tx.query_one(insert, &[&nonce, &None::<&str>]).await?;
        assert_eq!(row.get::<_, i64>(0), nonce);
        if nonce % 2 == 0 {
            tx.commit().await?;
        }
    }
    if nonce % 7 == 0 {
        let patience = Duration::from_micros(micros_of(nonce));
        let _ = timeout(patience, connection.query("SELECT pg_sleep(0.02)", &[])).await;
    }
    Ok(())
}

/// Some time for a nonce, the same each time.
fn micros_of(nonce: i64) -> u64 {
    (nonce as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 25_000
}

async fn soak(pool: &PgPool, tasks: u32, time: Duration) -> u32 {
    let done = Arc::new(AtomicU32::new(0));
    let end = Instant::now() + time;
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let (pool, done) = (pool.clone(), done.clone());
        set.spawn(async move {
            let mut nonce = i64::from(task) << 32;
            while Instant::now() < end {
                work(&pool, nonce).await.expect("no error through the pooler");
                nonce += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = set.join_next().await {
        ended.unwrap();
    }
    done.load(Ordering::Relaxed)
}

fn seconds() -> u64 {
    std::env::var("POOL_SOAK_SECONDS").ok().map_or(15, |text| text.parse().unwrap())
}

fn builder(url: &str) -> PgBuilder {
    PgPool::builder(url).unwrap().max_size(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tasks_on_five_server_connections_see_no_error() {
    let pooled = start();
    let make = "CREATE TABLE pooled (nonce bigint, note text); GRANT ALL ON pooled TO test";
    pooled.server.sql(make).unwrap();
    let url = url(&pooled);
    let time = Duration::from_secs(seconds());
    // Another process, whose driver numbers its statements from the beginning too.
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["poolers::another_process", "--exact", "--nocapture", "--ignored"])
        .env(URL, &url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pool = builder(&url).build().await.unwrap();
    let soaked = tokio::spawn({
        let pool = pool.clone();
        async move { soak(&pool, 200, time).await }
    });
    let done = timeout(time + Duration::from_secs(60), soaked).await.expect("hangs");
    let done = done.unwrap_or_else(|error| {
        let log = pooled.bouncer.log();
        let last: Vec<_> = log.lines().rev().take(12).collect();
        panic!("{error}\nthe last of PgBouncer's words, first: {last:#?}")
    });
    let other = tokio::task::spawn_blocking(move || other.wait()).await.unwrap().unwrap();
    println!("{done} rounds in {time:?}");
    assert!(other.success(), "the other process");
    let servers = pooled.bouncer.admin("SHOW SERVERS").unwrap();
    assert!(pooled.bouncer.server_connections().unwrap() <= 5, "{servers}");
    soon(pool.close(Duration::from_secs(10))).await;
    assert_eq!(pooled.bouncer.connections().unwrap(), 0);
}

/// Not a test: what the test above runs in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests"]
async fn another_process() {
    let url = std::env::var(URL).expect("run by another test");
    let pool = builder(&url).build().await.unwrap();
    let time = Duration::from_secs(seconds());
    timeout(time + Duration::from_secs(60), soak(&pool, 20, time)).await.expect("hangs");
}

#[tokio::test]
async fn what_needs_a_session_is_refused_with_what_would_do() {
    let pooled = start();
    let url = url(&pooled);
    let options = builder(&url).options(|it| it.options("-c work_mem=7MB"));
    let refused = options.manager().unwrap_err();
    assert_eq!(refused.kind(), PgErrorKind::Config);

    let pool = builder(&url).max_size(1).build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    for refused in [
        connection.prepare("SELECT 1").await.map(drop),
        connection.copy_in::<Bytes>("COPY pooled FROM STDIN").await.map(drop),
        connection.statement_timeout(Duration::from_secs(1)).await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), PgErrorKind::Profile);
        assert!(refused.to_string().contains("transaction"), "{refused}");
    }
    // In a transaction the session is one's own.
    let tx = connection.transaction().await.unwrap();
    tx.batch_execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP").await.unwrap();
    let mut copy = tx.copy_in::<Bytes>("COPY mine FROM STDIN").await.unwrap();
    copy.send(Bytes::from_static(b"1\n2\n")).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    let statement = tx.prepare("SELECT count(*) FROM mine").await.unwrap();
    assert_eq!(tx.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0), 2);
    drop(statement);
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_profile_is_said() {
    let pooled = start();
    let direct = pooled.bouncer.url();
    let options = PgPool::builder(&direct).unwrap().options(|it| it.options("-c work_mem=7MB"));
    let refused = soon(options.build()).await.unwrap_err();
    assert_eq!(refused.kind(), PgErrorKind::Profile, "{refused}");

    // Statements with names, and several connections that share a few: soon one is missing.
    let pool = PgPool::builder(&direct).unwrap().max_size(20).build().await.unwrap();
    assert_eq!(pool.manager().profile(), Profile::Direct);
    let missing = async {
        loop {
            let mut set = JoinSet::new();
            for n in 0..40 {
                let pool = pool.clone();
                set.spawn(async move {
                    let connection = pool.acquire().await?;
                    connection.query(&format!("SELECT {n}, pg_sleep(0.001)"), &[]).await.map(drop)
                });
            }
            while let Some(ended) = set.join_next().await {
                if let Err(error) = ended.unwrap() {
                    return error;
                }
            }
        }
    };
    let error = soon(missing).await;
    assert_eq!(error.kind(), PgErrorKind::Profile, "{error}");
    assert!(error.to_string().contains("pgbouncer=true"), "{error}");
}

/// The driver looks such a type up by statements that it prepares, and the pooler keeps none.
#[tokio::test]
async fn a_type_that_a_pooler_keeps_the_driver_from_looking_up_is_to_be_cast() {
    let server = Postgres::start().unwrap();
    server.sql("CREATE TYPE mood AS ENUM ('calm')").unwrap();
    // Whichever server connection comes next: it is as new.
    let pooler = PgBouncer::builder(&server).setting("server_reset_query", "DISCARD ALL");
    let bouncer = pooler.setting("server_reset_query_always", "1").start().unwrap();
    let url = format!("{}?pgbouncer=true", bouncer.url());
    let pool = builder(&url).max_size(1).build().await.unwrap();
    for _ in 0..3 {
        let connection = soon(pool.acquire()).await.unwrap();
        let error = soon(connection.query("SELECT 'calm'::mood", &[])).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Profile, "{error}");
        assert!(error.to_string().contains("cast the columns to text"), "{error}");
        drop(connection);
        let connection = soon(pool.acquire()).await.unwrap();
        let row = soon(connection.query_one("SELECT 'calm'::mood::text", &[])).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "calm");
    }
}

#[tokio::test]
async fn supabase_means_tls_few_connections_and_a_profile_by_port() {
    let pooler = "postgres://u:p@aws-0.pooler.supabase.com:6543/postgres";
    let session = "postgres://u:p@db.x.supabase.co:5432/postgres";
    let manager = |url: &str| PgBuilder::supabase(url).unwrap().manager().unwrap();
    assert_eq!(manager(pooler).profile(), Profile::Pooler);
    assert_eq!(manager(session).profile(), Profile::Direct);
    let shown = format!("{:?}", PgBuilder::supabase(session).unwrap());
    assert!(shown.contains("sslmode: Require"), "{shown}");
    assert!(shown.contains("max_size: 8") && shown.contains("min_size: 2"), "{shown}");
    // A server without TLS is not spoken to.
    let place = Place::new().await;
    let plain = PgBuilder::supabase(&place.url).unwrap();
    assert_eq!(soon(plain.build()).await.unwrap_err().kind(), PgErrorKind::Tls);
}

/// A dropped transaction waits for an answer that does not come any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_dropped_after_the_pooler_died_holds_nobody_up() {
    let pooled = start();
    let pool = builder(&url(&pooled)).max_size(1).build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    pooled.bouncer.kill().unwrap();
    drop(tx);
    soon(connection.query_one("SELECT 1", &[])).await.unwrap_err();
    drop(connection);
    pooled.bouncer.restart().unwrap();
    let connection = soon(pool.acquire()).await.unwrap();
    soon(connection.query_one("SELECT 1", &[])).await.unwrap();
}
