//! No pool: each task has a connection of its own, and uses it in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pool_bench_sqlite_load::{Busy, Film};
use rusqlite::{Connection, Result, ToSql, params_from_iter};

use crate::driver::{self, Driver, open, or_busy};

/// Inserts a row with each statement, or many.
pub(crate) struct Raw<const MANY: bool> {
    path: PathBuf,
    connection: Connection,
}

impl<const MANY: bool> Clone for Raw<MANY> {
    fn clone(&self) -> Self {
        let connection = open(&self.path).expect("the file can be opened");
        Self { path: self.path.clone(), connection }
    }
}

impl<const MANY: bool> Driver for Raw<MANY> {
    const NAME: &'static str =
        if MANY { "raw rusqlite, 500 rows a statement" } else { "raw rusqlite" };

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

    async fn insert(&mut self, films: Arc<Vec<Film>>) -> Result<(), Busy> {
        let insert = if MANY { insert_many } else { driver::insert };
        or_busy(insert(&mut self.connection, &films))
    }
}

/// Rows of a statement.
const ROWS: usize = 500;

fn insert_many(connection: &mut Connection, films: &[Film]) -> Result<()> {
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
