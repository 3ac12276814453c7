//! What goes wrong in use, and that it is an error which says so, on a connection that goes on.

use std::collections::HashSet;
use std::time::Duration;

use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::mysql_async::{Params, Row, Value, params};
use pool_mysql::{MySqlConnection, MySqlCredentials, MySqlErrorKind, MySqlPool, ResetLevel};

use crate::place::Place;
use crate::soon;

async fn answers(connection: &mut MySqlConnection, nonce: i64) {
    let answer: Option<i64> = connection.exec_first("SELECT ?", (nonce,)).await.unwrap();
    assert_eq!(answer, Some(nonce));
}

#[tokio::test]
async fn parameters_that_do_not_fit_cost_nothing() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let by_name = "SELECT CAST(:a + :b + :a AS SIGNED)";
    let sum: Option<i64> =
        connection.exec_first(by_name, params! { "a" => 1, "b" => 10 }).await.unwrap();
    assert_eq!(sum, Some(12));
    let cases: [(&str, Params, &str); 7] = [
        ("SELECT ?", ().into(), "0 parameters given for 1 places"),
        ("SELECT ?", (1, 2).into(), "2 parameters given for 1 places"),
        ("SELECT 1", (1,).into(), "1 parameters given for 0 places"),
        (by_name, (1,).into(), "ositional"),
        (by_name, params! { "a" => 1 }, "`b`"),
        ("SELECT ?", params! { "a" => 1 }, "amed"),
        ("SELECT ?, :a", params! { "a" => 1 }, "by place and by name in one statement"),
    ];
    for (sql, params, expected) in cases {
        let error = connection.exec_drop(sql, params).await.unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::Params, "{error}");
        let said = error.to_string();
        assert!(said.contains(expected) && said.contains(sql), "{sql}: {said}");
        answers(&mut connection, 5).await;
    }
    connection.query_drop("CREATE TABLE t (a int)").await.unwrap();
    let rows: [Params; 3] = [(1,).into(), (2, 2).into(), (3,).into()];
    let error = connection.exec_batch("INSERT INTO t VALUES (?)", rows).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Params, "{error}");
    let there: Vec<i32> = connection.query("SELECT a FROM t").await.unwrap();
    assert_eq!(there, [1]);
    drop(connection);
    answers(&mut soon(pool.acquire()).await.unwrap(), 6).await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn rows_that_do_not_convert_are_errors_and_show_no_values() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let sql = "SELECT 'secret' AS word UNION ALL SELECT NULL";
    let wrong = [
        connection.query::<i32, _>(sql).await.unwrap_err(),
        connection.query::<String, _>(sql).await.unwrap_err(), // the NULL
        connection.query::<(String, i32), _>(sql).await.unwrap_err(),
        connection.exec::<i32, _, _>(sql, ()).await.unwrap_err(),
        connection.query_first::<i32, _>(sql).await.unwrap_err(),
        connection.exec_first::<i32, _, _>(sql, ()).await.unwrap_err(),
        connection.query_map(sql, |number: i32| number).await.unwrap_err(),
        connection.query_iter(sql).await.unwrap().next_as::<i32>().await.unwrap_err(),
    ];
    for error in wrong {
        assert_eq!(error.kind(), MySqlErrorKind::Type, "{error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains("word VAR_STRING") && !said.contains("secret"), "{said}");
    }
    let words: Vec<Option<String>> = connection.query(sql).await.unwrap();
    assert_eq!(words, [Some("secret".into()), None]);
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn statements_are_at_home_wherever_they_are_run_and_bounded() {
    let place = Place::new().await;
    let pool = place.builder().max_size(2).statement_cache(3).build().await.unwrap();
    let mut a = soon(pool.acquire()).await.unwrap();
    let mut b = soon(pool.acquire()).await.unwrap();
    // The numbers of statements begin anew on each connection.
    let of_a = a.prep("SELECT CONCAT('a', ?)").await.unwrap();
    let of_b = b.prep("SELECT CONCAT('b', ?)").await.unwrap();
    assert_eq!((of_a.num_params(), of_a.columns().len()), (1, 1));
    for round in 0..3 {
        for connection in [&mut a, &mut b] {
            for (statement, letter) in [(&of_a, 'a'), (&of_b, 'b')] {
                let said: Option<String> =
                    connection.exec_first(statement, (round,)).await.unwrap();
                assert_eq!(said, Some(format!("{letter}{round}")));
            }
        }
    }
    let (hits, misses) = pool.statement_cache();
    assert_eq!(misses, 4, "each once on each connection");
    assert_eq!(hits, 12 - 2);
    // More than are kept: they are closed on the server.
    for n in 0..10 {
        let said: Option<i32> = a.exec_first(format!("SELECT {n}"), ()).await.unwrap();
        assert_eq!(said, Some(n));
        assert!(a.cached_statements() <= 3);
    }
    let said: Option<String> = a.exec_first(&of_a, (9,)).await.unwrap();
    assert_eq!(said, Some("a9".into()));
    a.close_statement(&of_a).await.unwrap();
    let said: Option<String> = a.exec_first(&of_a, (10,)).await.unwrap();
    assert_eq!(said, Some("a10".into()));
}

#[tokio::test]
async fn r14_a_call_that_was_dropped_is_the_connections_last() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let slow = connection.query_first::<i32, _>("SELECT 1 FROM (SELECT SLEEP(0.1)) AS s");
    tokio::time::timeout(Duration::from_millis(20), slow).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(200)).await; // its answer is there now
    let refused = [
        connection.query::<i32, _>("SELECT 2").await.map(drop),
        connection.query_iter("SELECT 2").await.map(drop),
        connection.exec_first::<i32, _, _>("SELECT ?", (2,)).await.map(drop),
        connection.exec_iter("SELECT ?", (2,)).await.map(drop),
        connection.exec_batch("INSERT INTO t VALUES (?)", [(2,)]).await,
        connection.prep("SELECT 2").await.map(drop),
        connection.ping().await,
        connection.transaction().await.map(drop),
        connection.statement_timeout(Duration::from_secs(1)).await,
        connection.raw().map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::Abandoned, "{error}");
        assert!(error.to_string().contains("acquire another"), "{error}");
    }
    assert!(connection.is_closed());
    let id = connection.id();
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    assert_ne!(connection.id(), id);
    answers(&mut connection, 3).await;
}

#[tokio::test]
async fn what_is_too_large_says_so() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let id = connection.id();
    let limit = connection.server().max_allowed_packet.unwrap() as usize;
    connection.query_drop("CREATE TABLE t (b longblob)").await.unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    for (size, fits) in [(limit - 4096, true), (limit + 10, false), (limit - 4096, true)] {
        let large = || Value::Bytes(vec![b'x'; size]);
        let done = soon(connection.exec_drop(insert, (large(),))).await;
        let batch = soon(connection.exec_batch(insert, [(large(),)])).await;
        let text = format!("INSERT INTO t VALUES ('{}')", "x".repeat(size));
        let by_text = soon(connection.query_drop(text)).await;
        for done in [done, batch, by_text] {
            assert_eq!(done.is_ok(), fits, "{size}: {done:?}");
            if let Err(error) = done {
                assert_eq!(error.kind(), MySqlErrorKind::TooLarge, "{error}");
                assert!(error.to_string().contains("max_allowed_packet"), "{error}");
            }
        }
    }
    let kept: Option<u32> = connection.query_first("SELECT COUNT(*) FROM t").await.unwrap();
    assert_eq!((kept, connection.id()), (Some(6), id));
}

#[tokio::test]
async fn answers_of_a_procedure_and_of_several_statements_come_one_after_the_other() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let mut rows = connection.query_iter("SELECT 1; DO 0; SELECT 2, 3").await.unwrap();
    let mut seen = Vec::new();
    while !rows.is_over() {
        let row = rows.next().await.unwrap();
        seen.push(row.map(Row::unwrap));
    }
    assert_eq!(rows.next().await.unwrap(), None);
    let seen: Vec<_> = seen.iter().map(|row| row.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(seen, [1, 0, 0, 2, 0]);
    answers(&mut connection, 1).await;
    let first: Vec<i32> = connection.query("SELECT 1; SELECT 2").await.unwrap();
    assert_eq!(first, [1]);
    let error = connection.query_drop("SELECT 1; SELECT nothing").await.unwrap_err();
    assert_eq!(error.code(), Some(1054));
    let mut rows = connection.query_iter("SELECT 1; SELECT nothing").await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    assert_eq!(rows.next().await.unwrap_err().code(), Some(1054));
    assert!(rows.is_over());
    answers(&mut connection, 2).await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn a_statement_that_takes_longer_than_its_limit_is_ended_and_the_limit_goes_with_the_checkout()
 {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.statement_timeout(Duration::from_millis(50)).await.unwrap();
    let slow = "SELECT COUNT(*) FROM information_schema.columns AS a, \
                information_schema.columns AS b, information_schema.columns AS c";
    let error = soon(connection.query_drop(slow)).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Cancelled, "{error}");
    answers(&mut connection, 1).await;
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    let variable =
        if connection.server().is_mariadb { "max_statement_time" } else { "max_execution_time" };
    let limit: Option<f64> = connection.query_first(format!("SELECT @@{variable}")).await.unwrap();
    assert_eq!(limit, Some(0.0));
}

#[tokio::test]
async fn r20_credentials_are_asked_for_at_each_connect_and_told_nobody() {
    let place = Place::new().await;
    place.tell(&format!("ALTER USER {}@'%' IDENTIFIED BY 'first'", place.name)).await;
    let password = std::sync::Arc::new(std::sync::Mutex::new("first".to_owned()));
    let given = password.clone();
    let name = place.name.clone();
    let pool = MySqlPool::builder(&place.url.replace(&format!("//{name}@"), "//nobody@"))
        .unwrap()
        .max_size(2)
        .credentials(move || {
            let password = given.lock().unwrap().clone();
            let name = name.clone();
            async move {
                match password.as_str() {
                    "none" => Err("the secret store said: hunter2".into()),
                    _ => Ok(MySqlCredentials::password(password).user(name)),
                }
            }
        })
        .build()
        .await
        .unwrap();
    place.tell(&format!("ALTER USER {}@'%' IDENTIFIED BY 'second'", place.name)).await;
    *password.lock().unwrap() = "second".into();
    let mut both = HashSet::new();
    let (a, b) = (soon(pool.acquire()).await.unwrap(), soon(pool.acquire()).await.unwrap());
    both.extend([a.id(), b.id()]);
    assert_eq!(both.len(), 2);
    drop((a, b));
    for (wrong, is_shown) in [("wrong", false), ("none", false)] {
        *password.lock().unwrap() = wrong.into();
        pool.invalidate_all();
        let acquire = pool.acquire().within(Duration::from_secs(2));
        let error = pool_mysql::MySqlError::from(soon(acquire).await.unwrap_err());
        let said = format!("{error} {error:?} {pool:?}");
        assert_eq!(said.contains("hunter2") || said.contains("second"), is_shown, "{said}");
    }
}

/// A driver's flag among it, which tells a user's leavings apart.
#[tokio::test]
async fn what_a_hook_sets_up_is_no_users_leavings_and_there_after_a_reset() {
    let place = Place::new().await;
    for level in [ResetLevel::Fast, ResetLevel::Verified, ResetLevel::Clean] {
        let pool = place.builder().max_size(1).reset_level(level).pool(|pool| {
            pool.after_connect_async(|connection| {
                Box::pin(async {
                    connection.raw()?.query_drop("SET @own = 'of a hook'").await?;
                    connection.query_drop("SET autocommit = 0").await?;
                    Ok(())
                })
            })
        });
        let pool = soon(pool.build()).await.unwrap();
        for changes in [false, true, false, false] {
            let mut connection = soon(pool.acquire()).await.unwrap();
            let own: (String, u8) =
                connection.query_first("SELECT @own, @@autocommit").await.unwrap().unwrap();
            assert_eq!(own, ("of a hook".to_owned(), 0), "{level:?}");
            if changes {
                connection.query_drop("SET @own = 'of a user', autocommit = 1").await.unwrap();
            }
        }
        let counts = pool.snapshot().counts;
        assert_eq!(counts.created, 1, "{level:?}");
        let resets = if level == ResetLevel::Clean { 3 } else { 1 }; // the last may be under way
        assert!(counts.reset >= resets, "{level:?}: {}", counts.reset);
    }
}
