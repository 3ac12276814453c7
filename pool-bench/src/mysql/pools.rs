//! The pools that are compared, and what could be fast if it did nothing else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, PoolConstraints, PoolOpts, Statement};
use pool_mysql::{MySqlPool, ResetLevel};
use sqlx::mysql::MySqlPoolOptions;
use tokio::sync::Semaphore;

use super::SELECT;
use super::way::Way;
use crate::lookups::{CONNECTIONS, Pool};

/// The same for all, and it plays no part.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ours, as it is by default, or with the session cleared after each use.
#[derive(Clone)]
pub(super) struct Ours<const CLEAN: bool>(MySqlPool);

impl<const CLEAN: bool> Pool for Ours<CLEAN> {
    const NAME: &'static str = if CLEAN { "ours Clean" } else { "ours" };
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let builder = MySqlPool::builder(&way.url()).expect("the words are right");
        let builder = if CLEAN { builder.reset_level(ResetLevel::Clean) } else { builder };
        let pool = builder.max_size(CONNECTIONS).acquire_timeout(TIMEOUT).build().await;
        Self(pool.expect("the server is there"))
    }

    async fn select(&self, id: i32) -> String {
        let mut conn = self.0.acquire().await.expect("in time");
        conn.exec_first(SELECT, (id,)).await.expect("it is right").expect("a row")
    }
}

/// The driver's own pool, with or without the reset of each connection that comes back.
#[derive(Clone)]
pub(super) struct Driver<const RESET: bool>(mysql_async::Pool);

impl<const RESET: bool> Pool for Driver<RESET> {
    const NAME: &'static str = if RESET { "mysql_async" } else { "mysql_async without its reset" };
    type Way = Way;

    async fn open(way: &Way) -> Self {
        // What is above the lesser is closed when it comes back.
        let size = PoolConstraints::new(CONNECTIONS as usize, CONNECTIONS as usize);
        let options = PoolOpts::default()
            .with_constraints(size.expect("they are in order"))
            .with_reset_connection(RESET);
        Self(mysql_async::Pool::new(way.options().pool_opts(options)))
    }

    async fn select(&self, id: i32) -> String {
        let mut conn = self.0.get_conn().await.expect("the server is there");
        conn.exec_first(SELECT, (id,)).await.expect("it is right").expect("a row")
    }
}

/// sqlx, with or without the ping at each checkout. It keeps statements by itself.
#[derive(Clone)]
pub(super) struct Sqlx<const TEST: bool>(sqlx::MySqlPool);

impl<const TEST: bool> Pool for Sqlx<TEST> {
    const NAME: &'static str = if TEST { "sqlx" } else { "sqlx without its test" };
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let options = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            .test_before_acquire(TEST);
        Self(options.connect_with(way.sqlx()).await.expect("the server is there"))
    }

    async fn select(&self, id: i32) -> String {
        let name = sqlx::query_scalar(SELECT).bind(id).fetch_one(&self.0).await;
        name.expect("a row")
    }
}

/// A connection with its statement prepared.
struct Prepared {
    conn: Conn,
    statement: Statement,
}

impl Prepared {
    async fn open(way: &Way) -> Self {
        let mut conn = way.conn().await;
        let statement = conn.prep(SELECT).await.expect("it is right");
        Self { conn, statement }
    }

    async fn select(&mut self, id: i32) -> String {
        let name = self.conn.exec_first(&self.statement, (id,)).await;
        name.expect("it is right").expect("a row")
    }
}

/// Connections of which there is always one: whoever asks has seen to that.
#[derive(Clone)]
struct List(Arc<Mutex<Vec<Prepared>>>);

impl List {
    async fn open(way: &Way, connections: u32) -> Self {
        let mut idle = Vec::new();
        for _ in 0..connections {
            idle.push(Prepared::open(way).await);
        }
        Self(Arc::new(Mutex::new(idle)))
    }

    async fn select(&self, id: i32) -> String {
        let conn = self.0.lock().expect("no panic").pop();
        let mut conn = conn.expect("there is one");
        let name = conn.select(id).await;
        self.0.lock().expect("no panic").push(conn);
        name
    }
}

/// One connection and no pool.
#[derive(Clone)]
pub(super) struct Bare(List);

impl Pool for Bare {
    const NAME: &'static str = "floor bare client";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        Self(List::open(way, 1).await)
    }

    async fn select(&self, id: i32) -> String {
        self.0.select(id).await
    }
}

/// Connections in a list behind tokio's fair semaphore.
#[derive(Clone)]
pub(super) struct Semaphored(Arc<Semaphore>, List);

impl Pool for Semaphored {
    const NAME: &'static str = "floor Semaphore + Mutex<Vec>";
    type Way = Way;

    async fn open(way: &Way) -> Self {
        let semaphore = Semaphore::new(CONNECTIONS as usize);
        Self(Arc::new(semaphore), List::open(way, CONNECTIONS).await)
    }

    async fn select(&self, id: i32) -> String {
        let _permit = self.0.acquire().await.expect("it is never closed");
        self.1.select(id).await
    }
}

/// As many tasks as connections, so that nobody waits for one.
#[derive(Clone)]
pub(super) struct Apart(List);

impl Pool for Apart {
    const NAME: &'static str = "floor 8 tasks";
    const TASKS: usize = CONNECTIONS as usize;
    type Way = Way;

    async fn open(way: &Way) -> Self {
        Self(List::open(way, CONNECTIONS).await)
    }

    async fn select(&self, id: i32) -> String {
        self.0.select(id).await
    }
}
