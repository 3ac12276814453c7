//! Pools that run closures on rusqlite's connections: the statements are the same for all of them.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use pool_bench_sqlite_load::{BUSY_TIMEOUT, Busy, CACHE_KIB, Film, Pool, sql};
use rusqlite::{Connection, ErrorCode, Result, params};

/// How a pool runs closures.
pub(crate) trait Driver: Clone + Send + 'static {
    const NAME: &'static str;

    fn open(path: &Path) -> impl Future<Output = Self> + Send;

    fn read<T, J>(&mut self, job: J) -> impl Future<Output = Result<T, Busy>> + Send
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static;

    /// On a connection that writes, where not all of them do.
    fn write<T, J>(&mut self, job: J) -> impl Future<Output = Result<T, Busy>> + Send
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        self.read(job)
    }

    /// Inserts all, or nothing: as rusqlite's documentation does it, if there is no better way.
    fn insert(&mut self, films: Arc<Vec<Film>>) -> impl Future<Output = Result<(), Busy>> + Send {
        self.write(move |connection| insert(connection, &films))
    }
}

/// Such a pool with the statements.
#[derive(Clone)]
pub(crate) struct Over<D>(D);

impl<D: Driver> Pool for Over<D> {
    const NAME: &'static str = D::NAME;

    async fn open(path: &Path) -> Self {
        Self(D::open(path).await)
    }

    async fn prepare(&mut self, statements: &'static str) {
        self.0.write(all_of(statements)).await.expect("nobody else is there");
    }

    async fn select(&mut self, id: i64) -> i64 {
        let year = self.0.read(move |connection| {
            connection.prepare_cached(sql::SELECT)?.query_row([id], |row| row.get(0))
        });
        year.await.expect("readers wait for nobody")
    }

    async fn update(&mut self, id: i64) -> Result<(), Busy> {
        let update = move |connection: &mut Connection| {
            connection.prepare_cached(sql::UPDATE)?.execute([id]).map(drop)
        };
        self.0.write(update).await
    }

    async fn insert(&mut self, films: Arc<Vec<Film>>) {
        self.0.insert(films).await.expect("nobody else is there");
    }

    async fn scan(&mut self) -> i64 {
        self.0.read(|connection| scan(connection)).await.expect("readers wait for nobody")
    }
}

fn all_of(statements: &'static str) -> impl Fn(&mut Connection) -> Result<()> + Send + 'static {
    move |connection| connection.execute_batch(statements)
}

pub(crate) fn insert(connection: &mut Connection, films: &[Film]) -> Result<()> {
    let transaction = connection.transaction()?;
    let mut statement =
        transaction.prepare("INSERT INTO film (id, title, year, seen) VALUES (?1, ?2, ?3, ?4)")?;
    for Film { id, title, year, seen } in films {
        statement.execute(params![id, title, year, seen])?;
    }
    drop(statement);
    transaction.commit()
}

fn scan(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached(sql::SCAN)?;
    let (mut rows, mut sum) = (statement.query([])?, 0);
    while let Some(row) = rows.next()? {
        let (title, year) = (row.get_ref("title")?.as_str()?, row.get::<_, i64>("year")?);
        sum += year + title.len() as i64;
    }
    Ok(sum)
}

/// Opens a connection as ours are by default, but for the cache.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let mut connection = Connection::open(path)?;
    set_up(&mut connection)?;
    Ok(connection)
}

/// What [`open`] does after opening.
pub(crate) fn set_up(connection: &mut Connection) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))
}

/// The one error that is expected.
pub(crate) fn or_busy<T>(ran: Result<T>) -> Result<T, Busy> {
    ran.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => Busy,
        _ => panic!("{error}"),
    })
}
