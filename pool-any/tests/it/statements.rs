//! Statements and values on every database.

use pool_any::{Backend, Dialect, OwnedValue, Value, ValueType};

use crate::{Place, count, on_each};

on_each! {
    every_type_comes_back
    placeholders_may_be_repeated_and_in_any_order
    what_only_looks_like_a_placeholder_stays
    statements_say_how_many_rows_they_touched
    one_row_is_one_row
    a_statement_can_be_spawned_with_what_it_borrows
    several_statements_without_values
}

/// A column for each type, and what a value of it comes back as: itself, but where the database has no
/// such type.
fn columns(backend: Backend) -> Vec<(Value<'static>, &'static str, OwnedValue)> {
    let (uuid, digits) = ([0xA7; 16], "-1234567890.50");
    let (moment, day, noon) = (-1, -719_162, 43_200_000_000);
    let same = |value: Value<'static>, column| (value, column, value.into_owned());
    let other =
        |value: Value<'static>, column, read: Value<'static>| (value, column, read.into_owned());
    let everywhere = |text, blob, double| {
        vec![
            same(Value::I64(i64::MIN), "bigint"),
            same(Value::F64(-0.1), double),
            same(Value::Text("it's é \\ $1 ? :x"), text),
            same(Value::Bytes(&[0, 255, 92]), blob),
        ]
    };
    let (mut all, own) = match backend {
        Backend::Sqlite => (
            everywhere("text", "blob", "double"),
            vec![
                other(Value::Bool(true), "boolean", Value::I64(1)),
                other(Value::U64(7), "integer", Value::I64(7)),
                other(Value::Decimal(digits), "text", Value::Text(digits)),
                other(Value::Uuid(uuid), "blob", Value::Bytes(&[0xA7; 16])),
                other(Value::Timestamp(moment), "integer", Value::I64(moment)),
                other(Value::Date(day), "integer", Value::I64(day.into())),
                other(Value::Time(noon), "integer", Value::I64(noon)),
                other(Value::Json("[1]"), "text", Value::Text("[1]")),
                other(Value::Null(ValueType::I64), "bigint", Value::Null(ValueType::Unknown)),
            ],
        ),
        Backend::Postgres => (
            everywhere("text", "bytea", "float8"),
            vec![
                same(Value::Bool(true), "boolean"),
                other(Value::U64(7), "bigint", Value::I64(7)),
                other(Value::U64(u64::MAX), "numeric", Value::Decimal("18446744073709551615")),
                same(Value::Decimal(digits), "numeric"),
                same(Value::Uuid(uuid), "uuid"),
                same(Value::Timestamp(moment), "timestamptz"),
                same(Value::Date(day), "date"),
                same(Value::Time(noon), "time"),
                same(Value::Json("[1]"), "jsonb"),
                same(Value::Null(ValueType::I64), "bigint"),
            ],
        ),
        _ => (
            everywhere("text", "blob", "double"),
            vec![
                other(Value::Bool(true), "boolean", Value::I64(1)),
                same(Value::U64(u64::MAX), "bigint unsigned"),
                same(Value::Decimal(digits), "decimal(20, 2)"),
                other(Value::Uuid(uuid), "binary(16)", Value::Bytes(&[0xA7; 16])),
                same(Value::Timestamp(moment), "datetime(6)"),
                same(Value::Date(day), "date"),
                same(Value::Time(noon), "time(6)"),
                other(Value::Json("[1]"), "json", Value::Text("[1]")),
                same(Value::Null(ValueType::I64), "bigint"),
            ],
        ),
    };
    all.extend(own);
    all
}

async fn every_type_comes_back(place: Place) {
    let pool = place.pool().await;
    let mut connection = pool.acquire().await.unwrap();
    let columns = columns(pool.backend());
    let names: Vec<_> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let types: Vec<_> = names
        .iter()
        .zip(&columns)
        .map(|(name, (_, column, _))| format!("{name} {column}"))
        .collect();
    let schema = format!("CREATE TABLE {} ({})", place.table, types.join(", "));
    connection.execute_batch(&schema).await.unwrap();
    let places: Vec<_> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    let insert = place.sql(&format!("INSERT INTO t VALUES ({})", places.join(", ")));
    let values: Vec<_> = columns.iter().map(|(value, ..)| *value).collect();
    assert_eq!(connection.execute(&insert, &values).await.unwrap(), 1);
    let row = connection.query_one(&place.sql("SELECT * FROM t "), &[]).await.unwrap();
    for (name, (value, column, read)) in names.iter().zip(&columns) {
        assert_eq!(row.value(name), Some(read.as_ref()), "{value:?} in {column}");
        if matches!(value, Value::Null(_)) {
            continue;
        }
        let is_json = matches!(value, Value::Json(_));
        if !is_json {
            let find = place.sql(&format!("SELECT * FROM t WHERE {name} = $1"));
            assert_eq!(connection.query(&find, &[*value]).await.unwrap().len(), 1, "{value:?}");
        }
    }
    assert_eq!(row.get("c0"), Ok(i64::MIN));
}

async fn placeholders_may_be_repeated_and_in_any_order(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let insert = place.sql("INSERT INTO t (x, id) VALUES ($2, $1)");
    connection.execute(&insert, &[Value::I64(1), Value::I64(20)]).await.unwrap();
    let update = place.sql("UPDATE t SET x = x + $2 + $2 WHERE id = $1 AND x > $2");
    assert_eq!(connection.execute(&update, &[Value::I64(1), Value::I64(3)]).await.unwrap(), 1);
    let select = place.sql("SELECT x FROM t WHERE id = $1");
    let row = connection.query_one(&select, &[Value::I64(1)]).await.unwrap();
    assert_eq!(row.get::<i64>("x"), Ok(26));
}

async fn what_only_looks_like_a_placeholder_stays(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let quote = connection.dialect().quote();
    let sql = format!("SELECT '$2 it''s ?' AS {quote}a $3 ?{quote} /* $4 ' */ -- $5 ?\n FROM t ");
    let sql = place.sql(&sql);
    assert!(connection.query(&sql, &[]).await.unwrap().is_empty());
    connection.execute(&place.insert(), &[Value::I64(1)]).await.unwrap();
    let sql = sql + "WHERE id = $1";
    let row = connection.query_one(&sql, &[Value::I64(1)]).await.unwrap();
    assert_eq!(row.get("a $3 ?"), Ok("$2 it's ?"));
    if connection.dialect() == Dialect::Postgres {
        let row = connection
            .query_one("SELECT $$ $1 $$ AS a, '{\"b\": 1}'::jsonb ? $1 AS b", &[Value::Text("b")]);
        let row = row.await.unwrap();
        assert_eq!((row.get("a"), row.get("b")), (Ok(" $1 "), Ok(true)));
    }
}

async fn statements_say_how_many_rows_they_touched(place: Place) {
    let (_pool, mut connection) = place.table().await;
    for n in 1..=3 {
        assert_eq!(connection.execute(&place.insert(), &[Value::I64(n)]).await.unwrap(), 1);
    }
    let update = place.sql("UPDATE t SET x = x + 1 WHERE id >= $1");
    assert_eq!(connection.execute(&update, &[Value::I64(2)]).await.unwrap(), 2);
    let insert = place.sql("INSERT INTO t (id, x) VALUES ($1, $2) RETURNING id, x");
    let rows = connection.query(&insert, &[Value::I64(9), Value::I64(90)]).await.unwrap();
    assert_eq!((rows.len(), rows[0].get("x")), (1, Ok(90_i64)));
    assert_eq!(connection.execute(&place.sql("DELETE FROM t "), &[]).await.unwrap(), 4);
    assert!(connection.query(&place.sql("DELETE FROM t "), &[]).await.unwrap().is_empty());
}

async fn one_row_is_one_row(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let select = place.sql("SELECT * FROM t ");
    assert!(connection.query_opt(&select, &[]).await.unwrap().is_none());
    let none = connection.query_one(&select, &[]).await.unwrap_err();
    assert_eq!(none.to_string(), "the query returned 0 rows, not one");
    for n in 1..=2 {
        connection.execute(&place.insert(), &[Value::I64(n)]).await.unwrap();
    }
    for error in [
        connection.query_one(&select, &[]).await.unwrap_err(),
        connection.query_opt(&select, &[]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), pool_any::AnyErrorKind::Rows);
    }
}

async fn a_statement_can_be_spawned_with_what_it_borrows(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let (insert, text) = (place.insert(), String::from("1"));
    let task = tokio::spawn(async move {
        let number: i64 = text.parse().unwrap();
        let values = [Value::from(number)];
        let mut tx = connection.transaction().await?;
        tx.execute(&insert, &values).await?;
        tx.query(&insert.replace("$1, $1", "2, $1"), &values).await?;
        tx.commit().await?;
        Ok::<_, pool_any::AnyError>(connection)
    });
    let mut connection = task.await.unwrap().unwrap();
    assert_eq!(count(&place, &mut connection).await, 2);
}

async fn several_statements_without_values(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let both = place.sql("INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2);");
    connection.execute_batch(&both).await.unwrap();
    assert_eq!(count(&place, &mut connection).await, 2);
    let both = place.sql("INSERT INTO t VALUES (3, 3); INSERT INTO t VALUES (4, 4)");
    assert!(connection.execute(&both, &[]).await.is_err(), "one statement, not two");
    assert_eq!(count(&place, &mut connection).await, 2);
}
