//! R18: ways in which something of one user could have come to the next, or to the wrong statement.

use pool_mysql::mysql_async::{ChangeUserOpts, Conn, IsolationLevel, Opts, Value};
use pool_mysql::{MySqlConnection, MySqlErrorKind, MySqlGuard, MySqlPool, ScopedFutureExt};

use crate::place::{Place, in_transaction, root};
use crate::returning::is_in_step;
use crate::soon;

async fn one(place: &Place) -> (MySqlPool, MySqlGuard) {
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_drop("CREATE TABLE t (id int, word varchar(30))").await.unwrap();
    (pool, connection)
}

async fn ids(connection: &mut MySqlConnection) -> Vec<i32> {
    connection.query("SELECT id FROM t ORDER BY id").await.unwrap()
}

/// The driver reads a status off the answer to a prepare, which has none.
#[tokio::test]
async fn r17_a_prepare_without_a_run_tells_nothing_of_the_transaction() {
    let place = Place::new().await;
    let (pool, mut connection) = one(&place).await;
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("INSERT INTO t (id) VALUES (1)").await.unwrap();
    let no_rows = Vec::<(i32,)>::new();
    tx.exec_batch("INSERT INTO t (id) VALUES (?)", no_rows).await.unwrap();
    drop(tx);
    connection.transaction().await.unwrap().commit().await.unwrap();
    assert_eq!(ids(&mut connection).await, [0; 0]);

    // The number of the statement is what it takes for a status; so every number is tried.
    for n in 0..260 {
        connection.query_drop("BEGIN; INSERT INTO t (id) VALUES (2)").await.unwrap();
        let sql = format!("SELECT {n}, 2");
        connection.prep(&sql).await.unwrap();
        connection.close_statement(&sql).await.unwrap();
        drop(connection);
        connection = soon(pool.acquire()).await.unwrap();
        if n % 20 == 0 || n > 240 {
            assert!(!in_transaction(&mut connection).await, "{n}");
        }
    }
    assert_eq!(ids(&mut connection).await, [0; 0]);
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn r18_a_transaction_is_seen_behind_a_prepare() {
    let pool = Place::new().await.one().await;
    for sql in ["SELECT 1", "SELECT ?, ?, ?", "DO 1", "SELECT 1, 2, 3, 4"] {
        let mut connection = soon(pool.acquire()).await.unwrap();
        let mut tx = soon(connection.transaction()).await.unwrap();
        soon(tx.prep(sql)).await.unwrap();
        soon(tx.query_drop("SELECT 1")).await.unwrap(); // it is there still
        soon(tx.prep(sql)).await.unwrap();
        soon(tx.commit()).await.unwrap();

        soon(connection.query_drop("BEGIN")).await.unwrap();
        soon(connection.close_statement(sql)).await.unwrap();
        soon(connection.prep(sql)).await.unwrap();
        drop(connection);
        let mut connection = soon(pool.acquire()).await.unwrap();
        is_in_step(&mut connection).await;
    }
}

#[tokio::test]
async fn a_commit_of_what_is_no_more_is_an_error() {
    let place = Place::new().await;
    let (_pool, mut connection) = one(&place).await;
    connection
        .query_drop(
            "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION ROLLBACK; \
             SELECT nothing FROM t; END",
        )
        .await
        .unwrap();
    for ending in ["CALL p()", "SELECT 1; ROLLBACK; SELECT nothing"] {
        let mut tx = connection.transaction().await.unwrap();
        tx.query_drop("INSERT INTO t (id) VALUES (1)").await.unwrap();
        let mut rows = tx.query_iter(ending).await.unwrap();
        let _ = rows.next().await.unwrap();
        drop(rows);
        let error = tx.commit().await.unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{ending}: {error}");
        assert_eq!(ids(&mut connection).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_statement_is_prepared_anew_in_another_database() {
    let place = Place::new().await;
    let (_pool, mut connection) = one(&place).await;
    let other = format!("{}_b", place.name);
    place.tell(&format!("CREATE DATABASE {other}")).await;
    place.tell(&format!("GRANT ALL ON {other}.* TO {}@'%'", place.name)).await;
    place.tell(&format!("CREATE TABLE {other}.t AS SELECT 2 AS id")).await;
    connection.query_drop("INSERT INTO t (id) VALUES (1)").await.unwrap();
    for (database, id) in [(&place.name, 1), (&other, 2), (&place.name, 1)] {
        connection.query_drop(format!("USE {database}")).await.unwrap();
        for _ in 0..2 {
            let found: Vec<i32> = connection.exec("SELECT id FROM t", ()).await.unwrap();
            assert_eq!(found, [id]);
        }
    }
    place.tell(&format!("DROP DATABASE {other}")).await;
}

/// MariaDB's bulk protocol has one type for a column, and the driver does not look.
#[tokio::test]
async fn rows_of_mixed_types_are_stored_as_they_are() {
    let place = Place::new().await;
    let (_pool, mut connection) = one(&place).await;
    connection.query_drop("CREATE TABLE d (id int, x double, w varchar(30))").await.unwrap();
    let (text, null) = (|text: &str| Value::Bytes(text.into()), Value::NULL);
    let mut rows = vec![
        (0, Value::Int(1), text("a")),
        (1, Value::Double(2.5), Value::Int(4_702_394_921_427_289_863)),
        (2, Value::Int(-1), null.clone()),
        (3, Value::UInt(7), text("b")),
    ];
    rows.extend((4..2_500).map(|id| (id, null.clone(), null.clone())));
    rows.push((2_500, Value::Int(9), text("c")));
    let insert = "INSERT INTO d VALUES (?, ?, ?)";
    connection.exec_batch(insert, rows).await.unwrap();
    let asked = "SELECT id, x, w FROM d WHERE x IS NOT NULL ORDER BY id";
    let found: Vec<(i32, f64, Option<String>)> = connection.query(asked).await.unwrap();
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(
        found,
        [
            (0, 1.0, word("a")),
            (1, 2.5, word("4702394921427289863")),
            (2, -1.0, None),
            (3, 7.0, word("b")),
            (2_500, 9.0, word("c")),
        ]
    );
    let count: Option<i32> = connection.query_first("SELECT COUNT(*) FROM d").await.unwrap();
    assert_eq!(count, Some(2_501));
}

#[tokio::test]
async fn r18_nobody_is_somebody_else() {
    let place = Place::new().await;
    let (pool, mut connection) = one(&place).await;
    let role = format!("{}_role", place.name);
    place.tell(&format!("CREATE ROLE {role}")).await;
    place.tell(&format!("GRANT {role} TO {}@'%'", place.name)).await;
    connection.query_drop(format!("SET ROLE {role}")).await.unwrap();
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    let found: Option<Option<String>> =
        connection.query_first("SELECT CURRENT_ROLE()").await.unwrap();
    assert!(!format!("{found:?}").contains(&role), "{found:?}");

    let stranger = Place::new().await;
    let as_stranger = ChangeUserOpts::new()
        .with_user(Some(stranger.name.clone()))
        .with_pass(None)
        .with_db_name(Some(stranger.name.clone()));
    connection.raw().unwrap().change_user(as_stranger).await.unwrap();
    drop(connection);
    let user = "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)";
    let mut connection = soon(pool.acquire()).await.unwrap();
    let found: Option<String> = connection.query_first(user).await.unwrap();
    assert_eq!(found.as_ref(), Some(&place.name));

    let foreign = Conn::new(Opts::from_url(&stranger.url).unwrap()).await.unwrap();
    let own = std::mem::replace(connection.raw().unwrap(), foreign);
    drop(connection);
    own.disconnect().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let found: Option<String> = connection.query_first(user).await.unwrap();
    assert_eq!(found.as_ref(), Some(&place.name));
}

#[tokio::test]
async fn r18_a_level_asked_for_in_vain_is_nobodys() {
    let Some(server) = pool_testkit::servers::MariaDb::builder().for_test() else { return };
    let place = Place::on(&root(&server)).await;
    let (pool, mut connection) = one(&place).await;
    server.set("read_only", "ON").unwrap();
    let builder = connection.build_transaction().read_only(false);
    let begun = builder.isolation_level(IsolationLevel::ReadUncommitted).start().await;
    assert_eq!(begun.map(drop).unwrap_err().code(), Some(1290));
    server.set("read_only", "OFF").unwrap();
    drop(connection);
    place.tell(&format!("BEGIN; INSERT INTO {}.t (id) VALUES (1)", place.name)).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    let seen: Option<i32> = tx.query_first("SELECT COUNT(*) FROM t").await.unwrap();
    assert_eq!(seen, Some(0), "not committed");
}

#[tokio::test]
async fn r10_a_reset_that_brings_other_limits_brings_another_connection() {
    let Some(server) = pool_testkit::servers::MariaDb::builder().for_test() else { return };
    let place = Place::on(&root(&server)).await;
    let (pool, mut connection) = one(&place).await;
    server.set("wait_timeout", "100").unwrap();
    connection.query_drop("SET @mine = 1").await.unwrap();
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    let session: Option<u64> = connection.query_first("SELECT @@wait_timeout").await.unwrap();
    let known = connection.server().wait_timeout.map(|known| known.as_secs());
    assert_eq!((session, known), (Some(100), Some(100)));
}

#[tokio::test]
async fn a_transaction_tried_again_fails_with_what_it_failed_with() {
    let place = Place::new().await;
    let (_pool, mut connection) = one(&place).await;
    let error = connection
        .transaction_with_retry(|tx| {
            async move {
                // Its own connection, by which it cannot be rolled back any more.
                let id: Option<u64> = tx.query_first("SELECT CONNECTION_ID()").await?;
                tx.query_drop(format!("KILL {}", id.unwrap())).await?;
                tx.query_drop("SELECT 1").await
            }
            .scope_boxed()
        })
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("release it"), "the first, not what followed: {error}");
}

#[tokio::test]
async fn r25_a_set_up_statement_that_fails_is_not_quoted() {
    let place = Place::new().await;
    let builder = place.builder().options(|options| options.set_up("SETT @key = 'hunter2'"));
    let error = soon(builder.build()).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("set-up statement 2 of 2") && !said.contains("hunter2"), "{said}");
}
