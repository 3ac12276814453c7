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

use super::pools::{Ours, Pool};
use super::way::Way;
use crate::contest::{Contest, Figure, figure};

const CASE: &str = "batch insert of 100,000 rows";
pub(super) const COPY: &str = "floor BinaryCopyInWriter";
const ROWS: i64 = 100_000;

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
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let (runtime, way, films) = (runtime.clone(), way.clone(), films.clone());
    contest.enter(pool, CASE, move |time| {
        let (mut took, mut times) = (Duration::ZERO, 0);
        while times == 0 || took < time {
            runtime.block_on(empty(&way));
            let inserted = runtime.spawn(insert(way.clone(), films.clone()));
            let Some(once) = runtime.block_on(inserted).expect("no panic") else {
                return Vec::new();
            };
            assert_eq!(runtime.block_on(count(&way)), ROWS);
            took += once;
            times += 1;
        }
        rows(times, took)
    });
}

/// Through ours, by `insert_many`.
async fn ours(way: Way, films: Arc<Vec<Film>>) -> Option<Duration> {
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
    Some(begun.elapsed())
}

/// Through the driver's own writer.
async fn copy(way: Way, films: Arc<Vec<Film>>) -> Option<Duration> {
    let client = way.client().await;
    let begun = Instant::now();
    let sink = client.copy_in("COPY film (id, title, year) FROM STDIN BINARY").await;
    let types = [Type::INT8, Type::TEXT, Type::INT8];
    let mut writer = pin!(BinaryCopyInWriter::new(sink.expect("it is right"), &types));
    for Film { id, title, year } in &*films {
        writer.as_mut().write(&[id, title, year]).await.expect("it takes rows");
    }
    writer.finish().await.expect("nobody else is there");
    Some(begun.elapsed())
}

async fn empty(way: &Way) {
    way.client().await.batch_execute("TRUNCATE film").await.expect("nobody else is there");
}

async fn count(way: &Way) -> i64 {
    let row = way.client().await.query_one("SELECT count(*) FROM film", &[]).await;
    row.expect("a row").get(0)
}

fn rows(times: u32, took: Duration) -> Vec<Figure> {
    let rows = f64::from(times) * ROWS as f64;
    vec![figure("rows", "k rows/s", rows / took.as_secs_f64() / 1000.0)]
}
