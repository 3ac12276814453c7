//! What goes wrong has one name on every database.

use std::time::Duration;

use pool_any::{AnyErrorKind, AnyPool, Value};
use tokio::time::timeout;

use crate::{Place, endless, id, on_each, soon};

on_each! {
    what_fails_is_of_a_kind
    a_wait_in_vain_says_who_has_the_connections
    a_closed_pool_says_so
    a_dropped_query_is_over_on_the_server_too
}

async fn what_fails_is_of_a_kind(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let schema =
        place.sql("CREATE TABLE t _c (y bigint NOT NULL, CHECK (y > 0))").replace(" _c", "_c");
    connection.execute_batch(&schema).await.unwrap();
    connection.execute(&place.insert(), &id(1)).await.unwrap();
    let into_c = format!("INSERT INTO {}_c VALUES ($1)", place.table);
    let select = "SELECT $1";
    for (sql, values, kind) in [
        (&*place.insert(), &id(1)[..], AnyErrorKind::Unique),
        (&into_c, &[Value::Null(pool_any::ValueType::I64)], AnyErrorKind::Constraint),
        (&into_c, &id(-1), AnyErrorKind::Constraint),
        ("SELECT * FROM nowhere", &[], AnyErrorKind::Sql),
        ("garbage", &[], AnyErrorKind::Sql),
        (select, &[], AnyErrorKind::Params),
        ("SELECT 1", &id(1), AnyErrorKind::Params),
        ("SELECT $0", &[], AnyErrorKind::Params),
        ("SELECT $2", &id(1), AnyErrorKind::Params),
    ] {
        let error = connection.query(sql, values).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(!error.is_worth_a_new_transaction());
    }
    connection.query(&place.count(), &[]).await.unwrap();
}

async fn a_wait_in_vain_says_who_has_the_connections(place: Place) {
    let pool = place.pool().await;
    let mut held = Vec::new();
    let error = loop {
        match pool.acquire().within(Duration::ZERO).operation("hold").await {
            Ok(connection) => held.push(connection),
            // Where connections are still being opened.
            Err(error) if held.len() < pool.snapshot().write().max_size as usize => {
                assert_eq!(error.kind(), AnyErrorKind::TimedOut);
                held.push(soon(pool.acquire().operation("hold")).await.unwrap());
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), AnyErrorKind::TimedOut);
    let holders = error.as_acquire().unwrap().holders();
    assert!(holders.iter().all(|holder| holder.to_string().contains(file!())), "{error}");
}

async fn a_closed_pool_says_so(place: Place) {
    let pool = place.pool().await;
    let held = pool.acquire().await.unwrap();
    let closing = pool.close(Duration::from_millis(10));
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AnyErrorKind::PoolClosed);
    let report = soon(closing).await;
    assert!(!report.is_complete(), "{report:?}");
    drop(held);
    assert!(soon(pool.close(Duration::from_secs(30))).await.is_complete());
}

async fn a_dropped_query_is_over_on_the_server_too(place: Place) {
    let pool = place.pool().await;
    let mut connection = pool.acquire().await.unwrap();
    let never = connection.query(endless(pool.backend()), &[]);
    timeout(Duration::from_millis(30), never).await.unwrap_err();
    drop(connection);
    let mut next = soon(pool.acquire()).await.unwrap();
    soon(next.query("SELECT 1", &[])).await.unwrap();
}

#[tokio::test]
async fn an_unknown_scheme_names_those_that_are_known_and_no_secret() {
    for url in ["mssql://me:hunter2@host/db", "hunter2", "host=h password=hunter2", ""] {
        let error = AnyPool::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), AnyErrorKind::Config);
        let text = format!("{error} {error:?}");
        assert!(text.contains("sqlite:") && text.contains("mariadb:"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    for url in ["postgres://me:hunter2@127.0.0.1:1/db", "mysql://me:hunter2@127.0.0.1:1/db"] {
        let made = match url.starts_with("postgres") {
            true => {
                let builder = pool_any::postgres::PgPool::builder(url).unwrap();
                let made = builder.acquire_timeout(Duration::from_millis(300)).build().await;
                made.map(AnyPool::from).map_err(pool_any::AnyError::from)
            }
            false => {
                let builder = pool_any::mysql::MySqlPool::builder(url).unwrap();
                let made = builder.acquire_timeout(Duration::from_millis(300)).build().await;
                made.map(AnyPool::from).map_err(pool_any::AnyError::from)
            }
        };
        let error = made.unwrap_err();
        assert_eq!(error.kind(), AnyErrorKind::Unreachable, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
