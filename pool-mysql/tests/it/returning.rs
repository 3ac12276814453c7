//! R17, R18: what a connection leaves behind, and that nobody finds it.

use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::{MySqlConnection, ResetLevel};

use crate::place::{Place, in_transaction};
use crate::soon;

/// Asks something with one right answer, outside any transaction.
pub(crate) async fn is_in_step(connection: &mut MySqlConnection) {
    assert!(!in_transaction(connection).await);
    for nonce in [11_i64, 12, 13] {
        let answer: Option<i64> = connection.exec_first("SELECT ?", (nonce,)).await.unwrap();
        assert_eq!(answer, Some(nonce));
    }
}

async fn text(connection: &mut MySqlConnection, sql: &str) -> String {
    connection.query_first(sql).await.unwrap().expect("a row")
}

#[tokio::test]
async fn r17_an_abandoned_transaction_lets_go_of_its_locks_at_once() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_drop("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    connection.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    drop(connection);
    // Dropped; left open by hand; left open after an error, which tells nothing of the status.
    for way in 0..3 {
        let mut connection = soon(pool.acquire()).await.unwrap();
        if way == 0 {
            let mut tx = connection.transaction().await.unwrap();
            tx.query_drop("SELECT * FROM t FOR UPDATE").await.unwrap();
            drop(tx);
        } else {
            connection.query_drop("BEGIN; SELECT * FROM t FOR UPDATE").await.unwrap();
        }
        if way == 2 {
            connection.query_drop("SELECT nothing").await.unwrap_err();
        }
        place.until("EXISTS (SELECT 1 FROM information_schema.innodb_trx)").await;
        drop(connection);
        // Nobody checks out.
        place.until_quiet().await;
    }
    is_in_step(&mut soon(pool.acquire()).await.unwrap()).await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn r18_what_a_statement_did_to_the_session_is_gone() {
    let place = Place::new().await;
    let pool = place.one().await;
    let other = format!("{}_other", place.name);
    place.tell(&format!("CREATE DATABASE {other}")).await;
    place.tell(&format!("GRANT ALL ON {other}.* TO {}@'%'", place.name)).await;
    let use_other = format!("USE {other}");
    let database = format!("SELECT DATABASE() = '{other}'");
    for (leave, found) in [
        ("SET @mine = 'x'", "SELECT @mine IS NOT NULL"),
        ("SELECT @mine := 'x'", "SELECT @mine IS NOT NULL"),
        ("SELECT 'x' INTO @mine", "SELECT @mine IS NOT NULL"),
        ("SET SESSION sort_buffer_size = 77824", "SELECT @@sort_buffer_size = 77824"),
        ("SET autocommit = 0", "SELECT @@autocommit = 0"),
        ("SET NAMES latin1", "SELECT @@character_set_client = 'latin1'"),
        ("SET time_zone = '+07:00'", "SELECT @@time_zone = '+07:00'"),
        ("SELECT GET_LOCK(DATABASE(), 0)", "SELECT IS_USED_LOCK(DATABASE()) IS NOT NULL"),
        (
            "CREATE TEMPORARY TABLE mine (x int)",
            // A table of that name can be made only if there is none.
            "CREATE TEMPORARY TABLE IF NOT EXISTS mine AS SELECT 0 AS was",
        ),
        ("PREPARE mine FROM 'SELECT 1'", "EXECUTE mine"),
        ("CREATE TABLE IF NOT EXISTS l (x int); LOCK TABLES l WRITE", "SELECT COUNT(*) FROM other"),
        (&use_other, &database),
    ] {
        let mut connection = soon(pool.acquire()).await.unwrap();
        connection.query_drop("CREATE TABLE IF NOT EXISTS other (x int)").await.unwrap();
        connection.query_drop(leave).await.unwrap();
        drop(connection);
        let mut connection = soon(pool.acquire()).await.unwrap();
        match leave.split(' ').next().unwrap() {
            "CREATE" if leave.contains("TEMPORARY") => {
                connection.query_drop(found).await.unwrap();
                let was: Option<i32> =
                    connection.query_first("SELECT was FROM mine").await.unwrap();
                assert_eq!(was, Some(0), "{leave}");
            }
            "PREPARE" => {
                let error = connection.query_drop(found).await.unwrap_err();
                assert_eq!(error.code(), Some(1243), "{leave}");
            }
            "CREATE" => connection.query_drop(found).await.unwrap(), // 1100 under LOCK TABLES
            _ => {
                let is_there: Option<bool> = connection.query_first(found).await.unwrap();
                assert_eq!(is_there, Some(false), "{leave}");
            }
        }
        is_in_step(&mut connection).await;
    }
    assert_eq!(pool.snapshot().counts.created, 2, "the same, but after the EXECUTE");
}

#[tokio::test]
async fn r18_what_nobody_saw_goes_at_level_clean_only() {
    let place = Place::new().await;
    place.tell(&format!("CREATE PROCEDURE {}.hides() SET @hidden = 1", place.name)).await;
    for (level, remains) in [
        (ResetLevel::Fast, true),
        (ResetLevel::Verified, true),
        (ResetLevel::Clean, false),
        (ResetLevel::ChangeUser, false),
    ] {
        let pool = place.builder().max_size(1).reset_level(level).build().await.unwrap();
        let mut connection = soon(pool.acquire()).await.unwrap();
        connection.query_drop("CALL hides()").await.unwrap();
        connection.exec_drop("SELECT ?", (1,)).await.unwrap();
        assert_eq!(connection.cached_statements(), 1);
        drop(connection);
        let mut connection = soon(pool.acquire()).await.unwrap();
        let kept = connection.cached_statements() == 1;
        let hidden: Option<bool> =
            connection.query_first("SELECT @hidden IS NOT NULL").await.unwrap();
        assert_eq!((hidden, kept), (Some(remains), remains), "{level:?}");
        is_in_step(&mut connection).await;
        assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
    }
}

#[tokio::test]
async fn r18_each_session_begins_as_it_was_set_up_in_the_order_written() {
    let place = Place::new().await;
    for level in [ResetLevel::Verified, ResetLevel::Clean, ResetLevel::ChangeUser] {
        let builder = place.builder().max_size(1).reset_level(level).options(|options| {
            options
                .time_zone("+05:00")
                .collation("utf8mb4_bin")
                .set_up("SET @order = 'a', autocommit = 0")
                .set_up("SET @order = CONCAT(@order, 'b')")
        });
        let pool = builder.build().await.unwrap();
        for round in 0..3 {
            let mut connection = soon(pool.acquire()).await.unwrap();
            let asked = "SELECT CONCAT_WS(' ', @order, @@time_zone, @@collation_connection, \
                         @@character_set_client, @@autocommit + 0)";
            let found = text(&mut connection, asked).await;
            assert_eq!(found, "ab +05:00 utf8mb4_bin utf8mb4 0", "{level:?} {round}");
            connection.query_drop("SET @order = 'z', autocommit = 1").await.unwrap();
        }
        assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
    }
}

#[tokio::test]
async fn a_reset_leaves_texts_readable_whatever_the_servers_character_set() {
    let Some(server) = pool_testkit::servers::MariaDb::builder()
        .setting("character-set-server", "latin1")
        .for_test()
    else {
        return;
    };
    let place = Place::on(&crate::place::root(&server)).await;
    for level in [ResetLevel::Verified, ResetLevel::Clean, ResetLevel::ChangeUser] {
        let pool = place.builder().max_size(1).reset_level(level).build().await.unwrap();
        for _ in 0..3 {
            let mut connection = soon(pool.acquire()).await.unwrap();
            let said: Option<(String, u32)> =
                connection.query_first("SELECT 'ä€🦀', CHAR_LENGTH('ä€🦀')").await.unwrap();
            assert_eq!(said, Some(("ä€🦀".into(), 3)), "{level:?}");
            connection.query_drop("SET @mine = 1").await.unwrap();
        }
        assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
    }
}

#[tokio::test]
async fn r18_a_raw_connection_has_to_prove_itself() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.raw().unwrap().query_drop("SET @mine = 1; BEGIN").await.unwrap();
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    assert_eq!(text(&mut connection, "SELECT COALESCE(@mine, 'gone')").await, "gone");
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");

    // The driver's own latch comes off with the next answer, which is that of the last question.
    let raw = connection.raw().unwrap();
    let slow = raw.query_first::<i32, _>("SELECT 1 FROM (SELECT SLEEP(0.2)) AS s");
    tokio::time::timeout(std::time::Duration::from_millis(50), slow).await.unwrap_err();
    raw.ping().await.unwrap();
    assert!(!raw.is_disconnected(), "so it looks well");
    drop(connection);
    is_in_step(&mut soon(pool.acquire()).await.unwrap()).await;
    assert_eq!(pool.snapshot().counts.created, 2, "another connection");
}

#[tokio::test]
async fn r17_rows_that_nobody_read_are_nobodys_answer() {
    let place = Place::new().await;
    let pool = place.one().await;
    let many = "SELECT 7 FROM information_schema.columns AS a, information_schema.columns AS b \
                LIMIT 20000";
    let mut connection = soon(pool.acquire()).await.unwrap();
    let mut rows = connection.query_iter(many).await.unwrap();
    assert_eq!(rows.next_as::<i32>().await.unwrap(), Some(7));
    drop(rows);
    is_in_step(&mut connection).await;
    let mut rows = connection.exec_iter(many, ()).await.unwrap();
    assert_eq!(rows.next_as::<i32>().await.unwrap(), Some(7));
    drop(rows);
    drop(connection);
    let mut connection = soon(pool.acquire()).await.unwrap();
    is_in_step(&mut connection).await;
    // The second answer is an error, which is nobody's either.
    drop(connection.query_iter("SELECT 1; SELECT nothing").await.unwrap());
    is_in_step(&mut connection).await;
    drop(connection.query_iter("SELECT 1; SELECT nothing").await.unwrap());
    drop(connection);
    is_in_step(&mut soon(pool.acquire()).await.unwrap()).await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}
