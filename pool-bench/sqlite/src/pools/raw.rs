//! No pool: each task has a connection of its own, and uses it in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pool_bench_sqlite_load::{Busy, Film, Pool};
use rusqlite::{Connection, Result, ToSql, params_from_iter};

use crate::driver::{Driver, Over, open, or_busy};

pub(crate) struct Raw {
    path: PathBuf,
    connection: Connection,
}

impl Clone for Raw {
    fn clone(&self) -> Self {
        let connection = open(&self.path).expect("the file can be opened");
        Self { path: self.path.clone(), connection }
    }
}

impl Driver for Raw {
    const NAME: &'static str = "raw rusqlite";

    async fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), connection: open(path).expect("the file can be opened") }
    }

    async fn read<T, J>(&mut self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: Fn(&mut Connection) -> Result<T> + Send + 'static,
    {
        or_busy(job(&mut self.connection))
    }
}

/// Inserts many rows with each statement.
#[derive(Clone)]
pub(crate) struct RawValues(Over<Raw>);

/// Rows of a statement.
const ROWS: usize = 500;

impl Pool for RawValues {
    const NAME: &'static str = "raw rusqlite, 500 rows a statement";

    async fn open(path: &Path) -> Self {
        Self(Over::open(path).await)
    }
    async fn prepare(&mut self, statements: &'static str) {
        self.0.prepare(statements).await;
    }
    async fn select(&mut self, id: i64) -> i64 {
        self.0.select(id).await
    }
    async fn update(&mut self, id: i64) -> Result<(), Busy> {
        self.0.update(id).await
    }
    async fn insert(&mut self, films: Arc<Vec<Film>>) {
        let Over(Raw { connection, .. }) = &mut self.0;
        insert(connection, &films).expect("nobody else is there");
    }
    async fn scan(&mut self) -> i64 {
        self.0.scan().await
    }
}

fn insert(connection: &mut Connection, films: &[Film]) -> Result<()> {
    let transaction = connection.transaction()?;
    for films in films.chunks(ROWS) {
        let values = vec!["(?, ?, ?, ?)"; films.len()].join(", ");
        let sql = format!("INSERT INTO film (id, title, year, seen) VALUES {values}");
        let values = films
            .iter()
            .flat_map(|Film { id, title, year, seen }| [id as &dyn ToSql, title, year, seen]);
        transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    }
    transaction.commit()
}
