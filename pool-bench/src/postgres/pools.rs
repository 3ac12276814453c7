//! The pools that are compared, and what could be fast if it did nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use pool_postgres::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls, Statement};

use super::SELECT;
use super::way::Way;
use crate::lookups::{CONNECTIONS, Pool};

/// The same for all, and it plays no part.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ours, as it is by default.
#[derive(Clone)]
pub(super) struct Ours(PgPool);

impl Pool for Ours {
    const NAME: &'static str = "ours";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let builder = PgPool::builder(&way.words()).expect("the words are right");
        let pool = builder.max_size(CONNECTIONS).acquire_timeout(TIMEOUT).build().await;
        Self(pool.expect("the server is there"))
    }

    async fn select(&self, id: i32) -> i32 {
        let conn = self.0.acquire().await.expect("in time");
        conn.query_one(SELECT, &[&id]).await.expect("a row").get(0)
    }
}

pub(super) const FAST: u8 = 0;
pub(super) const VERIFIED: u8 = 1;
pub(super) const CLEAN: u8 = 2;

#[derive(Clone)]
pub(super) struct Deadpool<const RECYCLING: u8>(deadpool_postgres::Pool);

impl<const RECYCLING: u8> Pool for Deadpool<RECYCLING> {
    const NAME: &'static str = match RECYCLING {
        FAST => "deadpool-postgres Fast",
        VERIFIED => "deadpool-postgres Verified",
        _ => "deadpool-postgres Clean",
    };
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let recycling_method = match RECYCLING {
            FAST => RecyclingMethod::Fast,
            VERIFIED => RecyclingMethod::Verified,
            _ => RecyclingMethod::Clean,
        };
        let config = ManagerConfig { recycling_method };
        let manager = Manager::from_config(way.config(), NoTls, config);
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(CONNECTIONS as usize)
            .wait_timeout(Some(TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build();
        Self(pool.expect("the settings are valid"))
    }

    async fn select(&self, id: i32) -> i32 {
        let conn = self.0.get().await.expect("in time");
        let statement = conn.prepare_cached(SELECT).await.expect("it is right");
        conn.query_one(&statement, &[&id]).await.expect("a row").get(0)
    }
}

/// sqlx, with or without the ping at each checkout. It keeps statements by itself.
#[derive(Clone)]
pub(super) struct Sqlx<const TEST: bool>(sqlx::PgPool);

impl<const TEST: bool> Pool for Sqlx<TEST> {
    const NAME: &'static str = if TEST { "sqlx" } else { "sqlx without its test" };
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let options = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            .test_before_acquire(TEST);
        Self(options.connect_with(way.sqlx()).await.expect("the server is there"))
    }

    async fn select(&self, id: i32) -> i32 {
        let value = sqlx::query_scalar(SELECT).bind(id).fetch_one(&self.0).await;
        value.expect("a row")
    }
}

/// bb8, which tests at each checkout and keeps no statements.
#[derive(Clone)]
pub(super) struct Bb8(bb8::Pool<PostgresConnectionManager<NoTls>>);

impl Pool for Bb8 {
    const NAME: &'static str = "bb8-postgres";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let manager = PostgresConnectionManager::new(way.config(), NoTls);
        let builder = bb8::Pool::builder().max_size(CONNECTIONS).connection_timeout(TIMEOUT);
        Self(builder.build(manager).await.expect("the server is there"))
    }

    async fn select(&self, id: i32) -> i32 {
        let conn = self.0.get().await.expect("in time");
        conn.query_one(SELECT, &[&id]).await.expect("a row").get(0)
    }
}

/// A client with its statement prepared.
struct Prepared {
    client: Client,
    statement: Statement,
}

impl Prepared {
    async fn open(way: &Way) -> Self {
        let client = way.client().await;
        let statement = client.prepare(SELECT).await.expect("it is right");
        Self { client, statement }
    }

    async fn all(way: &Way) -> Vec<Self> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Self::open(way).await);
        }
        clients
    }

    async fn select(&self, id: i32) -> i32 {
        self.client.query_one(&self.statement, &[&id]).await.expect("a row").get(0)
    }
}

/// One client and no pool.
#[derive(Clone)]
pub(super) struct Bare(Arc<Prepared>);

impl Pool for Bare {
    const NAME: &'static str = "floor bare client";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        Self(Arc::new(Prepared::open(way).await))
    }

    async fn select(&self, id: i32) -> i32 {
        self.0.select(id).await
    }
}

/// Clients in a list behind tokio's fair semaphore.
#[derive(Clone)]
pub(super) struct Semaphored(Arc<(Semaphore, Mutex<Vec<Prepared>>)>);

impl Pool for Semaphored {
    const NAME: &'static str = "floor Semaphore + Mutex<Vec>";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let semaphore = Semaphore::new(CONNECTIONS as usize);
        Self(Arc::new((semaphore, Mutex::new(Prepared::all(way).await))))
    }

    async fn select(&self, id: i32) -> i32 {
        let (semaphore, idle) = &*self.0;
        let _permit = semaphore.acquire().await.expect("it is never closed");
        let client = idle.lock().expect("no panic").pop().expect("a permit has its client");
        let value = client.select(id).await;
        idle.lock().expect("no panic").push(client);
        value
    }
}

/// As many clients, but nobody has one alone: each statement goes to the next.
#[derive(Clone)]
pub(super) struct SharedInTurn(Arc<(Vec<Prepared>, AtomicUsize)>);

impl Pool for SharedInTurn {
    const NAME: &'static str = "floor shared, 8 clients";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        Self(Arc::new((Prepared::all(way).await, AtomicUsize::new(0))))
    }

    async fn select(&self, id: i32) -> i32 {
        let (clients, next) = &*self.0;
        let next = next.fetch_add(1, Ordering::Relaxed) % clients.len();
        clients[next].select(id).await
    }
}

/// One client for all.
#[derive(Clone)]
pub(super) struct SharedByAll(Arc<Prepared>);

impl Pool for SharedByAll {
    const NAME: &'static str = "floor shared, 1 client";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        Self(Arc::new(Prepared::open(way).await))
    }

    async fn select(&self, id: i32) -> i32 {
        self.0.select(id).await
    }
}
