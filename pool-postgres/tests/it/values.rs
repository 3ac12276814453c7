//! Statements with values, directly and through a pooler.

use std::time::Duration;

use pool_postgres::pool_sql::{Queries, Row, Value, ValueType};
use pool_postgres::{PgConnection, PgErrorKind, PgPool};
use pool_testkit::servers::{PgBouncer, Postgres};
use tokio::time::timeout;

use crate::place::Place;
use crate::soon;

const DAY: i64 = 86_400_000_000;

/// A value of each type, as it is read too, and a column that takes it.
fn all() -> Vec<(Value<'static>, &'static str)> {
    vec![
        (Value::Bool(true), "bool"),
        (Value::I64(i64::MIN), "int8"),
        (Value::I64(-32_768), "int2"),
        (Value::F64(-0.1), "float8"),
        (Value::F64(f64::INFINITY), "float8"),
        (Value::Text("it's é \\ $1 ?"), "text"),
        (Value::Bytes(&[0, 255, 92]), "bytea"),
        (Value::Decimal("-12345678901234567890.50"), "numeric"),
        (Value::Uuid([0xA7; 16]), "uuid"),
        (Value::Timestamp(-1), "timestamptz"),
        (Value::Timestamp(253_402_300_800_000_000), "timestamp"),
        (Value::Timestamp(i64::MAX), "timestamptz"),
        (Value::Timestamp(-62_135_596_800_000_001), "timestamp"),
        (Value::Date(-719_163), "date"),
        (Value::Date(i32::MIN), "date"),
        (Value::Time(DAY - 1), "time"),
        (Value::Json(r#"{"a": 1}"#), "jsonb"),
        (Value::Json("{ }"), "json"),
        (Value::Null(ValueType::I64), "int8"),
        (Value::Null(ValueType::Uuid), "uuid"),
    ]
}

/// Every one through a table and back, and compared by the server.
async fn all_come_back(connection: &mut PgConnection, table: &str) {
    for (at, (value, column)) in all().into_iter().enumerate() {
        let table = format!("{table}_{at}");
        connection.batch_execute(&format!("CREATE TABLE {table} (x {column})")).await.unwrap();
        let insert = format!("INSERT INTO {table} VALUES ($1)");
        let touched = soon(connection.execute_values(&insert, &[value])).await;
        assert_eq!(touched.unwrap(), 1, "{value:?} {column}");
        let select = format!("SELECT x FROM {table}");
        let rows = soon(connection.query_values(&select, &[])).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].value("x"), Some(value), "{value:?} {column}");
        if !value.is_null() && column != "json" {
            let find = format!("SELECT x FROM {table} WHERE x = $1");
            let found = connection.query_values(&find, &[value]).await.unwrap();
            assert_eq!(found, rows, "{value:?} {column}");
        }
        connection.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    }
}

fn one(rows: &[Row]) -> Value<'_> {
    assert_eq!(rows.len(), 1);
    rows[0].at(0).unwrap()
}

#[tokio::test]
async fn every_type_comes_back() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    // Not UTC: what goes through the session's time zone would show.
    connection.batch_execute("SET TimeZone = 'America/New_York'").await.unwrap();
    all_come_back(&mut connection, "direct").await;
    let rows = connection.query_values("SELECT $1::int8 + 1", &[Value::U64(41)]).await.unwrap();
    assert_eq!(one(&rows), Value::I64(42));
}

#[tokio::test]
async fn what_does_not_go_into_a_parameter_says_which_and_why() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    for (sql, value, text) in [
        ("SELECT 1 WHERE 1::int2 = $1", Value::I64(70_000), "$1: the I64 is out of range for int2"),
        ("SELECT 1 WHERE 1::int4 = $1", Value::Text("1"), "$1: Text does not go into int4"),
        ("SELECT $1", Value::I64(1), "and a cast says what it is: $1::int8"),
    ] {
        let error = connection.query_values(sql, &[value]).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Type);
        assert!(error.to_string().ends_with(text), "{error}");
    }
    let error = connection.query_values("SELECT $1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Params, "{error}");
    let error = connection.query_values("SELECT '1 day'::interval AS i", &[]).await.unwrap_err();
    assert!(error.to_string().contains("column `i` is interval"), "{error}");
    let several = "INSERT INTO nowhere VALUES (1); SELECT 1";
    assert!(connection.execute_values(several, &[]).await.is_err());
    let rows = connection.query_values("SELECT 1; ", &[]).await.unwrap();
    assert_eq!(one(&rows), Value::I64(1), "and the connection goes on");
}

#[tokio::test]
async fn counts_and_returning_in_a_transaction() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    assert_eq!(tx.execute_values("CREATE TEMP TABLE t (x int8)", &[]).await.unwrap(), 0);
    let insert = "INSERT INTO t VALUES ($1), ($1 + 1) RETURNING x";
    assert_eq!(tx.execute_values(insert, &[Value::I64(1)]).await.unwrap(), 2);
    assert_eq!(tx.query_values(insert, &[Value::I64(3)]).await.unwrap().len(), 2);
    assert_eq!(tx.execute_values("DELETE FROM t WHERE x > $1", &[Value::I64(1)]).await.unwrap(), 3);
    tx.rollback().await.unwrap();
    assert!(connection.query_values("SELECT * FROM t", &[]).await.is_err());
}

#[tokio::test]
async fn r14_a_dropped_future_ends_its_own_statement_only() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).build().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    for nonce in 0..5 {
        let endless = connection.query_values("SELECT pg_sleep($1)", &[Value::F64(3_600.0)]);
        timeout(Duration::from_millis(30), endless).await.unwrap_err();
        let sql = "SELECT $1::int8";
        let rows = soon(connection.query_values(sql, &[Value::I64(nonce)])).await.unwrap();
        assert_eq!(one(&rows), Value::I64(nonce));
    }
    place
        .until("NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE mine AND state = 'active')")
        .await;
}

#[tokio::test]
async fn behind_a_pooler_every_type_comes_back_too() {
    // Not UTC: what goes through the session's time zone would show.
    let server = Postgres::builder().setting("timezone", "America/New_York");
    let server = server.start().expect("PostgreSQL starts");
    let bouncer = PgBouncer::builder(&server).start().expect("PgBouncer starts");
    let pool = PgPool::connect(&format!("{}?pgbouncer=true", bouncer.url())).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    all_come_back(&mut connection, "pooled").await;
    let mut tx = connection.transaction().await.unwrap();
    let rows = tx.query_values("SELECT $1::int8 + 1", &[Value::I64(41)]).await.unwrap();
    assert_eq!(one(&rows), Value::I64(42));
    tx.commit().await.unwrap();

    // What is taken there and refused directly, and the other way round.
    let rows = connection.query_values("SELECT 7 = $1", &[Value::Text("7")]).await.unwrap();
    assert_eq!(one(&rows), Value::Bool(true));
    let rows = connection.query_values("SELECT $1", &[Value::I64(7)]).await.unwrap();
    assert_eq!(one(&rows), Value::Text("7"));
    let uuid = "SELECT gen_random_uuid() = $1";
    assert!(connection.query_values(uuid, &[Value::Bytes(&[1; 16])]).await.is_err());
    let number = "SELECT 1::int4 = $1";
    for refused in [Value::F64(1.5), Value::Decimal("1.0"), Value::I64(1 << 40)] {
        let error = connection.query_values(number, &[refused]).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Sql, "{error}");
    }
    let error = connection.query_values("SELECT $1, $2", &[Value::I64(1)]).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Params, "{error}");
    let rows = connection.query_values("SELECT 1", &[]).await.unwrap();
    assert_eq!(one(&rows), Value::I64(1), "and the connection goes on");
}
