//! What happens when several calls share a connection: each gets its own answer, or an error; what
//! is given up among them neither holds the others up nor gets them cancelled.

use std::time::Duration;

use bytes::Bytes;
use pool_postgres::tokio_postgres::SimpleQueryMessage;
use pool_postgres::{PgConnection, PgError, PgErrorKind, PgPool};
use tokio::time::timeout;

use crate::place::Place;
use crate::soon;

/// A pool of one connection, which the next user gets for certain.
async fn one(place: &Place) -> PgPool {
    place.builder().max_size(1).build().await.unwrap()
}

/// Far longer than any test.
const HOUR: &str = "SELECT pg_sleep(3600)";

async fn give_up(connection: &PgConnection) {
    let slow = timeout(Duration::from_millis(20), connection.batch_execute(HOUR));
    slow.await.unwrap_err();
}

/// A copy that is denied, prepared already: then the driver sends it at once.
async fn denied_copy(place: &Place, connection: &PgConnection) -> String {
    let table = place.name.replace('-', "_");
    let make = format!("CREATE TABLE {table} (x int)");
    place.admin.0.batch_execute(&make).await.unwrap();
    let copy = format!("COPY {table} FROM STDIN");
    soon(connection.prepare(&copy)).await.unwrap();
    copy
}

/// Says something else than the others.
async fn ask(connection: &PgConnection, word: &str) -> Result<(), PgError> {
    let answer = connection.simple_query(&format!("SELECT '{word}'")).await?;
    let said = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(said, Some(word), "the answer to another question");
    Ok(())
}

/// A call that went well, or the connection is known to be of no more use.
fn is_right_or_told(done: Result<(), PgError>) {
    let Err(error) = done else { return };
    let kind = error.kind();
    assert!(matches!(kind, PgErrorKind::OutOfStep | PgErrorKind::Disconnected), "{error}");
}

#[tokio::test]
async fn r14_six_calls_behind_a_given_up_one_are_not_cancelled() {
    let place = Place::new().await;
    let pool = one(&place).await;
    for _ in 0..30 {
        let connection = soon(pool.acquire()).await.unwrap();
        give_up(&connection).await;
        let call = || connection.batch_execute("SELECT pg_sleep(0.004)");
        let all = async { tokio::try_join!(call(), call(), call(), call(), call(), call()) };
        soon(all).await.expect("hit by a cancel");
    }
}

#[tokio::test]
async fn r14_an_error_is_returned_though_a_given_up_statement_runs_on() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let fails = connection.batch_execute("SELECT pg_sleep(0.2), 1 / (random() * 0)::int");
    let (failed, ()) = soon(async { tokio::join!(fails, give_up(&connection)) }).await;
    assert_eq!(failed.unwrap_err().kind(), PgErrorKind::Sql);
    soon(connection.batch_execute("SELECT 1")).await.unwrap();
}

#[tokio::test]
async fn r14_a_held_stream_does_not_keep_a_given_up_statement_running() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let stream = connection.query_raw("SELECT 1", Vec::<i32>::new()).await.unwrap();
    give_up(&connection).await;
    soon(connection.batch_execute("SELECT 1")).await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_denied_copy_shifts_no_answers_of_calls_beside_it() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let copy = denied_copy(&place, &connection).await;
    drop(connection);
    // Before the others, among them and after them.
    for at in 0..4 {
        let connection = soon(pool.acquire()).await.unwrap();
        soon(connection.prepare(&copy)).await.unwrap();
        let call = async |nth: usize| {
            if nth == at {
                connection.copy_in::<Bytes>(&copy).await.map(drop).expect_err("denied");
            } else {
                is_right_or_told(ask(&connection, &nth.to_string()).await);
            }
        };
        soon(async { tokio::join!(call(0), call(1), call(2), call(3)) }).await;
    }
}

#[tokio::test]
async fn a_denied_copy_beside_a_held_stream_shifts_no_answers() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let copy = denied_copy(&place, &connection).await;
    let stream = connection.query_raw("SELECT 1", Vec::<i32>::new()).await.unwrap();
    soon(connection.copy_in::<Bytes>(&copy)).await.map(drop).expect_err("denied");
    for word in ["one", "two", "three", "four"] {
        is_right_or_told(soon(ask(&connection, word)).await);
    }
    drop(stream);
}

#[tokio::test]
async fn a_denied_copy_gives_nobody_anothers_success_or_failure() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let copy = denied_copy(&place, &connection).await;
    let all = async {
        tokio::join!(
            connection.copy_in::<Bytes>(&copy),
            connection.batch_execute("SELECT 1"),
            connection.batch_execute("INSERT INTO nosuch VALUES (1)"),
            connection.batch_execute("SELECT 2"),
        )
    };
    let (copied, first, wrong, last) = soon(all).await;
    copied.map(drop).expect_err("denied");
    is_right_or_told(first);
    let wrong = wrong.expect_err("there is no such table");
    if wrong.kind() != PgErrorKind::Sql {
        is_right_or_told(Err(wrong));
    }
    is_right_or_told(last);
}

#[tokio::test]
async fn r18_a_local_setting_does_not_hide_what_a_call_beside_it_leaves() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    let set = tx.batch_execute("SET LOCAL work_mem = '7MB'");
    let create = tx.batch_execute("CREATE TEMP TABLE leaked (x int)");
    soon(async { tokio::try_join!(set, create) }).await.unwrap();
    tx.commit().await.unwrap();
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    let found = "SELECT to_regclass('pg_temp.leaked')::text";
    let found = connection.query_one(found, &[]).await.unwrap();
    assert_eq!(found.get::<_, Option<&str>>(0), None);
    assert_eq!(pool.snapshot().counts.created, 1);
}

#[tokio::test]
async fn r18_a_given_up_statement_is_cleared_up_after_also_if_its_user_goes_on() {
    let place = Place::new().await;
    let pool = one(&place).await;
    // Nobody sees what it does.
    let hidden = "DO $$ BEGIN EXECUTE 'SE' || 'T my.own = ''leaked''' ; END $$";
    for goes_on in [false, true] {
        let connection = soon(pool.acquire()).await.unwrap();
        let given_up = pool_testkit::poll_times(connection.batch_execute(hidden), 1, true).await;
        assert!(given_up.is_none());
        if goes_on {
            soon(connection.batch_execute("SELECT 1")).await.unwrap();
        }
        drop(connection);
        let connection = soon(pool.acquire()).await.unwrap();
        let own = "SELECT coalesce(current_setting('my.own', true), '')";
        let own = connection.query_one(own, &[]).await.unwrap();
        assert_eq!(own.get::<_, &str>(0), "", "its user went on: {goes_on}");
    }
}

/// What undid a transaction must not undo a later one, half of it.
#[tokio::test]
async fn r18_a_rollback_of_before_undoes_nothing_later() {
    let place = Place::new().await;
    let table = place.name.replace('-', "_");
    let make = format!("CREATE TABLE {table} (x int); GRANT ALL ON {table} TO test");
    place.admin.0.batch_execute(&make).await.unwrap();
    let insert = format!("INSERT INTO {table} VALUES (1)");
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    drop(soon(connection.transaction()).await.unwrap());
    ask(&connection, "answered").await.unwrap();
    drop(connection);

    let mut connection = soon(pool.acquire()).await.unwrap();
    let tx = connection.transaction().await.unwrap();
    tx.execute(&insert, &[]).await.unwrap();
    let slow = timeout(Duration::from_millis(20), tx.batch_execute(HOUR));
    slow.await.unwrap_err();
    soon(tx.execute(&insert, &[])).await.unwrap_err(); // the transaction was cancelled
    assert_eq!(soon(tx.commit()).await.unwrap_err().kind(), PgErrorKind::RolledBack);
    let count = format!("SELECT count(*) FROM {table}");
    let row = connection.query_one(&count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    assert_eq!(pool.snapshot().counts.created, 1);
}

#[tokio::test]
async fn a_call_behind_a_cancelled_one_waits_for_the_request() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    for _ in 0..20 {
        let cancelled = async {
            connection.batch_execute(HOUR).await.unwrap_err();
            ask(&connection, "next").await
        };
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            connection.cancel_token().cancel().await
        };
        let (next, cancel) = soon(async { tokio::join!(cancelled, cancel) }).await;
        next.unwrap();
        cancel.unwrap();
    }
}

#[tokio::test]
async fn r14_an_answer_that_nobody_looks_at_is_in_nobodys_way() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let copy = soon(connection.copy_out("COPY (SELECT 1) TO STDOUT")).await.unwrap();
    give_up(&connection).await;
    soon(ask(&connection, "next")).await.unwrap();
    drop(copy);
    soon(ask(&connection, "after it")).await.unwrap();
    let mut quick = Box::pin(connection.batch_execute("SELECT 1"));
    assert!(pool_testkit::poll_times(&mut quick, 1, true).await.is_none());
    soon(ask(&connection, "next")).await.unwrap();
    soon(quick).await.unwrap();
}
