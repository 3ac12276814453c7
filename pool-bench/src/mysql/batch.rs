//! Many rows at once, into an empty table, all or nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Params, TxOpts};
use pool_mysql::MySqlPool;
use pool_mysql::pool_sql::{Batch, Insert, Value};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{MySql, QueryBuilder};
use tokio::runtime::Runtime;

use super::pools::{Ours, Sqlx};
use super::way::Way;
use crate::batch::{self, ROWS};
use crate::contest::Contest;
use crate::lookups::Pool;

pub(super) const BULK: &str = "floor exec_batch";
pub(super) const VALUES: &str = "floor VALUES of 1,000";
const INSERT: &str = "INSERT INTO film (id, title, score) VALUES (?, ?, ?)";
/// Rows of a statement.
const CHUNK: usize = 1000;

/// A row of the table `film`.
struct Film {
    id: i64,
    title: String,
    score: f64,
}

impl Film {
    fn all() -> Arc<Vec<Self>> {
        let film = |id| {
            let score = (id % 97) as f64 / 9.7;
            Self { id, title: format!("Film number {id:018}"), score }
        };
        Arc::new((1..=ROWS).map(film).collect())
    }
}

pub(super) fn enter(contest: &mut Contest, runtime: &Rc<Runtime>, way: Way) {
    let films = Film::all();
    enter_one(contest, runtime, way, &films, Ours::<false>::NAME, ours);
    enter_one(contest, runtime, way, &films, BULK, bulk);
    enter_one(contest, runtime, way, &films, VALUES, values);
    enter_one(contest, runtime, way, &films, Sqlx::<true>::NAME, push_values);
}

fn enter_one<F>(
    contest: &mut Contest,
    runtime: &Rc<Runtime>,
    way: Way,
    films: &Arc<Vec<Film>>,
    pool: &'static str,
    insert: fn(Way, Arc<Vec<Film>>) -> F,
) where
    F: Future<Output = Duration> + Send + 'static,
{
    let films = films.clone();
    batch::enter(contest, runtime, pool, move || {
        let films = films.clone();
        async move {
            let mut conn = way.conn().await;
            conn.query_drop("TRUNCATE film").await.expect("nobody else is there");
            let inserted = tokio::spawn(insert(way, films)).await;
            let count = conn.query_first("SELECT count(*) FROM film").await;
            assert_eq!(count.expect("nobody else is there"), Some(ROWS));
            inserted.expect("no panic")
        }
    });
}

/// Through ours.
async fn ours(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let pool = MySqlPool::builder(&way.url()).expect("the words are right").max_size(1);
    let pool = pool.build().await.expect("nobody else is there");
    let mut connection = pool.acquire().await.expect("nobody else is there");
    let begun = Instant::now();
    insert_many(&mut *connection, &films).await;
    begun.elapsed()
}

/// By the trait that all backends have.
async fn insert_many<C: Batch>(connection: &mut C, films: &[Film]) {
    let plan = Insert::into("film").and_then(|plan| plan.columns(["id", "title", "score"]));
    let plan = plan.expect("the plan is right");
    let rows = films
        .iter()
        .map(|film| [Value::I64(film.id), Value::Text(&film.title), Value::F64(film.score)]);
    connection.insert_many(&plan, rows, |_| ()).await.expect("it takes rows");
}

/// The driver, by MariaDB's command for one statement and many rows of parameters.
async fn bulk(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let mut conn = way.conn().await;
    let begun = Instant::now();
    let rows = films.iter().map(|film| (film.id, &*film.title, film.score));
    let mut tx = conn.start_transaction(TxOpts::default()).await.expect("nobody else is there");
    tx.exec_batch(INSERT, rows).await.expect("it takes rows");
    tx.commit().await.expect("nobody else is there");
    begun.elapsed()
}

/// The driver, by a prepared statement for a thousand rows.
async fn values(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let mut conn = way.conn().await;
    let begun = Instant::now();
    let sql = format!("{INSERT}{}", ", (?, ?, ?)".repeat(CHUNK - 1));
    let mut tx = conn.start_transaction(TxOpts::default()).await.expect("nobody else is there");
    let statement = tx.prep(sql).await.expect("it is right");
    for chunk in films.chunks(CHUNK) {
        let row = |film: &Film| [film.id.into(), (&*film.title).into(), film.score.into()];
        let values = chunk.iter().flat_map(row).collect();
        tx.exec_drop(&statement, Params::Positional(values)).await.expect("it takes rows");
    }
    tx.commit().await.expect("nobody else is there");
    begun.elapsed()
}

/// sqlx, by its builder of texts.
async fn push_values(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let pool = MySqlPoolOptions::new().max_connections(1).connect_with(way.sqlx()).await;
    let pool = pool.expect("nobody else is there");
    let begun = Instant::now();
    let mut tx = pool.begin().await.expect("nobody else is there");
    for chunk in films.chunks(CHUNK) {
        let mut query = QueryBuilder::<MySql>::new("INSERT INTO film (id, title, score) ");
        query.push_values(chunk, |mut row, film| {
            row.push_bind(film.id).push_bind(&film.title).push_bind(film.score);
        });
        query.build().execute(&mut *tx).await.expect("it takes rows");
    }
    tx.commit().await.expect("nobody else is there");
    begun.elapsed()
}
