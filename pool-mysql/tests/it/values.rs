//! Statements with values.

use std::time::Duration;

use pool_mysql::pool_sql::{Queries, Row, Value, ValueType};
use pool_mysql::{MySqlConnection, MySqlErrorKind};
use tokio::time::timeout;

use crate::place::Place;
use crate::soon;

fn one(rows: &[Row]) -> Value<'_> {
    assert_eq!(rows.len(), 1);
    rows[0].at(0).unwrap()
}

async fn tell(connection: &mut MySqlConnection, sql: &str) {
    connection.query_drop(sql).await.unwrap();
}

#[tokio::test]
async fn every_type_comes_back() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    let json = if place.is_mariadb { Value::Text("[1]") } else { Value::Json("[1]") };
    for (value, column, read) in [
        (Value::Bool(true), "bool", Value::I64(1)),
        (Value::I64(i64::MIN), "bigint", Value::I64(i64::MIN)),
        (Value::U64(u64::MAX), "bigint unsigned", Value::U64(u64::MAX)),
        (Value::F64(-0.1), "double", Value::F64(-0.1)),
        (Value::Text("it's é \\ $1 ?"), "text", Value::Text("it's é \\ $1 ?")),
        (Value::Bytes(&[0, 255]), "blob", Value::Bytes(&[0, 255])),
        (Value::Decimal("-1234567890.50"), "decimal(20,2)", Value::Decimal("-1234567890.50")),
        (Value::Uuid([0xA7; 16]), "binary(16)", Value::Bytes(&[0xA7; 16])),
        (Value::Timestamp(-1), "datetime(6)", Value::Timestamp(-1)),
        (Value::Date(-719_162), "date", Value::Date(-719_162)),
        (Value::Time(-1), "time(6)", Value::Time(-1)),
        (Value::Json("[1]"), "json", json),
        (Value::Null(ValueType::Text), "bigint", Value::Null(ValueType::I64)),
    ] {
        tell(&mut connection, &format!("CREATE TABLE t (x {column})")).await;
        let insert = "INSERT INTO t VALUES (?)";
        assert_eq!(connection.execute_values(insert, &[value]).await.unwrap(), 1, "{value:?}");
        let rows = connection.query_values("SELECT x FROM t", &[]).await.unwrap();
        assert_eq!(rows[0].value("x"), Some(read), "{value:?} {column}");
        if !value.is_null() && column != "json" {
            let found = connection.query_values("SELECT x FROM t WHERE x = ?", &[value]).await;
            assert_eq!(found.unwrap(), rows, "{value:?} {column}");
        }
        tell(&mut connection, "DROP TABLE t").await;
    }
}

/// One statement, prepared once, with values of all types in turn: none is read as the one before.
#[tokio::test]
async fn a_prepared_statement_takes_each_value_by_its_own_type() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    let digits = "0.12345678901234567890";
    for _ in 0..2 {
        for (value, text) in [
            (Value::I64(-7), "-7"),
            (Value::Text("seven"), "seven"),
            (Value::U64(u64::MAX), "18446744073709551615"),
            (Value::F64(0.5), "0.5"),
            (Value::Decimal(digits), digits),
            (Value::Timestamp(1), "1970-01-01 00:00:00.000001"),
        ] {
            let rows = connection.query_values("SELECT CONCAT(?)", &[value]).await.unwrap();
            let read = match one(&rows) {
                Value::Text(text) => text.to_owned(),
                Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(read, text, "{value:?}");
        }
    }
    assert_eq!(connection.cached_statements(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_said_and_the_connection_goes_on() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    let error = connection.query_values("SELECT ?", &[Value::F64(f64::NAN)]).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Type);
    assert!(error.to_string().contains("value 1: an F64"), "{error}");
    for (sql, values) in [("SELECT ?", &[][..]), ("SELECT 1", &[Value::I64(1)])] {
        let error = connection.query_values(sql, values).await.unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::Params, "{error}");
    }
    let several = connection.execute_values("DO 1; DO 2", &[]).await.unwrap_err();
    assert_eq!(several.kind(), MySqlErrorKind::Sql, "{several}");
    let rows = connection.query_values("SELECT ':a', ?;", &[Value::I64(1)]).await.unwrap();
    assert_eq!(rows[0].at(1), Some(Value::I64(1)));
}

#[tokio::test]
async fn counts_and_what_a_statement_leaves_in_the_session() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    for (sql, touched) in [
        ("CREATE TABLE t (x int)", 0),
        ("INSERT INTO t VALUES (1), (2), (3)", 3),
        ("UPDATE t SET x = 3 WHERE x > 1", 1), // one was 3 before
        ("DELETE FROM t", 3),
    ] {
        assert_eq!(connection.execute_values(sql, &[]).await.unwrap(), touched, "{sql}");
    }
    connection.execute_values("SET @left = ?", &[Value::I64(7)]).await.unwrap();
    drop(connection);
    let mut next = soon(pool.acquire()).await.unwrap();
    let rows = next.query_values("SELECT @left", &[]).await.unwrap();
    assert!(one(&rows).is_null(), "a session is inherited");
}

#[tokio::test]
async fn r14_after_a_dropped_future_nothing_more_is_answered() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    let endless = tx.query_values("SELECT SLEEP(?)", &[Value::I64(3_600)]);
    timeout(Duration::from_millis(30), endless).await.unwrap_err();
    let refused = tx.query_values("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(refused.kind(), MySqlErrorKind::Abandoned);
    drop(tx);
    drop(connection);
    let mut next = soon(pool.acquire()).await.unwrap();
    let rows = next.query_values("SELECT ?", &[Value::I64(2)]).await.unwrap();
    assert_eq!(one(&rows), Value::I64(2));
    place.until_quiet().await;
}

#[tokio::test]
async fn nothing_is_run_once_the_transaction_has_ended() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = pool.acquire().await.unwrap();
    tell(&mut connection, "CREATE TABLE t (x int)").await;
    let mut tx = connection.transaction().await.unwrap();
    tx.execute_values("CREATE TABLE u (x int)", &[]).await.unwrap();
    let refused = tx.execute_values("INSERT INTO t VALUES (1)", &[]).await.unwrap_err();
    assert_eq!(refused.kind(), MySqlErrorKind::TransactionOver);
}
