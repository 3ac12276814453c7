//! R7, R12, R16: servers that die, freeze, vanish, refuse and are full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pool_postgres::pool_core::AcquireErrorKind;
use pool_postgres::{PgCredentials, PgError, PgErrorKind, PgPool};
use pool_testkit::servers::Postgres;
use pool_testkit::{Fault, FaultProxy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::place::Place;
use crate::soon;

/// Blocks a thread that nothing else needs.
async fn off_thread<T: Send + 'static>(
    server: &Arc<Postgres>,
    work: impl FnOnce(&Postgres) -> T + Send + 'static,
) -> T {
    let server = server.clone();
    tokio::task::spawn_blocking(move || work(&server)).await.unwrap()
}

fn start(builder: pool_testkit::servers::PostgresBuilder) -> Arc<Postgres> {
    Arc::new(builder.start().expect("PostgreSQL starts"))
}

/// Asks and asks, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    /// From here on failures count.
    counts: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(pool: &PgPool, tasks: u32) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            counts: Arc::default(),
            served: Arc::default(),
            failed: Arc::default(),
            tasks: JoinSet::new(),
        };
        for nonce in 0..tasks {
            let (pool, stop, counts) = (pool.clone(), load.stop.clone(), load.counts.clone());
            let (served, failed) = (load.served.clone(), load.failed.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began_after = counts.load(Ordering::SeqCst);
                    match ask(&pool, i64::from(nonce)).await {
                        Ok(()) if counts.load(Ordering::SeqCst) => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(()) => {}
                        Err(error) if began_after => {
                            eprintln!("failed after: {error}");
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => sleep(Duration::from_millis(1)).await,
                    }
                }
            });
        }
        load
    }

    /// How often it was served, and how often not, since failures count.
    async fn end(mut self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = soon(self.tasks.join_next()).await {
            ended.unwrap();
        }
        (self.served.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

async fn ask(pool: &PgPool, nonce: i64) -> Result<(), PgError> {
    let connection = pool.acquire().await?;
    let row = connection.query_one("SELECT $1::bigint", &[&nonce]).await?;
    assert_eq!(row.get::<_, i64>(0), nonce);
    Ok(())
}

/// All slots are there: as many connections as there may be can be held at once.
async fn is_whole(pool: &PgPool) {
    let all = async {
        let mut held = Vec::new();
        for nonce in 0..pool.snapshot().max_size {
            let connection = pool.acquire().await.unwrap();
            let row = connection.query_one("SELECT $1::bigint", &[&i64::from(nonce)]).await;
            assert_eq!(row.unwrap().get::<_, i64>(0), i64::from(nonce));
            held.push(connection);
        }
    };
    soon(all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_killed_server_costs_nothing_once_it_is_back() {
    let server = start(Postgres::builder());
    let place = Place::on(&server, &server.url()).await;
    let pool = place.builder().max_size(8).build().await.unwrap();
    for _ in 0..3 {
        let load = Load::start(&pool, 16);
        sleep(Duration::from_millis(200)).await;
        off_thread(&server, |server| {
            server.kill().unwrap();
            server.restart().unwrap();
        })
        .await;
        load.counts.store(true, Ordering::SeqCst);
        while load.served.load(Ordering::Relaxed) < 1_000 {
            sleep(Duration::from_millis(10)).await;
        }
        let (_, failed) = load.end().await;
        assert_eq!(failed, 0, "a probe is no caller's");
        is_whole(&pool).await;
    }
}

/// Nobody uses the pool meanwhile: what it kept is found out before anybody gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_an_idle_pool_survives_a_restart() {
    let server = start(Postgres::builder());
    let place = Place::on(&server, &server.url()).await;
    let pool = place.builder().max_size(4).build().await.unwrap();
    is_whole(&pool).await;
    off_thread(&server, |server| server.restart().unwrap()).await;
    is_whole(&pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_a_frozen_server_makes_nobody_late() {
    let server = start(Postgres::builder());
    let place = Place::on(&server, &server.url()).await;
    let wait = Duration::from_millis(500);
    let builder = place.builder().max_size(2).acquire_timeout(wait);
    let pool = builder.build().await.unwrap();
    is_whole(&pool).await;
    off_thread(&server, |server| server.freeze().unwrap()).await;
    let frozen = Instant::now();
    let mut held = Vec::new();
    while frozen.elapsed() < Duration::from_secs(5) {
        let begun = Instant::now();
        match pool.acquire().await {
            Ok(connection) => {
                let asked = timeout(Duration::from_millis(100), connection.query("SELECT 1", &[]));
                asked.await.unwrap_err();
                held.push(connection);
            }
            Err(error) => {
                assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
                assert!(begun.elapsed() < wait * 3, "{:?}", begun.elapsed());
            }
        }
    }
    drop(held);
    off_thread(&server, |server| server.thaw().unwrap()).await;
    while let Err(error) = pool.acquire().await {
        assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
        assert!(frozen.elapsed() < Duration::from_secs(20), "does not come back");
    }
    is_whole(&pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_backends_terminated_cost_their_statements_only() {
    let place = Place::new().await;
    let pool = place.builder().max_size(8).build().await.unwrap();
    is_whole(&pool).await;
    let load = Load::start(&pool, 16);
    load.counts.store(true, Ordering::SeqCst);
    let half = "SELECT count(pg_terminate_backend(pid)) FROM \
                (SELECT pid FROM pg_stat_activity WHERE application_name = $1 LIMIT 4) AS half";
    for _ in 0..10 {
        place.admin.0.query_one(half, &[&place.name]).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    let (served, failed) = load.end().await;
    assert!(failed <= 40, "{failed} failed, of 40 connections");
    assert!(served > failed, "{served}");
    is_whole(&pool).await;
    assert_eq!(place.connections().await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_blackhole_costs_no_slot() {
    let server = start(Postgres::builder());
    let proxy = FaultProxy::start(server.address()).unwrap();
    let url = format!("postgres://test@{}/test?sslmode=disable", proxy.address());
    let place = Place::on(&server, &url).await;
    let short = Duration::from_millis(500);
    let builder = place.builder().max_size(4).acquire_timeout(Duration::from_secs(2));
    let builder = builder.config(|config| {
        let config = config.connect_timeout(short).reset_timeout(short).ping_timeout(short);
        config.close_timeout(short)
    });
    let pool = builder.build().await.unwrap();
    for _ in 0..2 {
        is_whole(&pool).await;
        proxy.set(Fault::Blackhole);
        let mut tasks = JoinSet::new();
        for _ in 0..12 {
            let pool = pool.clone();
            tasks.spawn(async move {
                if let Ok(connection) = pool.acquire().await {
                    let asked = connection.query("SELECT 1", &[]);
                    let _ = timeout(Duration::from_millis(200), asked).await;
                }
            });
        }
        while let Some(ended) = soon(tasks.join_next()).await {
            ended.unwrap();
        }
        proxy.set(Fault::Pass);
    }
    is_whole(&pool).await;
    // What was abandoned meanwhile the server finds out by itself.
    assert_eq!(pool.snapshot().open(), 4);
}

/// Asks for a password, of all but the superuser.
fn with_password() -> Arc<Postgres> {
    let hba = "host all postgres 127.0.0.1/32 trust\nlocal all all trust\n\
               host all all 127.0.0.1/32 scram-sha-256\n";
    start(Postgres::builder().file("hba", hba).setting("hba_file", "hba"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_wrong_password_is_told_to_everyone_and_tried_once_a_second() {
    let server = with_password();
    let place = Place::on(&server, &server.url()).await;
    place.admin.0.batch_execute("ALTER ROLE test PASSWORD 'right'").await.unwrap();
    let pool = place.builder().options(|o| o.password("wrong")).build_unchecked().unwrap();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let end = Instant::now() + Duration::from_secs(3);
            while Instant::now() < end {
                let begun = Instant::now();
                let refused = PgError::from(pool.acquire().await.unwrap_err());
                assert_eq!(refused.kind(), PgErrorKind::Authentication);
                assert!(!refused.to_string().contains("wrong"), "{refused}");
                assert!(begun.elapsed() < Duration::from_secs(10), "its patience is 30");
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    while let Some(ended) = soon(tasks.join_next()).await {
        ended.unwrap();
    }
    let tried = server.log().matches("password authentication failed").count();
    let most = 2 + begun.elapsed().as_secs() as usize;
    assert!((1..=most).contains(&tried), "{tried} attempts in {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_connection_in_use_serves_the_queue_though_the_password_is_wrong() {
    let server = with_password();
    let place = Place::on(&server, &server.url()).await;
    place.admin.0.batch_execute("ALTER ROLE test PASSWORD 'right'").await.unwrap();
    let right = Arc::new(AtomicBool::new(true));
    let asked = right.clone();
    let builder = place.builder().credentials(move || {
        let password = if asked.load(Ordering::SeqCst) { "right" } else { "rotated" };
        async move { Ok(PgCredentials::password(password)) }
    });
    let pool = builder.max_size(4).build().await.unwrap();
    let held = pool.acquire().await.unwrap();
    right.store(false, Ordering::SeqCst);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, 1).await }
    });
    sleep(Duration::from_millis(300)).await; // connects fail meanwhile
    assert!(!waiting.is_finished());
    drop(held);
    soon(waiting).await.unwrap().unwrap();
    // And right again at the next connect: credentials are asked for each time.
    right.store(true, Ordering::SeqCst);
    is_whole(&pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_full_server_is_used_as_far_as_it_goes() {
    let server = start(Postgres::builder().setting("max_connections", "10"));
    let place = Place::on(&server, &server.url()).await;
    let warned = Arc::new(AtomicU32::new(0));
    let mut pools = Vec::new();
    for _ in 0..2 {
        let warned = warned.clone();
        let builder = place.builder().max_size(20).on_shortage(move |shortage| {
            assert_eq!((shortage.max_size, shortage.room), (20, 7));
            warned.fetch_add(1, Ordering::Relaxed);
        });
        pools.push(builder.build().await.unwrap());
    }
    assert_eq!(warned.load(Ordering::Relaxed), 2, "once a pool");
    let loads: Vec<_> = pools.iter().map(|pool| Load::start(pool, 30)).collect();
    for load in &loads {
        load.counts.store(true, Ordering::SeqCst);
    }
    sleep(Duration::from_secs(4)).await;
    for load in loads {
        let (served, failed) = load.end().await;
        assert_eq!(failed, 0);
        assert!(served > 100, "{served}");
    }
    let attempts = server.log().matches("remaining connection slots").count();
    println!("{attempts} attempts in vain in 4 s");
    assert!(attempts <= 100, "{attempts} attempts in vain");
    assert_eq!(pools[0].shortage().unwrap().room, 7);
}
