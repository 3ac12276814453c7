//! Batches: all or nothing, in chunks, by COPY or by arrays, with every kind of table.

mod failing;
mod reading;
mod tables;

use std::sync::atomic::{AtomicU32, Ordering};

use pool_postgres::pool_sql::{Batch, BatchReport, Insert, OnConflict, Progress, Update, Value};
use pool_postgres::{PgConnection, PgError, PgGuard, PgPool};

use crate::place::Place;
use crate::soon;

/// A pool of one connection, and a schema of one's own with a table of films.
struct Films {
    place: Place,
    pool: PgPool,
    schema: String,
}

impl Films {
    async fn new() -> Self {
        let place = Place::new().await;
        let pool = place.builder().max_size(1).build().await.unwrap();
        Self::on(place, pool).await
    }

    async fn on(place: Place, pool: PgPool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let schema = format!("batch_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let films = Self { place, pool, schema };
        films
            .run(
                "CREATE SCHEMA {}; CREATE TABLE {}.film \
                 (id int8 PRIMARY KEY, title text NOT NULL, size int4)",
            )
            .await;
        films
    }

    async fn connection(&self) -> PgGuard {
        soon(self.pool.acquire()).await.unwrap()
    }

    /// Runs SQL in which `{}` is the schema.
    async fn run(&self, sql: &str) {
        let sql = sql.replace("{}", &self.schema);
        soon(self.connection().await.batch_execute(&sql)).await.unwrap();
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.schema)
    }

    fn insert_into(&self, table: &str, columns: &[&str]) -> Insert {
        Insert::into(self.table(table).as_str()).unwrap().columns(columns).unwrap()
    }

    fn plan(&self) -> Insert {
        self.insert_into("film", &["id", "title", "size"])
    }

    /// What a number is, asked behind the pool's back.
    async fn number(&self, sql: &str) -> i64 {
        let sql = sql.replace("{}", &self.schema);
        soon(self.place.admin.0.query_one(&sql, &[])).await.unwrap().get(0)
    }

    async fn count(&self) -> i64 {
        self.number("SELECT count(*) FROM {}.film").await
    }
}

fn row(id: i64, title: &str) -> [Value<'_>; 3] {
    [Value::I64(id), Value::Text(title), Value::from(Some(id % 1_000))]
}

/// So many rows, and how far it said that it was.
async fn insert(
    connection: &mut PgConnection,
    plan: &Insert,
    ids: std::ops::Range<i64>,
) -> (Result<BatchReport, PgError>, Vec<Progress>) {
    let mut told = Vec::new();
    let rows = ids.map(|id| row(id, "Grüße 'x' \\N\t\u{1F9E8}"));
    let done = soon(connection.insert_many(plan, rows, |so_far| told.push(so_far))).await;
    (done, told)
}

#[tokio::test]
async fn rows_of_any_number_are_stored_and_progress_is_exact() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let mut from = 0;
    for count in [0, 1, 999, 1_000, 1_001, 100_000] {
        let (done, told) = insert(&mut connection, &films.plan(), from..from + count).await;
        let report = done.unwrap();
        assert_eq!((report.rows, report.affected), (count as u64, count as u64));
        let statements = u64::from(count > 0) + u64::from(count > 1_000);
        assert_eq!(report.statements, statements, "arrays, and a COPY for what is more");
        let mut wanted = Progress::default();
        for told in &told {
            wanted.add_chunk((count as u64 - wanted.rows_done).min(1_000) as usize);
            assert_eq!(*told, wanted);
        }
        assert_eq!(wanted.rows_done, count as u64);
        from += count;
    }
    assert_eq!(films.count().await, from);
    let sums = "SELECT (sum(id) - sum(size % 1000 + id / 1000 * 1000))::int8 FROM {}.film \
                WHERE id < 1000";
    assert_eq!(films.number(sums).await, 0);
    let titles = "SELECT count(*) FROM {}.film WHERE title = E'Grüße ''x'' \\\\N\\t\u{1F9E8}'";
    assert_eq!(films.number(titles).await, from);
}

#[tokio::test]
async fn large_rows_make_chunks_of_their_own() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let title = "x".repeat(700_000);
    let rows = (0..5).map(|id| row(id, &title));
    let mut told = Vec::new();
    let plan = films.plan();
    let report = connection.insert_many(&plan, rows, |so_far| told.push(so_far.rows_done));
    assert_eq!(soon(report).await.unwrap().affected, 5);
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!(films.number("SELECT sum(length(title)) FROM {}.film").await, 3_500_000);
}

#[tokio::test]
async fn conflicts_fail_or_are_ignored_or_update() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let (plan, upsert) = (films.plan(), OnConflict::update(["id"]).unwrap());
    let ignore = films.plan().on_conflict(OnConflict::Ignore).unwrap();
    let upsert = films.plan().on_conflict(upsert).unwrap();
    insert(&mut connection, &plan, 0..2_500).await.0.unwrap();
    for (ids, of) in [(2_490..2_510, "arrays"), (2_400..5_000, "arrays"), (-2_000..9, "a COPY")] {
        let (done, _) = insert(&mut connection, &plan, ids).await;
        let error = done.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("23505"), "{of}: {error}");
        assert_eq!(films.count().await, 2_500, "{of}");
    }
    let (done, told) = insert(&mut connection, &ignore, 2_000..4_000).await;
    let report = done.unwrap();
    assert_eq!((report.rows, report.affected, report.statements), (2_000, 1_500, 2));
    assert_eq!(told.len(), 2);

    let rows = (3_000..6_000).map(|id| row(id, "new"));
    let report = soon(connection.insert_many(&upsert, rows, |_| ())).await.unwrap();
    assert_eq!((report.rows, report.affected), (3_000, 3_000));
    assert_eq!(films.count().await, 6_000);
    assert_eq!(films.number("SELECT count(*) FROM {}.film WHERE title = 'new'").await, 3_000);
}

#[tokio::test]
async fn updates_go_by_key() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    insert(&mut connection, &films.plan(), 0..3_000).await.0.unwrap();
    let update = Update::table(films.table("film").as_str()).unwrap();
    let update = update.key("id").unwrap().columns(["title", "size"]).unwrap();
    let rows =
        (1_000..4_000).map(|id| [Value::I64(id), Value::Text("new"), Value::from(None::<i64>)]);
    let mut told = Vec::new();
    let report = soon(connection.update_many(&update, rows, |so_far| told.push(so_far.rows_done)));
    let report = report.await.unwrap();
    assert_eq!((report.rows, report.affected, report.statements), (3_000, 2_000, 3));
    assert_eq!(told, [1_000, 2_000, 3_000]);
    let new = "SELECT count(*) FROM {}.film WHERE title = 'new' AND size IS NULL AND id >= 1000";
    assert_eq!(films.number(new).await, 2_000);
    let none = connection.update_many(&update, [] as [[Value<'_>; 3]; 0], |_| ());
    assert_eq!(soon(none).await.unwrap().statements, 0);
}

#[tokio::test]
async fn inserted_rows_come_back_in_order() {
    let films = Films::new().await;
    films.run("CREATE TABLE {}.made (id serial, name text, at timestamptz DEFAULT now())").await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("made", &["name"]);
    let names: Vec<String> = (0..2_345).map(|n| format!("{n}")).collect();
    let rows = names.iter().map(|name| [Value::from(name)]);
    let made = soon(connection.insert_returning(&plan, rows, ["id", "name"])).await.unwrap();
    assert_eq!(made.len(), 2_345);
    for ((row, name), id) in made.iter().zip(&names).zip(1..) {
        assert_eq!((row.get::<i64>("id"), row.get::<&str>("name")), (Ok(id), Ok(&name[..])));
    }
    // The same after the table has changed below the statement.
    films
        .place
        .admin
        .0
        .batch_execute(&format!(
            "ALTER TABLE {0}.made ALTER id TYPE int8, ALTER name TYPE varchar(9)",
            films.schema
        ))
        .await
        .unwrap();
    let mut tx = connection.transaction().await.unwrap();
    let made = soon(tx.insert_returning(&plan, [[Value::Text("x")]], ["id"])).await.unwrap();
    assert_eq!(made[0].get::<i64>("id"), Ok(2_346));
    tx.rollback().await.unwrap();
    let none: [&str; 0] = [];
    let error = soon(connection.insert_returning(&plan, [[Value::Text("x")]], none)).await;
    assert!(error.unwrap_err().to_string().contains("no columns"));
    assert_eq!(films.number("SELECT count(*) FROM {}.made").await, 2_345);
}

/// Rows that borrow, a future that goes to another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_can_be_spawned() {
    let films = Films::new().await;
    let (mut connection, plan) = (films.connection().await, films.plan());
    let batch = tokio::spawn(async move {
        let titles: Vec<String> = (0..3_000).map(|n| format!("film {n}")).collect();
        let rows = titles.iter().zip(0..).map(|(title, id)| row(id, title));
        connection.insert_many(&plan, rows, |_| ()).await?;
        let mut tx = connection.transaction().await?;
        tx.insert_many(&plan, titles.iter().map(|title| row(9_999, title)).take(1), |_| ()).await?;
        let rows = titles[..5].iter().map(|title| row(20_000 + title.len() as i64, title)).take(1);
        tx.insert_returning(&plan, rows, ["id"]).await?;
        tx.commit().await
    });
    soon(batch).await.unwrap().unwrap();
    assert_eq!(films.count().await, 3_002);
}
