//! `sqlite-sqlx`: sqlx's SQLite in the protocol of the other program.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::TryStreamExt;
use pool_bench_sqlite_load::{
    BUSY_TIMEOUT, Busy, CACHE_KIB, CONNECTIONS, Film, INSERT, MIXED, ONE, Pool, SCAN, TASKS, enter,
    serve, sql,
};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::report::version;

/// Rows of a statement.
const ROWS_A_STATEMENT: usize = 500;

pub(crate) fn sqlx(args: &[&str]) -> ExitCode {
    let mut entries = Vec::new();
    enter::<Sqlx<true>>(&mut entries, &[ONE, TASKS, MIXED, INSERT, SCAN]);
    enter::<Sqlx<false>>(&mut entries, &[ONE, TASKS, MIXED]);
    serve(&entries, version, args)
}

#[derive(Clone)]
struct Sqlx<const TEST: bool>(SqlitePool);

impl<const TEST: bool> Pool for Sqlx<TEST> {
    const NAME: &'static str = if TEST { "sqlx" } else { "sqlx without its test" };

    async fn open(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", format!("-{CACHE_KIB}"));
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS)
            .test_before_acquire(TEST);
        let pool = pool.connect_with(options).await.expect("the file can be opened");
        // Its minimum is opened in the background.
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(pool.acquire().await.expect("the file can be opened"));
        }
        drop(held);
        Self(pool)
    }

    async fn prepare(&mut self, statements: &'static str) {
        sqlx::query(statements).execute(&self.0).await.expect("nobody else is there");
    }

    async fn select(&mut self, id: i64) -> i64 {
        let year = sqlx::query_scalar(sql::SELECT).bind(id).fetch_one(&self.0).await;
        year.expect("readers wait for nobody")
    }

    async fn update(&mut self, id: i64) -> Result<(), Busy> {
        match sqlx::query(sql::UPDATE).bind(id).execute(&self.0).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if is_busy(error.code().as_deref()) => Err(Busy),
            Err(error) => panic!("{error}"),
        }
    }

    async fn insert(&mut self, films: Arc<Vec<Film>>) {
        insert(&self.0, &films).await.expect("nobody else is there");
    }

    async fn scan(&mut self) -> i64 {
        scan(&self.0).await.expect("readers wait for nobody")
    }
}

async fn insert(pool: &SqlitePool, films: &[Film]) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    for films in films.chunks(ROWS_A_STATEMENT) {
        let into = "INSERT INTO film (id, title, year, seen) ";
        let mut query = QueryBuilder::<Sqlite>::new(into);
        query.push_values(films, |mut row, Film { id, title, year, seen }| {
            row.push_bind(id).push_bind(title).push_bind(year).push_bind(seen);
        });
        query.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn scan(pool: &SqlitePool) -> sqlx::Result<i64> {
    let (mut rows, mut sum) = (sqlx::query(sql::SCAN).fetch(pool), 0);
    while let Some(row) = rows.try_next().await? {
        let (title, year) = (row.try_get::<&str, _>("title")?, row.try_get::<i64, _>("year")?);
        sum += year + title.len() as i64;
    }
    Ok(sum)
}

/// An extended code has the plain one in its last byte.
fn is_busy(code: Option<&str>) -> bool {
    let code: Option<i32> = code.and_then(|code| code.parse().ok());
    code.is_some_and(|code| code & 0xff == 5)
}
