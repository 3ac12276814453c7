//! What goes wrong half-way leaves nothing, and a connection that is fit for use.

use std::ops::Range;
use std::time::Duration;

use pool_mysql::pool_sql::{Batch, OnConflict, Value, ValueType};
use pool_mysql::{MySqlConnection, MySqlErrorKind};
use pool_testkit::servers::MariaDb;

use super::{Films, ask, insert, mixed, row};
use crate::place::in_transaction;
use crate::soon;

/// Whether the session is out of any transaction and answers.
async fn assert_fit(connection: &mut MySqlConnection) {
    assert!(!soon(in_transaction(connection)).await);
    assert_eq!(ask::<i64>(connection, "SELECT 7").await, 7);
}

/// What an insert's error names: the row, if the server says which; else the thousand that it was in.
fn named(connection: &MySqlConnection, row: u64) -> Range<u64> {
    let chunk = row / 1_000 * 1_000;
    if connection.server().is_mariadb { row..row + 1 } else { chunk..chunk + 1_000 }
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named_and_leaves_nothing() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    for (count, bad) in [(1, 0), (10, 0), (10, 9), (1_000, 6), (20_000, 19_998)] {
        let size = |id| if id == bad { Value::F64(f64::NAN) } else { Value::I64(id) };
        let rows = (0..count).map(|id| [Value::I64(id), Value::Text("x"), size(id)]);
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let said = format!("row {bad}, column `size`: an F64 that is no number or infinite");
        assert_eq!(error.kind(), MySqlErrorKind::Type);
        assert!(error.to_string().starts_with(&said), "{error}");
        assert_fit(&mut connection).await;

        let rows = (0..count).map(|id| {
            let mut values = row(id, "x").to_vec();
            values.truncate(if id == bad { 2 } else { 3 });
            values
        });
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let said = format!("row {bad} has 2 values, but the plan has 3 columns");
        assert_eq!((error.kind(), error.to_string()), (MySqlErrorKind::Plan, said));
        assert_fit(&mut connection).await;
        assert_eq!(films.count().await, 0);
    }
}

/// Before the server sees anything of its chunk, and before what is wrong with later rows of it.
#[tokio::test]
async fn the_first_of_many_that_do_not_fit_is_named() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let nan = Value::F64(f64::NAN);
    let null = Value::Null(ValueType::F64);
    for (count, bad, odd) in [
        (5, 1, [(3, nan), (4, nan)]),
        (10, 3, [(0, null), (1, null)]),
        (2_000, 1_500, [(0, null); 2]),
    ] {
        let rows = (0..count).map(|id| {
            let size = odd.iter().find(|(row, _)| *row == id).map(|(_, size)| *size);
            let size = if id == bad { nan } else { size.unwrap_or(Value::F64(id as f64)) };
            // What comes after it the server would refuse.
            [Value::I64(if id > bad { 0 } else { id }), Value::Text("x"), size]
        });
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let said = format!("row {bad}, column `size`: an F64 that is no number or infinite");
        assert_eq!(error.kind(), MySqlErrorKind::Type, "{error}");
        assert!(error.to_string().starts_with(&said), "{error}");
        assert_fit(&mut connection).await;
        assert_eq!(films.count().await, 0);
    }
}

#[tokio::test]
async fn a_row_that_does_not_fit_comes_before_what_the_server_would_say_of_its_chunk() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    for wide in [3, 2] {
        let rows = (0..1_000).map(|id: i64| {
            let size = Value::F64(if id == 900 { f64::NAN } else { 1.0 });
            let mut values = vec![Value::I64(if id == 5 { 4 } else { id }), Value::Text("x"), size];
            values.truncate(if id == 950 { wide } else { 3 });
            values
        });
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        assert!(error.to_string().starts_with("row 900, column `size`: "), "{error}");
        assert_fit(&mut connection).await;
        assert_eq!(films.count().await, 0);
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_named_and_leaves_nothing() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let before = connection.id();
    insert(&mut connection, &films.plan(), -1..0, row).await.0.unwrap();
    let count = 11_000; // in three chunks, on MariaDB
    for bad in [0, 1, 999, 1_000, 8_999, 9_321, count - 1] {
        for row in [row, mixed] as [fn(i64, &str) -> [Value<'_>; 3]; 2] {
            let rows = (0..count).map(|id| row(if id == bad { -1 } else { id }, "x"));
            let error =
                soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (MySqlErrorKind::Constraint, Some(1062)));
            let named = named(&connection, bad as u64);
            assert_eq!(error.rows(), Some(named.clone()), "{error}");
            let named = match named.end - named.start {
                1 => format!("row {bad}: "),
                _ => format!("rows {} to {}: ", named.start, named.end - 1),
            };
            assert!(error.to_string().starts_with(&format!("{named}Duplicate entry '-1'")));
            assert_fit(&mut connection).await;
            assert_eq!(films.count().await, 1);
        }
        let rows = (0..count).map(|id| {
            [Value::I64(id), Value::Text("x"), Value::I64(if id == bad { 1 << 40 } else { 1 })]
        });
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let named = named(&connection, bad as u64);
        assert_eq!((error.code(), error.rows()), (Some(1264), Some(named)));
        assert_eq!(films.count().await, 1);
    }
    let null = [[Value::I64(1), Value::Null(ValueType::Text), Value::I64(1)]];
    let error = soon(connection.insert_many(&films.plan(), null, |_| ())).await.unwrap_err();
    assert_eq!((error.code(), error.rows()), (Some(1048), Some(0..1)));

    // An update too, by a join and row by row.
    films_add(&mut connection, &films).await;
    soon(connection.query_drop(films.name("ALTER TABLE film{} ADD n decimal(20)"))).await.unwrap();
    let update = films.update("film{}", "id", &["size", "n"]);
    for odd in [Value::I64(7), Value::Text("7")] {
        let rows = (0..600).map(|id| match id {
            333 => [Value::I64(id), Value::I64(1 << 40), odd],
            _ => [Value::I64(id), Value::I64(5), Value::I64(-1)],
        });
        let error = soon(connection.update_many(&update, rows, |_| ())).await.unwrap_err();
        let named = if odd == Value::I64(7) { 250..500 } else { 333..334 };
        assert_eq!((error.code(), error.rows()), (Some(1264), Some(named)), "{error}");
        assert_eq!(
            films.number("SELECT count(*) FROM film{} WHERE size = 5").await,
            1,
            "as it was"
        );
    }
    assert_eq!(connection.id(), before, "no connection was lost");
}

async fn films_add(connection: &mut MySqlConnection, films: &Films) {
    insert(connection, &films.plan(), 0..600, row).await.0.unwrap();
}

#[tokio::test]
async fn an_endless_batch_ends_where_it_fails() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let endless = (0..).map(|id: i64| row(id % 5_500, "endless"));
    let error = soon(connection.insert_many(&films.plan(), endless, |_| ())).await.unwrap_err();
    assert_eq!(error.rows(), Some(named(&connection, 5_500)));
    assert_eq!(films.count().await, 0);
}

#[tokio::test]
async fn a_row_larger_than_a_packet_is_not_sent() {
    let server = MariaDb::builder().setting("max_allowed_packet", "1M").start().unwrap();
    let films = Films::on(&server).await;
    films.run("ALTER TABLE film{} MODIFY title longtext").await;
    let mut connection = films.connection().await;
    let before = connection.id();
    for (length, fits) in [(1_048_000, true), (1_048_576, false), (20 << 20, false)] {
        let title = "x".repeat(length);
        let rows = (0..4).map(|id| row(id, if id == 2 { &title } else { "x" }));
        let done = soon(connection.insert_many(&films.plan(), rows, |_| ())).await;
        if fits {
            assert_eq!(done.unwrap().affected, 4);
            let sum = "SELECT sum(length(title)) FROM film{}";
            let sum: u64 = ask(&mut connection, &films.name(sum)).await;
            assert_eq!(sum, length as u64 + 3);
            soon(connection.query_drop(films.name("DELETE FROM film{}"))).await.unwrap();
        } else {
            let error = done.unwrap_err();
            assert!(error.to_string().starts_with("row 2 takes "), "{error}");
            assert!(error.to_string().contains("packets of 1048576 (max_allowed_packet)"));
            let count: i64 = ask(&mut connection, &films.name("SELECT count(*) FROM film{}")).await;
            assert_eq!(count, 0);
            assert_fit(&mut connection).await;
        }
    }
    // Many at once, of every length.
    let title = "x".repeat(1_000);
    for row in [row, mixed] as [fn(i64, &str) -> [Value<'_>; 3]; 2] {
        let rows = (0..5_000).map(|id| row(id, &title[..(id as usize * 7) % 1_000]));
        assert_eq!(
            soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap().rows,
            5_000
        );
        soon(connection.query_drop(films.name("DELETE FROM film{}"))).await.unwrap();
    }
    assert_eq!(connection.id(), before, "no connection was lost");
}

/// The driver tells a bulk's types in its first packet only, by the values that are not NULL there.
#[tokio::test]
async fn nulls_take_their_part_of_a_packet() {
    let server = MariaDb::builder().setting("max_allowed_packet", "32K").start().unwrap();
    let films = Films::on(&server).await;
    let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    films.run(&format!("CREATE TABLE nulls{{}} (id int, {} int)", names.join(" int, "))).await;
    let mut connection = films.connection().await;
    let sql = films.name("INSERT INTO nulls{} VALUES (?");
    let sql = format!("{sql}{})", ", ?".repeat(names.len()));
    let rows = (0..2_000).map(|id| {
        let other = if id % 500 < 450 { mysql_async::Value::NULL } else { (-7).into() };
        let mut row = vec![other; 1 + names.len()];
        row[0] = id.into();
        mysql_async::Params::Positional(row)
    });
    soon(connection.exec_batch(&sql, rows)).await.unwrap();
    let sql = films.name("SELECT sum(c0 + c99) FROM nulls{} WHERE id % 500 >= 450");
    assert_eq!(ask::<i64>(&mut connection, &sql).await, 200 * -14);
}

/// More than 16 MiB goes in parts, if no single value is larger than a packet.
#[tokio::test]
async fn a_row_of_many_packets_is_stored() {
    let server = MariaDb::builder().setting("max_allowed_packet", "16M").start().unwrap();
    let films = Films::on(&server).await;
    films.run("CREATE TABLE large{} (id int, a longtext, b longblob)").await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("large{}", &["id", "a", "b"]);
    let text = "é".repeat(6 << 20);
    let row = [Value::I64(1), Value::Text(&text), Value::Bytes(text.as_bytes())];
    soon(connection.insert_many(&plan, [row], |_| ())).await.unwrap();
    let sql = films.name("SELECT id + (a = CONVERT(b USING utf8mb4)) * length(b) FROM large{}");
    assert_eq!(ask::<i64>(&mut connection, &sql).await, 1 + (12 << 20));
}

#[tokio::test]
async fn r14_a_batch_that_is_dropped_leaves_nothing() {
    let films = Films::new().await;
    for n in 0..45_u64 {
        let mut connection = films.connection().await;
        let plan = films.plan();
        let row = if n % 3 == 1 { mixed } else { row };
        let rows = (0..).map(|id| row(id, "endless"));
        let plan = if n % 2 == 1 { plan.on_conflict(OnConflict::Ignore).unwrap() } else { plan };
        if n % 3 == 2 {
            soon(connection.query_drop("BEGIN")).await.unwrap();
        }
        let limit = Duration::from_micros(some(n) % 30_000);
        let endless = connection.insert_many(&plan, rows, |_| ());
        tokio::time::timeout(limit, endless).await.unwrap_err();
        // It may have been dropped before it sent anything, else nothing more goes here.
        if connection.is_closed() {
            let error = soon(connection.query_drop("SELECT 1")).await.unwrap_err();
            assert_eq!(error.kind(), MySqlErrorKind::Abandoned);
        }
        drop(connection);
        let mut connection = films.connection().await;
        assert_fit(&mut connection).await;
        let sql = films.name("SELECT count(*) FROM film{}");
        assert_eq!(ask::<i64>(&mut connection, &sql).await, 0, "round {n}, after {limit:?}");
    }
    assert_eq!(films.count().await, 0);
}

/// Of a batch that ends by itself too: all of it or nothing, whenever it is dropped.
#[tokio::test]
async fn r14_a_batch_that_is_dropped_near_its_end_is_there_or_not() {
    let films = Films::new().await;
    let begun = tokio::time::Instant::now();
    insert(&mut *films.connection().await, &films.plan(), 0..2_500, row).await.0.unwrap();
    let whole = begun.elapsed();
    for n in 0..30 {
        films.run("TRUNCATE film{}").await;
        let mut connection = films.connection().await;
        let plan = films.plan();
        let limit = whole.mul_f64(f64::from(n) / 20.0);
        let rows = (0..2_500).map(|id| row(id, "x"));
        let _ = tokio::time::timeout(limit, connection.insert_many(&plan, rows, |_| ())).await;
        drop(connection);
        assert_fit(&mut *films.connection().await).await;
        let count = films.count().await;
        assert!([0, 2_500].contains(&count), "round {n}: {count}");
    }
}

#[tokio::test]
async fn inside_a_transaction_a_batch_is_a_savepoint() {
    let films = Films::new().await;
    let plan = films.plan();
    let mut connection = films.connection().await;
    let named = named(&connection, 3_001);
    let one = |id| [row(id, "x")];

    // By its own methods.
    let mut tx = soon(connection.transaction()).await.unwrap();
    soon(tx.insert_many(&plan, one(1), |_| ())).await.unwrap();
    let many = (2..4_000).map(|id| row(id, "x"));
    soon(tx.insert_many(&plan, many, |_| ())).await.unwrap();
    soon(tx.insert_many(&plan, one(1), |_| ())).await.unwrap_err();
    let twice = (4_000..8_000).map(|id| row(id.min(7_000), "x"));
    let error = soon(tx.insert_many(&plan, twice, |_| ())).await.unwrap_err();
    assert_eq!(error.rows(), Some(named));
    let mut inner = soon(tx.savepoint()).await.unwrap();
    soon(inner.insert_many(&plan, one(5_000), |_| ())).await.unwrap();
    drop(inner);
    soon(tx.insert_many(&plan, one(0), |_| ())).await.unwrap();
    assert_eq!(films.count().await, 0);
    soon(tx.commit()).await.unwrap();
    assert_eq!(films.count().await, 4_000);

    // Rolled back with it.
    let mut tx = soon(connection.transaction()).await.unwrap();
    soon(tx.insert_many(&plan, (10_000..13_000).map(|id| row(id, "x")), |_| ())).await.unwrap();
    drop(tx);
    soon(connection.insert_many(&plan, one(20_000), |_| ())).await.unwrap();
    assert_eq!(films.count().await, 4_001);

    // By SQL: not committed by the batch's own.
    soon(connection.query_drop("BEGIN")).await.unwrap();
    soon(connection.insert_many(&plan, one(30_000), |_| ())).await.unwrap();
    soon(connection.insert_many(&plan, one(1), |_| ())).await.unwrap_err();
    assert_eq!(films.count().await, 4_001);
    soon(connection.query_drop("ROLLBACK")).await.unwrap();
    assert_eq!(films.count().await, 4_001);
    soon(connection.query_drop("SET autocommit = 0")).await.unwrap();
    soon(connection.insert_many(&plan, one(30_000), |_| ())).await.unwrap();
    assert_eq!(films.count().await, 4_002, "committed by itself where nothing was begun");
    drop(connection);
    assert_fit(&mut *films.connection().await).await;
}

/// Numbers without order, the same every time.
fn some(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}
