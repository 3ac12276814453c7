//! The pool itself: what it says of itself, and the way to what is beneath.

use std::time::Duration;

use pool_any::{AnyErrorKind, AnyPool, Backend, Dialect, Side, Value};

use crate::{Place, id, on_each, soon};

on_each! {
    sides_and_sums_go_together
    a_reader_sees_what_a_writer_wrote
    what_is_invalidated_is_closed
    a_call_site_is_the_callers
}

async fn sides_and_sums_go_together(place: Place) {
    let pool = place.pool().await;
    let held = pool.acquire().await.unwrap();
    let snapshot = pool.snapshot();
    let sides: Vec<_> = snapshot.sides.iter().map(|(side, _)| *side).collect();
    match pool.as_sqlite().is_some_and(|pool| pool.snapshot().read.is_some()) {
        true => assert_eq!(sides, [Side::Write, Side::Read]),
        false => assert_eq!(sides, [Side::Both]),
    }
    assert_eq!((snapshot.in_use(), snapshot.write().in_use), (1, 1));
    assert!(snapshot.open() <= snapshot.max_size() && snapshot.waiting() == 0);
    assert_eq!(snapshot.backend, pool.backend().as_str());
    assert!(pool.pressure() > 0.0);
    drop(held);
}

async fn a_reader_sees_what_a_writer_wrote(place: Place) {
    let (pool, mut writer) = place.table().await;
    writer.execute(&place.insert(), &id(1)).await.unwrap();
    drop(writer);
    let mut reader = soon(pool.read().operation("count")).await.unwrap();
    assert_eq!(crate::count(&place, &mut reader).await, 1);
    let write = reader.execute(&place.insert(), &id(2)).await;
    if pool.snapshot().sides.len() == 2 {
        assert_eq!(write.unwrap_err().kind(), AnyErrorKind::ReadOnly);
    } else {
        assert_eq!(write.unwrap(), 1);
    }
}

async fn what_is_invalidated_is_closed(place: Place) {
    let pool = place.pool().await;
    pool.acquire().await.unwrap().invalidate();
    soon(pool.acquire()).await.unwrap();
    // In the background: it may say goodbye first.
    while pool.snapshot().write().counts.ended.invalidated == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pool.snapshot().write().counts.ended.total(), 1);
}

async fn a_call_site_is_the_callers(place: Place) {
    let pool = place.pool().await;
    let (acquire, read, write) = (pool.acquire(), pool.read(), pool.write());
    for (ask, line) in [(acquire, line!() - 1), (read, line!() - 1), (write, line!() - 1)] {
        let asked = format!("{ask:?}");
        assert!(asked.contains(file!()) && asked.contains(&format!("line: {line}")), "{asked}");
    }
}

#[tokio::test]
async fn each_backend_leads_to_its_own() {
    let place = Place::sqlite_memory();
    let pool = place.pool().await;
    assert_eq!((pool.backend(), pool.dialect()), (Backend::Sqlite, Dialect::Sqlite));
    assert!(
        pool.as_sqlite().is_some() && pool.as_postgres().is_none() && pool.as_mysql().is_none()
    );
    let mut connection = pool.acquire().await.unwrap();
    assert!(connection.as_sqlite().is_some() && connection.as_mysql_mut().is_none());
    let sqlite = connection.as_sqlite_mut().unwrap();
    let one: i64 = sqlite.call(|c| c.query_row("SELECT 1", [], |row| row.get(0))).await.unwrap();
    assert_eq!(one, 1);
    let mut tx = connection.transaction().await.unwrap();
    assert!(tx.as_sqlite_mut().is_some() && tx.as_postgres().is_none());

    let place = Place::postgres();
    let pool = place.pool().await;
    assert_eq!(pool.backend(), Backend::Postgres);
    let mut connection = pool.acquire().await.unwrap();
    assert!(connection.as_sqlite().is_none() && connection.as_postgres().is_some());
    let client = connection.as_postgres_mut().unwrap().raw();
    let one: i32 = client.query_one("SELECT 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);

    let place = Place::mariadb();
    let pool = place.pool().await;
    assert_eq!(pool.backend(), Backend::MySql);
    let mut connection = pool.acquire().await.unwrap();
    let mysql = connection.as_mysql_mut().unwrap();
    assert!(mysql.server().is_mariadb && pool.as_mysql().is_some());
    let error = connection.query("SELECT SLEEP(0) FROM nowhere", &[]).await.unwrap_err();
    assert_eq!(error.as_mysql().and_then(|error| error.code()), Some(1146), "{error}");
    assert!(error.as_postgres().is_none());
}

#[tokio::test]
async fn a_backends_pool_is_one_too() {
    let builder = pool_any::sqlite::SqliteBuilder::in_memory();
    let pool = AnyPool::from(builder.build().await.unwrap());
    let mut connection = pool.clone().acquire().within(Duration::from_secs(5)).await.unwrap();
    let row = connection.query_one("SELECT $1 AS a", &[Value::Text("x")]).await.unwrap();
    assert_eq!(row.get("a"), Ok("x"));
    assert!(format!("{pool:?}").starts_with("AnyPool(SqlitePool"));
}
