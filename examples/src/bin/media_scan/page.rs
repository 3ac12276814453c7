//! A media server's start page: the queries that run beside a scan, and how long they take.

use std::time::Duration;

use pool_core::Histogram;
use pool_mysql::MySqlError;
use pool_postgres::PgError;
use pool_sqlite::rusqlite::{self, Connection};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::database::{Database, DbError, acquired};
use crate::stop::Stop;

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(20);

/// One query of the page.
struct Query {
    name: &'static str,
    sql: &'static str,
    /// The same for PostgreSQL.
    postgres: &'static str,
    /// The same for MySQL and MariaDB.
    mysql: &'static str,
    /// Looks for names that begin with a letter.
    by_letter: bool,
}

const COUNT: &str = "SELECT type, count(*) FROM files GROUP BY type";
const NEWEST: &str = "SELECT path, modified FROM files ORDER BY modified DESC LIMIT 20";

const TOTAL: &str = "SELECT count(*), sum(size) FROM files";

const PAGE: [Query; 4] = [
    Query { name: "count by type", sql: COUNT, postgres: COUNT, mysql: COUNT, by_letter: false },
    Query { name: "newest", sql: NEWEST, postgres: NEWEST, mysql: NEWEST, by_letter: false },
    Query {
        name: "search by name",
        sql: "SELECT path, name FROM files
              WHERE name COLLATE NOCASE >= ?1 AND name COLLATE NOCASE < ?2
              ORDER BY name COLLATE NOCASE LIMIT 20",
        postgres: "SELECT path, name FROM files
              WHERE lower(name) COLLATE \"C\" >= $1 AND lower(name) COLLATE \"C\" < $2
              ORDER BY lower(name) COLLATE \"C\" LIMIT 20",
        mysql: "SELECT path, name FROM files
              WHERE name >= ? AND name < ? ORDER BY name LIMIT 20",
        by_letter: true,
    },
    Query {
        name: "total size",
        sql: "SELECT count(*), total(size) FROM files",
        postgres: TOTAL,
        mysql: TOTAL,
        by_letter: false,
    },
];

/// How the queries went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visits {
    /// From asking the pool to the last row.
    latencies: Histogram,
    failed: u64,
}

/// [`Visits`] in short.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    /// How many queries were answered.
    pub(crate) count: u64,
    /// How many were not, since the pool or the database was too busy.
    pub(crate) failed: u64,
    /// Quantiles are upper bounds, at most 25 % too large.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Visits {
    pub(crate) fn summary(&self) -> Summary {
        let ms = |q| self.latencies.quantile(q).as_secs_f64() * 1e3;
        let (count, failed) = (self.latencies.count(), self.failed);
        Summary { count, failed, p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }
}

/// Visits the page again and again, until `done`. A query that fails is counted, no more: pages are
/// asked for again, and what is wrong with the database the scan will tell.
pub(crate) async fn visit(database: Database, done: Stop) -> Visits {
    let mut visits = Visits::default();
    for letter in (b'a'..=b'z').cycle() {
        for query in &PAGE {
            let begun = Instant::now();
            match query.ask(&database, letter).await {
                Ok(()) => visits.latencies.record(begun.elapsed()),
                Err(_) => visits.failed += 1,
            }
            if done.is_set() {
                return visits;
            }
        }
        tokio::select! {
            () = done.wait() => break,
            () = sleep(PAUSE) => {}
        }
    }
    visits
}

impl Query {
    async fn ask(&self, database: &Database, letter: u8) -> Result<(), DbError> {
        let bounds =
            self.by_letter.then(|| [letter, letter + 1].map(|byte| char::from(byte).to_string()));
        match database {
            Database::Sqlite(pool) => {
                let mut reader = acquired(pool.read().operation(self.name).await)?;
                let sql = self.sql;
                reader.call(move |c| run(c, sql, bounds.as_ref())).await?;
            }
            Database::Postgres(pool) => {
                let reader = pool.acquire().operation(self.name).await.map_err(PgError::from)?;
                match &bounds {
                    Some([from, to]) => reader.query(self.postgres, &[from, to]).await?,
                    None => reader.query(self.postgres, &[]).await?,
                };
            }
            Database::MySql(pool) => {
                let reader = pool.acquire().operation(self.name).await;
                let mut reader = reader.map_err(MySqlError::from)?;
                match bounds {
                    Some([from, to]) => reader.exec_drop(self.mysql, (from, to)).await?,
                    None => reader.exec_drop(self.mysql, ()).await?,
                }
            }
        }
        Ok(())
    }
}

/// Runs a query to its last row.
fn run(c: &Connection, sql: &str, bounds: Option<&[String; 2]>) -> rusqlite::Result<()> {
    let mut query = c.prepare_cached(sql)?;
    let mut rows = match bounds {
        Some([from, to]) => query.query([from, to])?,
        None => query.query([])?,
    };
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn no_query_of_the_page_reads_the_whole_table() {
        let mut c = Connection::open_in_memory().unwrap();
        let tx = c.transaction().unwrap();
        assert!(schema::set_up(&tx).unwrap());
        tx.commit().unwrap();
        for query in &PAGE {
            let bounds = ["z", "{"].map(str::to_owned);
            run(&c, query.sql, query.by_letter.then_some(&bounds)).unwrap();
            let sql = format!(
                "EXPLAIN QUERY PLAN {}",
                query.sql.replace("?1", "'a'").replace("?2", "'b'")
            );
            let plan: String = c.query_row(&sql, [], |row| row.get(3)).unwrap();
            assert!(plan.contains("INDEX"), "{}: {plan}", query.name);
        }
    }
}
