//! Batches: all or nothing, in chunks, in bulk or by statements of many rows.

mod failing;
mod reading;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use pool_mysql::mysql_async::prelude::FromValue;
use pool_mysql::pool_sql::{Batch, BatchReport, Insert, OnConflict, Progress, Update, Value};
use pool_mysql::{MySqlConnection, MySqlError, MySqlGuard, MySqlPool};
use pool_testkit::servers::MariaDb;

use crate::place::{Place, root};
use crate::soon;

/// A pool of one connection, and a table of films. `{}` in a name is what makes it one's own.
struct Films {
    pool: MySqlPool,
    place: Place,
    own: String,
}

impl Films {
    async fn new() -> Self {
        Self::at(Place::new().await).await
    }

    /// On a server of one's own.
    async fn on(server: &MariaDb) -> Self {
        Self::at(Place::on(&root(server)).await).await
    }

    async fn at(place: Place) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let own = format!("_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let films = Self { pool: soon(place.one()).await, place, own };
        films
            .run("CREATE TABLE film{} (id bigint PRIMARY KEY, title text NOT NULL, size int) CHARSET utf8mb4")
            .await;
        films
    }

    async fn connection(&self) -> MySqlGuard {
        soon(self.pool.acquire()).await.unwrap()
    }

    fn name(&self, sql: &str) -> String {
        sql.replace("{}", &self.own)
    }

    async fn run(&self, sql: &str) {
        soon(self.connection().await.query_drop(self.name(sql))).await.unwrap();
    }

    fn insert_into(&self, table: &str, columns: &[&str]) -> Insert {
        Insert::into(&self.name(table)).unwrap().columns(columns).unwrap()
    }

    fn plan(&self) -> Insert {
        self.insert_into("film{}", &["id", "title", "size"])
    }

    fn update(&self, table: &str, key: &str, columns: &[&str]) -> Update {
        Update::table(&self.name(table)).unwrap().key(key).unwrap().columns(columns).unwrap()
    }

    /// What a number is, asked behind the pool's back.
    async fn number(&self, sql: &str) -> i64 {
        let own = self.name(sql).replace("FROM ", &format!("FROM {}.", self.place.name));
        soon(self.place.ask(&own)).await
    }

    async fn count(&self) -> i64 {
        self.number("SELECT count(*) FROM film{}").await
    }
}

async fn ask<T: FromValue + Send + 'static>(connection: &mut MySqlConnection, sql: &str) -> T {
    soon(connection.query_first(sql)).await.unwrap().unwrap()
}

fn row(id: i64, title: &str) -> [Value<'_>; 3] {
    [Value::I64(id), Value::Text(title), Value::from(Some(id % 1_000))]
}

/// The same, but every other row's size is a text: no column of one type, so no bulk.
fn mixed(id: i64, title: &str) -> [Value<'_>; 3] {
    let size = if id % 2 == 0 { Value::I64(7) } else { Value::Text("7") };
    [Value::I64(id), Value::Text(title), size]
}

/// So many rows, and how far it said that it was.
async fn insert(
    connection: &mut MySqlConnection,
    plan: &Insert,
    ids: std::ops::Range<i64>,
    row: fn(i64, &str) -> [Value<'_>; 3],
) -> (Result<BatchReport, MySqlError>, Vec<Progress>) {
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
    for (count, split) in
        [(0, 0), (1, 1), (2, 1), (999, 8), (1_000, 1), (1_001, 2), (2_437, 8), (20_000, 20)]
    {
        // In bulk, one for each chunk: a thousand, then eight.
        let (bulk, then) = match connection.server().is_mariadb {
            true => (count.min(1) + ((count - 1_000).max(0) + 7_999) / 8_000, 8_000),
            false => (split, 1_000),
        };
        let row = row as fn(i64, &str) -> [Value<'_>; 3];
        for (row, statements, then) in [(row, bulk, then), (mixed, split, 1_000)] {
            let (done, told) =
                insert(&mut connection, &films.plan(), from..from + count, row).await;
            let report = done.unwrap();
            assert_eq!((report.rows, report.affected), (count as u64, count as u64));
            assert_eq!(report.statements, statements as u64, "{count} rows");
            let mut wanted = Progress::default();
            for told in &told {
                let most = if wanted.rows_done == 0 { 1_000 } else { then };
                wanted.add_chunk((count as u64 - wanted.rows_done).min(most) as usize);
                assert_eq!(*told, wanted);
            }
            assert_eq!(wanted.rows_done, count as u64);
            from += count;
        }
    }
    assert_eq!(films.count().await, from);
    // One for a bulk, and one for each power of two and 1,000.
    assert!(connection.cached_statements() <= 12, "{}", connection.cached_statements());
    let titles = "SELECT count(*) FROM film{} WHERE title = 'Grüße ''x'' \\\\N\t\u{1F9E8}'";
    assert_eq!(ask::<i64>(&mut connection, &films.name(titles)).await, from);
}

#[tokio::test]
async fn as_many_values_as_a_statement_takes() {
    let films = Films::new().await;
    let names: Vec<String> = (0..900).map(|n| format!("c{n}")).collect();
    let columns: Vec<String> = names.iter().map(|name| format!("{name} int")).collect();
    films.run(&format!("CREATE TABLE wide{{}} ({})", columns.join(", "))).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = films.insert_into("wide{}", &names);
    let mut connection = films.connection().await;
    for odd in [Value::I64(7), Value::Text("7")] {
        let rows = (0..200).map(|n| [if n == 1 { odd } else { Value::I64(n) }; 900]);
        let mut told = Vec::new();
        let done = connection.insert_many(&plan, rows, |so_far| told.push(so_far.rows_done));
        assert_eq!(soon(done).await.unwrap().rows, 200);
        // In bulk the bytes are the limit, after the first chunk.
        match odd {
            Value::I64(_) if films.place.is_mariadb => assert_eq!(told, [72, 200]),
            _ => assert_eq!(told, [72, 144, 200], "65,535 / 900 is 72"),
        }
    }
    assert_eq!(films.number("SELECT sum(c899) FROM wide{}").await, 2 * (199 * 100 - 1 + 7));
}

#[tokio::test]
async fn large_rows_make_chunks_of_their_own() {
    let films = Films::new().await;
    films.run("ALTER TABLE film{} MODIFY title longtext").await;
    let mut connection = films.connection().await;
    let title = "x".repeat(700_000);
    let mut told = Vec::new();
    let plan = films.plan();
    let rows = (0..5).map(|id| row(id, &title));
    let report = connection.insert_many(&plan, rows, |so_far| told.push(so_far.rows_done));
    assert_eq!(soon(report).await.unwrap().affected, 5);
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!(films.number("SELECT sum(length(title)) FROM film{}").await, 3_500_000);
}

#[tokio::test]
async fn conflicts_fail_or_are_ignored_or_update() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let (plan, upsert) = (films.plan(), OnConflict::update(["id"]).unwrap());
    let ignore = films.plan().on_conflict(OnConflict::Ignore).unwrap();
    let upsert = films.plan().on_conflict(upsert).unwrap();
    for row in [row, mixed] as [fn(i64, &str) -> [Value<'_>; 3]; 2] {
        films_empty(&mut connection, &films).await;
        insert(&mut connection, &plan, 0..2_500, row).await.0.unwrap();
        let (done, told) = insert(&mut connection, &ignore, 2_000..4_000, row).await;
        let report = done.unwrap();
        assert_eq!((report.rows, report.affected, told.len()), (2_000, 1_500, 2));

        let rows = (3_000..6_000).map(|id| row(id, "new"));
        let report = soon(connection.insert_many(&upsert, rows, |_| ())).await.unwrap();
        assert_eq!((report.rows, report.affected), (3_000, 1_000 * 2 + 2_000));
        assert_eq!(films.count().await, 6_000);
        assert_eq!(films.number("SELECT count(*) FROM film{} WHERE title = 'new'").await, 3_000);
        // What is no conflict is not ignored.
        let rows = (9_000..9_010).map(|id| [Value::I64(id), Value::Text("x"), Value::I64(1 << 40)]);
        soon(connection.insert_many(&ignore, rows, |_| ())).await.unwrap_err();
        assert_eq!(films.count().await, 6_000);
    }
}

async fn films_empty(connection: &mut MySqlConnection, films: &Films) {
    soon(connection.query_drop(films.name("TRUNCATE film{}"))).await.unwrap();
}

#[tokio::test]
async fn updates_go_by_key() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    insert(&mut connection, &films.plan(), 0..3_000, row).await.0.unwrap();
    soon(connection.query_drop(films.name("ALTER TABLE film{} ADD n decimal(20)"))).await.unwrap();
    let update = films.update("film{}", "id", &["title", "n"]);
    // The second ones have no integer type in common.
    for (title, odd) in [("new", Value::I64(-1)), ("other", Value::U64(u64::MAX))] {
        let rows = (1_000..4_000).map(|id| {
            let n = if id % 2 == 0 { odd } else { Value::I64(-1) };
            [Value::I64(id), Value::Text(title), n]
        });
        let mut told = Vec::new();
        let report = connection.update_many(&update, rows, |so_far| told.push(so_far.rows_done));
        let report = soon(report).await.unwrap();
        assert_eq!((report.rows, report.affected, report.statements), (3_000, 2_000, 12));
        assert_eq!((told.len(), told[0], told[11]), (12, 250, 3_000));
        let sql = format!("SELECT count(*) FROM film{{}} WHERE title = '{title}' AND id >= 1000");
        assert_eq!(films.number(&sql).await, 2_000);
    }
    let sql = "SELECT count(*) FROM film{} WHERE n = if(id % 2, -1, 18446744073709551615)";
    assert_eq!(films.number(sql).await, 2_000);
    let none = connection.update_many(&update, [] as [[Value<'_>; 3]; 0], |_| ());
    assert_eq!(soon(none).await.unwrap().statements, 0);
}

/// Where a join would compare as floating-point numbers, it is none.
#[tokio::test]
async fn an_update_finds_the_row_and_not_its_neighbour() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TABLE k{} (k decimal(30, 1) PRIMARY KEY, c text, b blob); \
             INSERT INTO k{} VALUES (9007199254740992, '', ''), (9007199254740993, '', ''), \
             (18014398509481984000000.5, '', '')",
        )
        .await;
    let mut connection = films.connection().await;
    let update = films.update("k{}", "k", &["c", "b"]);
    let keys = [
        Value::U64(9_007_199_254_740_992),
        Value::Text("9007199254740993"),
        Value::Decimal("18014398509481984000000.5"),
    ];
    let bytes = [255_u8, 0, 254];
    let rows = keys.iter().zip(["one", "two", "three"]).map(|(key, c)| {
        [*key, Value::Text(c), if c == "two" { Value::F64(0.5) } else { Value::Bytes(&bytes) }]
    });
    let report = soon(connection.update_many(&update, rows, |_| ())).await.unwrap();
    assert_eq!((report.affected, report.statements), (3, 3), "row by row");
    assert_eq!(
        films.number("SELECT count(*) FROM k{} WHERE c = 'one' AND k < 9007199254740993").await,
        1
    );
    assert_eq!(films.number("SELECT count(*) FROM k{} WHERE c = 'two' AND b = '0.5'").await, 1);

    // By a join: as the column's text, and as bytes that are no text.
    films_key(&mut connection, &films).await;
    let update = films.update("s{}", "k", &["c", "n"]);
    let rows = [
        [Value::Text("ÄPFEL"), Value::Bytes(&bytes), Value::U64(u64::MAX)],
        [Value::Text("b"), Value::Bytes(b""), Value::I64(-1)],
        [Value::Text("none"), Value::from(None::<&[u8]>), Value::from(None::<u64>)],
    ];
    let report = soon(connection.update_many(&update, rows, |_| ())).await.unwrap();
    assert_eq!((report.affected, report.statements), (2, 2), "of two and of one row");
    assert_eq!(films.number("SELECT count(*) FROM s{} WHERE c = x'ff00fe' AND k <> 'b'").await, 1);
}

async fn films_key(connection: &mut MySqlConnection, films: &Films) {
    let sql = "CREATE TABLE s{} (k varchar(9) COLLATE utf8mb4_unicode_ci PRIMARY KEY, c blob, \
               n decimal(20)) \
               CHARSET utf8mb4; INSERT INTO s{} VALUES ('äpfel', '', 0), ('b', '', 0)";
    soon(connection.query_drop(films.name(sql))).await.unwrap();
}

#[tokio::test]
async fn triggers_run_and_odd_names_are_names() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TABLE `Odd {} ``t?:a` (`a.b ? :c` int PRIMARY KEY, `set` text, n int DEFAULT 5); \
             CREATE TABLE log{} (id int); \
             CREATE TRIGGER log{} AFTER INSERT ON `Odd {} ``t?:a` FOR EACH ROW \
             INSERT INTO log{} VALUES (NEW.`a.b ? :c`)",
        )
        .await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("Odd {} `t?:a", &["a.b ? :c", "set"]);
    for odd in [Value::Text("x"), Value::I64(1)] {
        let rows =
            (0..1_500).map(|id| [Value::I64(id), if id == 7 { odd } else { Value::Text("x") }]);
        let report = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();
        assert_eq!((report.rows, report.affected), (1_500, 1_500));
        soon(connection.query_drop(films.name("DELETE FROM `Odd {} ``t?:a`"))).await.unwrap();
    }
    assert_eq!(films.number("SELECT count(*) FROM log{}").await, 3_000);
    for mode in ["ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES", "ANSI"] {
        soon(connection.query_drop(format!("SET sql_mode = '{mode}'"))).await.unwrap();
        let rows = (0..3).map(|id| [Value::I64(id), Value::Text("a\\'\"")]);
        soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();
        let sql = films.name("DELETE FROM `Odd {} ``t?:a` WHERE length(`set`) = 4");
        soon(connection.query_drop(sql)).await.unwrap();
        assert_eq!(connection.affected_rows(), 3);
    }
}

/// Rows that borrow, a future that goes to another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_can_be_spawned() {
    let films = Films::new().await;
    let (mut connection, plan) = (films.connection().await, films.plan());
    let update = films.update("film{}", "id", &["title"]);
    let batch = tokio::spawn(async move {
        let titles: Vec<String> = (0..3_000).map(|n| format!("film {n}")).collect();
        let rows = titles.iter().zip(0..).map(|(title, id)| row(id, title));
        connection.insert_many(&plan, rows, |_| ()).await?;
        let mut tx = connection.transaction().await?;
        tx.insert_many(&plan, titles.iter().map(|title| row(9_999, title)).take(1), |_| ()).await?;
        let rows = titles.iter().zip(0..).map(|(title, id)| [Value::I64(id), Value::from(title)]);
        tx.update_many(&update, rows, |_| ()).await?;
        tx.commit().await
    });
    soon(batch).await.unwrap().unwrap();
    assert_eq!(films.count().await, 3_001);
}
