//! Many rows at once, into an empty table.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_postgres::PgPool;
use pool_postgres::pool_sql::{Batch, Insert, Value};
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::pools::Ours;
use super::way::Way;
use crate::batch::{self, ROWS};
use crate::contest::Contest;
use crate::lookups::Pool;

pub(super) const COPY: &str = "floor BinaryCopyInWriter";

/// A row of the table `film`.
struct Film {
    id: i64,
    title: String,
    year: i64,
}

impl Film {
    fn all() -> Arc<Vec<Self>> {
        let film = |id| Self { id, title: format!("Film number {id:018}"), year: 1900 + id % 120 };
        Arc::new((1..=ROWS).map(film).collect())
    }
}

pub(super) fn enter(contest: &mut Contest, runtime: &Rc<Runtime>, way: &Way) {
    let films = Film::all();
    enter_one(contest, runtime, way, &films, Ours::NAME, ours);
    enter_one(contest, runtime, way, &films, COPY, copy);
}

fn enter_one<F>(
    contest: &mut Contest,
    runtime: &Rc<Runtime>,
    way: &Way,
    films: &Arc<Vec<Film>>,
    pool: &'static str,
    insert: fn(Way, Arc<Vec<Film>>) -> F,
) where
    F: Future<Output = Duration> + Send + 'static,
{
    let (way, films) = (way.clone(), films.clone());
    batch::enter(contest, runtime, pool, move || {
        let (way, films) = (way.clone(), films.clone());
        async move {
            empty(&way).await;
            let inserted = tokio::spawn(insert(way.clone(), films)).await;
            assert_eq!(count(&way).await, ROWS);
            inserted.expect("no panic")
        }
    });
}

/// Through ours, by `insert_many`.
async fn ours(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let pool = PgPool::builder(&way.words()).expect("the words are right").max_size(1);
    let pool = pool.build().await.expect("nobody else is there");
    let plan = Insert::into("film").and_then(|plan| plan.columns(["id", "title", "year"]));
    let plan = plan.expect("the plan is right");
    let mut connection = pool.acquire().await.expect("nobody else is there");
    let begun = Instant::now();
    let rows = films
        .iter()
        .map(|film| [Value::I64(film.id), Value::Text(&film.title), Value::I64(film.year)]);
    connection.insert_many(&plan, rows, |_| ()).await.expect("it takes rows");
    begun.elapsed()
}

/// Through the driver's own writer.
async fn copy(way: Way, films: Arc<Vec<Film>>) -> Duration {
    let client = way.client().await;
    let begun = Instant::now();
    let sink = client.copy_in("COPY film (id, title, year) FROM STDIN BINARY").await;
    let types = [Type::INT8, Type::TEXT, Type::INT8];
    let mut writer = pin!(BinaryCopyInWriter::new(sink.expect("it is right"), &types));
    for Film { id, title, year } in &*films {
        writer.as_mut().write(&[id, title, year]).await.expect("it takes rows");
    }
    writer.finish().await.expect("nobody else is there");
    begun.elapsed()
}

async fn empty(way: &Way) {
    way.client().await.batch_execute("TRUNCATE film").await.expect("nobody else is there");
}

async fn count(way: &Way) -> i64 {
    let row = way.client().await.query_one("SELECT count(*) FROM film", &[]).await;
    row.expect("a row").get(0)
}
