//! Tables where a COPY is no way to insert, or where columns are not plain.

use pool_postgres::pool_sql::{Batch, Insert, SelectByIds, Update, Value};
use pool_postgres::{PgErrorKind, PgPool, Profile};
use pool_testkit::servers::PgBouncer;

use super::{Films, insert, row};
use crate::place::{Place, shared};
use crate::soon;

/// Rows for more than two chunks.
const MANY: i64 = 2_500;

#[tokio::test]
async fn policies_are_kept() {
    let films = Films::new().await;
    films
        .run(
            "ALTER TABLE {}.film ENABLE ROW LEVEL SECURITY; \
             ALTER TABLE {}.film FORCE ROW LEVEL SECURITY; \
             CREATE POLICY small ON {}.film USING (true) WITH CHECK (id < 3000)",
        )
        .await;
    let mut connection = films.connection().await;
    let (done, _) = insert(&mut connection, &films.plan(), 0..MANY).await;
    assert_eq!(done.unwrap().statements, 3, "no COPY");
    let (done, _) = insert(&mut connection, &films.plan(), MANY..2 * MANY).await;
    assert_eq!(done.unwrap_err().kind(), PgErrorKind::Denied);
    assert_eq!(films.count().await, MANY);
}

#[tokio::test]
async fn views_and_rules_are_written_through() {
    let films = Films::new().await;
    films
        .run(
            "CREATE VIEW {}.shown AS SELECT id, title, size FROM {}.film; \
             CREATE TABLE {}.log (id int8); \
             CREATE TABLE {}.ruled (id int8, title text, size int4); \
             CREATE RULE log AS ON INSERT TO {}.ruled DO ALSO INSERT INTO {}.log VALUES (NEW.id)",
        )
        .await;
    let mut connection = films.connection().await;
    let columns = ["id", "title", "size"];
    for table in ["shown", "ruled"] {
        let (done, _) = insert(&mut connection, &films.insert_into(table, &columns), 0..MANY).await;
        assert_eq!(done.unwrap().statements, 3, "no COPY");
    }
    assert_eq!(films.count().await, MANY);
    assert_eq!(films.number("SELECT count(*) FROM {}.log").await, MANY);
}

#[tokio::test]
async fn partitions_and_triggers_and_odd_names_are_copied_to() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TABLE {}.\"Odd \"\"t\" (id int8, \"a.b c\" text) PARTITION BY HASH (id); \
             CREATE TABLE {}.p0 PARTITION OF {}.\"Odd \"\"t\" FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
             CREATE TABLE {}.p1 PARTITION OF {}.\"Odd \"\"t\" FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
             CREATE FUNCTION {}.skip() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END'; \
             CREATE TRIGGER skip BEFORE INSERT ON {}.\"Odd \"\"t\" FOR EACH ROW \
             EXECUTE FUNCTION {}.skip()",
        )
        .await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("Odd \"t", &["id", "a.b c"]);
    let rows = (0..MANY).map(|id| [Value::I64(id), Value::Text("x")]);
    let report = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();
    assert_eq!((report.rows, report.affected, report.statements), (2_500, 1_250, 2));
}

#[tokio::test]
async fn generated_and_default_columns_fill_themselves() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TABLE {}.auto (id int8 GENERATED ALWAYS AS IDENTITY, name text, \
             at timestamptz DEFAULT now(), twice text GENERATED ALWAYS AS (name || name) STORED)",
        )
        .await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("auto", &["name"]);
    for rows in [3, MANY] {
        let rows = (0..rows).map(|_| [Value::Text("ab")]);
        soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();
    }
    let sql = "SELECT count(*) FROM {}.auto WHERE twice = 'abab' AND at IS NOT NULL AND id > 0";
    assert_eq!(films.number(sql).await, MANY + 3);
    // Refused whatever the number of rows, though a COPY would write an identity.
    for (column, value) in [("twice", Value::Text("x")), ("id", Value::I64(7))] {
        for rows in [3, MANY] {
            let rows = (0..rows).map(|_| [value]);
            let plan = films.insert_into("auto", &[column]);
            let error = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap_err();
            assert_eq!(error.code().map(|code| code.code()), Some("428C9"), "{error}");
        }
    }
}

#[tokio::test]
async fn enums_and_domains_take_what_they_are_made_of() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TYPE {}.\"Mood\" AS ENUM ('sad', 'so so'); \
             CREATE DOMAIN {}.small AS int4 CHECK (VALUE < 3000); \
             CREATE DOMAIN {}.smaller AS {}.small NOT NULL; \
             CREATE TABLE {}.own (mood {}.\"Mood\", n {}.smaller)",
        )
        .await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("own", &["mood", "n"]);
    let rows = |ids: std::ops::Range<i64>| ids.map(|id| [Value::Text("so so"), Value::I64(id)]);
    for ids in [0..3, 3..MANY] {
        soon(connection.insert_many(&plan, rows(ids), |_| ())).await.unwrap();
    }
    for ids in [3_000..3_001, 1_000..4_000] {
        let error = soon(connection.insert_many(&plan, rows(ids), |_| ())).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Constraint);
    }
    for count in [1, MANY] {
        let rows = (0..count).map(|id| [Value::Text("happy"), Value::I64(id)]);
        let error = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("22P02"), "{error}");
    }
    let update = Update::table(films.table("own").as_str()).unwrap();
    let update = update.key("n").unwrap().columns(["mood"]).unwrap();
    let rows = (0..10).map(|id| [Value::I64(id), Value::Text("sad")]);
    let report = soon(connection.update_many(&update, rows, |_| ())).await.unwrap();
    assert_eq!(report.affected, 10);
    assert_eq!(films.number("SELECT count(*) FROM {}.own WHERE mood = 'sad'").await, 10);
}

/// A COPY that fails at its beginning would cost the connection.
#[tokio::test]
async fn who_may_not_write_is_told_and_keeps_the_connection() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let pid = "SELECT pg_backend_pid()";
    let before: i32 = soon(connection.query_one(pid, &[])).await.unwrap().get(0);
    soon(connection.batch_execute("BEGIN READ ONLY")).await.unwrap();
    let (done, _) = insert(&mut connection, &films.plan(), 0..MANY).await;
    assert_eq!(done.unwrap_err().kind(), PgErrorKind::ReadOnly);
    soon(connection.batch_execute("ROLLBACK")).await.unwrap();
    let plan = Insert::into("pg_catalog.pg_am").unwrap().columns(["amname"]).unwrap();
    let rows = (0..MANY).map(|_| [Value::Text("x")]);
    let error = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Denied, "{error}");
    insert(&mut connection, &films.plan(), 0..MANY).await.0.unwrap();
    let after: i32 = soon(connection.query_one(pid, &[])).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_column_that_no_value_fits_is_named() {
    let films = Films::new().await;
    films.run("CREATE TABLE {}.odd (id int8, tags text[], net inet)").await;
    let mut connection = films.connection().await;
    for (column, ty) in [("tags", "_text"), ("net", "inet")] {
        let plan = films.insert_into("odd", &["id", column]);
        let rows = [[Value::I64(1), Value::Text("x")]];
        let error = soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Type);
        let begin = format!("column `{column}` is {ty}, which a batch cannot write: leave");
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
    let missing = films.insert_into("odd", &["nope"]);
    let error = soon(connection.insert_many(&missing, [[Value::I64(1)]], |_| ())).await;
    assert_eq!(error.unwrap_err().code().map(|code| code.code()), Some("42703"));
    let none = Insert::into("film").unwrap();
    let error = soon(connection.insert_many(&none, [[Value::I64(1)]], |_| ())).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Plan);
    insert(&mut connection, &films.plan(), 0..10).await.0.unwrap();
}

/// More columns than a function has arguments.
#[tokio::test]
async fn a_table_may_be_wide() {
    let films = Films::new().await;
    let names: Vec<String> = (0..500).map(|n| format!("c{n}")).collect();
    let columns: Vec<String> = names.iter().map(|name| format!("{name} int4")).collect();
    films.run(&format!("CREATE TABLE {{}}.wide ({})", columns.join(", "))).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = films.insert_into("wide", &names);
    let mut connection = films.connection().await;
    for rows in [10, MANY] {
        let rows = (0..rows).map(|id| vec![Value::I64(id); 500]);
        soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();
    }
    assert_eq!(films.number("SELECT sum(c499)::int8 FROM {}.wide").await, 45 + 2_499 * 1_250);
}

/// A table may change between two batches of a connection.
#[tokio::test]
async fn types_are_those_of_now() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    insert(&mut connection, &films.plan(), 0..MANY).await.0.unwrap();
    let alter = "ALTER TABLE {}.film ALTER size TYPE text";
    let alter = alter.replace("{}", &films.schema);
    films.place.admin.0.batch_execute(&alter).await.unwrap();
    for ids in [MANY..MANY + 1, 5_000..9_000] {
        let rows = ids.map(|id| [Value::I64(id), Value::Text("x"), Value::Text("large")]);
        soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap();
    }
    assert_eq!(films.number("SELECT count(*) FROM {}.film WHERE size = 'large'").await, 4_001);
}

#[tokio::test]
async fn behind_a_pooler_batches_work_too() {
    let Some(pooler) = PgBouncer::for_test(shared()) else { return };
    let place = Place::on(shared(), &pooler.url()).await;
    let pool: PgPool = place.builder().max_size(1).profile(Profile::Pooler).build().await.unwrap();
    let films = Films::on(place, pool).await;
    let mut connection = films.connection().await;
    for ids in [0..10, 10..5_000] {
        insert(&mut connection, &films.plan(), ids).await.0.unwrap();
    }
    let (done, _) = insert(&mut connection, &films.plan(), 4_000..9_000).await;
    assert_eq!(done.unwrap_err().kind(), PgErrorKind::Constraint);
    assert_eq!(films.count().await, 5_000);
    let select = SelectByIds::from(films.table("film").as_str()).unwrap();
    let select = select.id_column("id").unwrap().columns(["title"]).unwrap();
    let ids = [3, 9_999].map(Value::I64);
    for _ in 0..2 {
        let found = soon(connection.select_by_ids(&select, &ids)).await.unwrap();
        assert_eq!((found.rows.len(), found.missing.len()), (1, 1));
    }
    let mut tx = soon(connection.transaction()).await.unwrap();
    let made = soon(tx.insert_returning(&films.plan(), [row(6_000, "x")], ["id"])).await.unwrap();
    assert_eq!(made[0].get::<i64>("id"), Ok(6_000));
    assert_eq!(soon(tx.select_by_ids(&select, &ids)).await.unwrap().rows.len(), 1);
    soon(tx.commit()).await.unwrap();
    assert_eq!(films.count().await, 5_001);
}
