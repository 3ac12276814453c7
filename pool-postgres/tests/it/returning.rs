//! R17, R18: what a connection leaves behind, and that nobody finds it.

use std::time::Duration;

use bytes::Bytes;
use pool_postgres::pool_core::ManagedPool;
use pool_postgres::tokio_postgres::{IsolationLevel, SimpleQueryMessage};
use pool_postgres::{PgConnection, PgErrorKind, PgGuard, PgPool, ResetLevel};

use crate::place::Place;
use crate::soon;

/// A pool of one connection, which the next user gets for certain.
async fn one(place: &Place) -> PgPool {
    place.builder().max_size(1).build().await.unwrap()
}

async fn text(connection: &PgConnection, sql: &str) -> String {
    connection.query_one(sql, &[]).await.unwrap().get(0)
}

/// Asks something with one right answer, outside any transaction.
async fn is_as_new(connection: &PgConnection, session: &str) {
    for nonce in [1_i64, 2] {
        let asked = "SELECT $1::bigint, now(), pg_current_xact_id_if_assigned() IS NULL";
        let row = connection.query_one(asked, &[&nonce]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), nonce);
        assert!(row.get::<_, bool>(2), "in somebody's transaction");
    }
    let now = "SELECT clock_timestamp()::text";
    assert_ne!(text(connection, now).await, text(connection, now).await);
    assert_eq!(text(connection, session).await, "");
}

#[tokio::test]
async fn r17_an_abandoned_transaction_lets_go_of_its_locks_at_once() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    tx.execute("SELECT pg_advisory_xact_lock(17)", &[]).await.unwrap();
    drop(tx);
    drop(connection);
    // Nobody checks out.
    place
        .until("NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 17)")
        .await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(17)").await.unwrap();
    connection.batch_execute("SELECT 1/0").await.unwrap_err();
    drop(connection);
    place
        .until("NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 17)")
        .await;
    connection = soon(pool.acquire()).await.unwrap();
    is_as_new(&connection, "SELECT ''").await;
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn r18_what_a_statement_did_to_the_session_is_gone() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let settings = "SELECT coalesce(nullif(current_setting('my.own', true), ''), '') \
                    || CASE WHEN current_setting('work_mem') = '7MB' THEN 'work_mem' ELSE '' END";
    for (leave, found) in [
        ("SET work_mem = '7MB'", settings),
        ("SELECT set_config('my.own', 'x', false)", settings),
        ("SET SESSION AUTHORIZATION DEFAULT; SET my.own = 'x'", settings),
        ("LISTEN news", "SELECT coalesce(string_agg(c, ''), '') FROM pg_listening_channels() c"),
        (
            "CREATE TEMP TABLE mine (x int)",
            "SELECT coalesce(to_regclass('pg_temp.mine')::text, '')",
        ),
        (
            "PREPARE mine AS SELECT 1",
            "SELECT coalesce(string_agg(name, ''), '') FROM pg_prepared_statements \
             WHERE from_sql",
        ),
        (
            "BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 1; COMMIT",
            "SELECT coalesce(string_agg(name, ''), '') FROM pg_cursors WHERE is_holdable",
        ),
        (
            "SELECT pg_advisory_lock(18)",
            "SELECT coalesce(string_agg('locked', ''), '') FROM pg_locks \
             WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        ),
    ] {
        // By all the ways in which it can be sent; twice, so that it is a cached one too.
        for way in 0..4 {
            let connection = soon(pool.acquire()).await.unwrap();
            match way {
                0 | 1 if !leave.contains(';') => {
                    connection.execute(leave, &[]).await.unwrap();
                }
                2 => connection.batch_execute(leave).await.unwrap(),
                _ => drop(connection.simple_query(leave).await.unwrap()),
            }
            drop(connection);
            let connection = soon(pool.acquire()).await.unwrap();
            assert_eq!(text(&connection, found).await, "", "{leave}, way {way}");
            drop(connection);
        }
    }
    assert_eq!(pool.snapshot().counts.created, 1);
}

#[tokio::test]
async fn r18_what_only_reads_or_writes_costs_no_reset() {
    let place = Place::new().await;
    let pool = one(&place).await;
    for _ in 0..3 {
        let mut connection = soon(pool.acquire()).await.unwrap();
        connection.batch_execute("DROP TABLE IF EXISTS plain_table").await.unwrap();
        connection.batch_execute("CREATE TABLE plain_table (x int UNIQUE)").await.unwrap();
        let tx = connection.transaction().await.unwrap();
        tx.batch_execute("SET LOCAL work_mem = '7MB'").await.unwrap();
        tx.execute("SELECT set_config('my.own', $1, true)", &[&"x"]).await.unwrap();
        tx.execute("INSERT INTO plain_table VALUES ($1)", &[&1]).await.unwrap();
        tx.commit().await.unwrap();
        // An error is no state.
        let again = connection.execute("INSERT INTO plain_table VALUES ($1)", &[&1]).await;
        assert_eq!(again.unwrap_err().kind(), PgErrorKind::Constraint);
    }
    assert_eq!(pool.snapshot().counts.reset, 0);
}

#[tokio::test]
async fn r18_settings_of_a_hook_survive_a_reset() {
    let place = Place::new().await;
    let manager = place.builder().manager().unwrap();
    let pool = ManagedPool::builder(manager)
        .max_size(1)
        .after_connect_async(|connection: &mut PgConnection| {
            Box::pin(async move {
                connection.batch_execute("SET my.own = 'of the hook'").await?;
                Ok(())
            })
        })
        .build()
        .unwrap();
    let own = "SELECT current_setting('my.own', true)";
    for _ in 0..3 {
        let connection = soon(pool.acquire()).await.unwrap();
        assert_eq!(text(&connection, own).await, "of the hook");
        connection.batch_execute("SET my.own = 'of a user'").await.unwrap();
    }
}

#[tokio::test]
async fn levels_clean_what_nobody_saw() {
    let place = Place::new().await;
    let out_of_sight = "DO $$ BEGIN EXECUTE 'SE' || 'T my.own = ''x''' ; END $$";
    let own = "SELECT coalesce(current_setting('my.own', true), '')";
    for (level, left, cached) in [
        (ResetLevel::Fast, "x", 2),
        (ResetLevel::Verified, "x", 2),
        (ResetLevel::Clean, "", 2),
        (ResetLevel::DiscardAll, "", 1),
    ] {
        let pool = place.builder().max_size(1).reset_level(level).build().await.unwrap();
        let connection = soon(pool.acquire()).await.unwrap();
        connection.execute(out_of_sight, &[]).await.unwrap();
        drop(connection);
        let connection = soon(pool.acquire()).await.unwrap();
        assert_eq!(text(&connection, own).await, left, "{level:?}");
        assert_eq!(connection.cached_statements(), cached, "{level:?}");
    }
}

#[tokio::test]
async fn r18_the_raw_client_leaves_nothing() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_one("SELECT 'cached'", &[]).await.unwrap();
    let raw = connection.raw();
    raw.batch_execute("SET my.own = 'x'; CREATE TEMP TABLE mine (); BEGIN").await.unwrap();
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    is_as_new(&connection, "SELECT coalesce(current_setting('my.own', true), '')").await;
    let table = "SELECT coalesce(to_regclass('pg_temp.mine')::text, '')";
    assert_eq!(text(&connection, table).await, "");
}

#[tokio::test]
async fn a_commit_after_a_failure_is_an_error() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    tx.execute("SELECT 1/0", &[]).await.unwrap_err();
    assert_eq!(tx.commit().await.unwrap_err().kind(), PgErrorKind::RolledBack);

    let mut tx = connection.transaction().await.unwrap();
    let savepoint = tx.transaction().await.unwrap();
    savepoint.execute("SELECT 1/0", &[]).await.unwrap_err();
    drop(savepoint);
    tx.execute("SELECT 1", &[]).await.unwrap();
    tx.commit().await.unwrap();
}

/// After each of these, an answer of one question must not be given to another.
#[tokio::test]
async fn a_copy_that_fails_shifts_no_answers() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let admin = &place.admin.0;
    let table = place.name.replace('-', "_");
    admin
        .batch_execute(&format!(
            "CREATE TABLE {table}_denied (x int); \
             CREATE TABLE {table}_refused (x int); \
             CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON {table}_refused FOR EACH STATEMENT \
             EXECUTE FUNCTION {table}_refuse(); \
             CREATE TABLE {table}_data (x int); \
             GRANT ALL ON {table}_refused, {table}_data TO test;"
        ))
        .await
        .unwrap();
    for round in 0..60 {
        let connection: PgGuard = soon(pool.acquire()).await.unwrap();
        let which = ["denied", "refused", "data"][round % 3];
        let sql = format!("COPY {table}_{which} FROM STDIN");
        let copied = async {
            let mut copy = connection.copy_in::<Bytes>(&sql).await?;
            for _ in 0..round {
                copy.send(Bytes::from_static(b"no number\n")).await?;
            }
            if round % 2 == 0 { copy.finish().await } else { Ok(0) }
        };
        let copied = soon(copied).await;
        assert!(copied.is_err() || round % 2 == 1 || round == 0, "{which}: {copied:?}");
        // Right, or an error; never the answer to something else.
        for nonce in [7_i64, 8] {
            match soon(connection.query_one("SELECT $1::bigint", &[&nonce])).await {
                Ok(row) => assert_eq!(row.get::<_, i64>(0), nonce, "{which}, round {round}"),
                Err(error) => assert_eq!(error.kind(), PgErrorKind::OutOfStep, "{error}"),
            }
        }
        drop(connection);
        let connection = soon(pool.acquire()).await.unwrap();
        is_as_new(&connection, "SELECT ''").await;
    }
    admin
        .batch_execute(&format!(
            "DROP TABLE {table}_denied, {table}_refused, {table}_data; \
             DROP FUNCTION {table}_refuse"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_statement_is_prepared_anew_when_its_table_changes_or_it_is_gone() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let table = place.name.replace('-', "_");
    let make = format!("CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)");
    connection.batch_execute(&make).await.unwrap();
    let all = format!("SELECT * FROM {table}");
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 1);
    let change = format!("ALTER TABLE {table} ADD b int");
    place.admin.0.batch_execute(&change.replace(&table, &format!("public.{table}"))).await.unwrap();
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 2);

    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 2);
    let hidden = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$";
    connection.execute(hidden, &[]).await.unwrap();
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 2);

    drop(connection); // for good: the driver's own statements are forgotten with the others
    let mut connection = soon(pool.acquire()).await.unwrap();
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 2);
    assert_eq!(pool.snapshot().counts.created, 2);

    // In a transaction it has failed already: an error, and right again in the next.
    let serializable = connection.build_transaction().isolation_level(IsolationLevel::Serializable);
    let tx = serializable.start().await.unwrap();
    tx.batch_execute(hidden).await.unwrap();
    tx.query_one(&all, &[]).await.unwrap_err();
    drop(tx);
    assert_eq!(connection.query_one(&all, &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_statement_cache_is_bounded_and_counted() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).statement_cache(3).build().await.unwrap();
    let connection = soon(pool.acquire()).await.unwrap();
    let before = pool.statement_cache();
    for n in [1, 2, 3, 3, 4, 5, 3] {
        connection.query_one(&format!("SELECT {n}"), &[]).await.unwrap();
    }
    assert_eq!(connection.cached_statements(), 3);
    assert_eq!(pool.statement_cache(), (before.0 + 2, before.1 + 5));
    // What makes way is closed on the server too.
    let prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT _'";
    let rows = connection.simple_query(prepared).await.unwrap();
    let counted = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(counted, Some("3"));
}

#[tokio::test]
async fn statements_of_other_connections_are_refused() {
    let place = Place::new().await;
    let pool = place.builder().max_size(2).build().await.unwrap();
    let (one, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let statement = one.prepare("SELECT 1").await.unwrap();
    one.query_one(&statement, &[]).await.unwrap();
    let refused = other.query_one(&statement, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("another connection"), "{refused}");
}

#[tokio::test]
async fn several_calls_at_once_are_sent_without_waiting() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let ask = |nonce: i64| {
        let connection = &connection;
        async move {
            let row = connection.query_one("SELECT $1::bigint", &[&nonce]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), nonce);
        }
    };
    tokio::join!(ask(1), ask(2), ask(3), ask(4));
    assert_eq!(connection.cached_statements(), 1);
}

#[tokio::test]
async fn a_timeout_of_one_checkout_is_not_the_nexts() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    connection.statement_timeout(Duration::from_millis(20)).await.unwrap();
    let error = soon(connection.execute("SELECT pg_sleep(60)", &[])).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Cancelled);
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    assert_eq!(text(&connection, "SHOW statement_timeout").await, "0");
}
