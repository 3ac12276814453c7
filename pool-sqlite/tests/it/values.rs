//! Statements with values.

use std::time::Duration;

use pool_sqlite::SqliteErrorKind;
use pool_sqlite::pool_sql::{Queries, Value, ValueType};
use tokio::time::timeout;

use super::{ENDLESS, Place, run, soon};

#[tokio::test]
async fn values_come_back_as_what_sqlite_has_for_them() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut reader = pool.read().await.unwrap();
    for (value, read) in [
        (Value::Null(ValueType::Text), Value::Null(ValueType::Unknown)),
        (Value::Bool(true), Value::I64(1)),
        (Value::I64(i64::MIN), Value::I64(i64::MIN)),
        (Value::U64(i64::MAX as u64), Value::I64(i64::MAX)),
        (Value::F64(-0.1), Value::F64(-0.1)),
        (Value::F64(f64::INFINITY), Value::F64(f64::INFINITY)),
        (Value::Text("é\0'"), Value::Text("é\0'")),
        (Value::Bytes(&[0, 255]), Value::Bytes(&[0, 255])),
        (Value::Decimal("1.50"), Value::Text("1.50")),
        (Value::Uuid([7; 16]), Value::Bytes(&[7; 16])),
        (Value::Timestamp(-1), Value::I64(-1)),
        (Value::Date(-719_162), Value::I64(-719_162)),
        (Value::Time(5), Value::I64(5)),
        (Value::Json("{}"), Value::Text("{}")),
    ] {
        let rows = reader.query_values("SELECT ?1, ?1 AS again", &[value]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].at(0), rows[0].value("again")), (Some(read), Some(read)), "{value:?}");
    }
}

#[tokio::test]
async fn what_would_be_changed_is_refused() {
    let place = Place::new();
    let mut reader = place.pool().await.read().await.unwrap();
    for value in [Value::U64(1 << 63), Value::F64(f64::NAN)] {
        let error = reader.query_values("SELECT ?1", &[value]).await.unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::Type);
        assert!(error.to_string().contains("value 1: SQLite stores no"), "{error}");
    }
    let error = reader.query_values("SELECT CAST(x'FF' AS TEXT)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Type, "{error}");
}

#[tokio::test]
async fn a_text_is_one_statement_with_as_many_values() {
    let place = Place::new();
    let mut writer = place.pool().await.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x)").await;
    for sql in ["INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "SELECT 1; garbage"] {
        assert!(writer.execute_values(sql, &[]).await.is_err(), "{sql}");
    }
    for (sql, values) in [("SELECT ?1", &[][..]), ("SELECT 1", &[Value::I64(1)])] {
        let error = writer.query_values(sql, values).await.unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::Params, "{error}");
    }
    assert_eq!(writer.query_values("SELECT * FROM t; -- no more", &[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_text_without_a_statement_does_nothing() {
    let place = Place::new();
    let mut writer = place.pool().await.write().await.unwrap();
    run(&mut writer, "CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    for sql in ["", " \n", ";", "-- nothing", "/* nothing */ ;"] {
        assert_eq!(writer.query_values(sql, &[]).await.unwrap(), [], "{sql:?}");
        assert_eq!(writer.execute_values(sql, &[]).await.unwrap(), 0, "{sql:?}");
        let error = writer.query_values(sql, &[Value::I64(1)]).await.unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::Params, "{sql:?}: {error}");
    }
    // A statement without columns that writes nothing is one all the same.
    let mut tx = writer.begin().await.unwrap();
    tx.execute_values("SAVEPOINT a", &[]).await.unwrap();
    assert_eq!(tx.execute_values("-- nothing", &[]).await.unwrap(), 0);
    tx.execute_values("RELEASE a", &[]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_count_is_of_the_statement_itself() {
    let place = Place::new();
    let mut writer = place.pool().await.write().await.unwrap();
    for (sql, touched) in [
        ("CREATE TABLE t (x)", 0),
        ("INSERT INTO t VALUES (1), (2), (3) RETURNING x", 3),
        ("CREATE TABLE u (x)", 0),
        ("SELECT * FROM t", 0),
        ("UPDATE t SET x = x + 10", 3),
        ("DELETE FROM t WHERE x > 11", 2),
        ("DELETE FROM t WHERE x > 11", 0),
    ] {
        assert_eq!(writer.execute_values(sql, &[]).await.unwrap(), touched, "{sql}");
    }
    let rows = writer.query_values("INSERT INTO t VALUES (?1) RETURNING x", &[Value::I64(7)]).await;
    assert_eq!(rows.unwrap()[0].get::<i64>("x"), Ok(7));
}

#[tokio::test]
async fn r14_a_dropped_future_ends_its_own_statement_only() {
    let place = Place::new();
    let mut reader = place.pool().await.read().await.unwrap();
    for _ in 0..10 {
        let endless = reader.query_values(ENDLESS, &[]);
        timeout(Duration::from_millis(5), endless).await.unwrap_err();
        let rows = soon(reader.query_values("SELECT ?1", &[Value::I64(1)])).await.unwrap();
        assert_eq!(rows[0].at(0), Some(Value::I64(1)));
    }
}
