//! What went wrong once, and must not again: each by the shortest way that shows it.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pool_postgres::pool_core::{
    BoxError, BoxFuture, Builder, ConnectContext, ErrorClass, ManagedPool, Manager, Validation,
};
use pool_postgres::tokio_postgres::SimpleQueryMessage;
use pool_postgres::{PgConnection, PgError, PgErrorKind, PgManager, PgPool, ResetLevel};
use pool_testkit::{Fault, FaultProxy, poll_times};
use tokio::time::{Instant, timeout};

use crate::place::{Place, shared};
use crate::soon;

/// A pool of one connection, which the next user gets for certain.
async fn one(place: &Place) -> PgPool {
    place.builder().max_size(1).build().await.unwrap()
}

/// What a test needs, by a name of its own: `$T` stands for it.
async fn make(place: &Place, sql: &str) -> String {
    let name = place.name.replace('-', "_");
    place.admin.0.batch_execute(&sql.replace("$T", &name)).await.unwrap();
    name
}

async fn count(connection: &PgConnection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    soon(connection.query_one(&sql, &[])).await.unwrap().get(0)
}

#[tokio::test]
async fn a_copy_by_a_call_that_has_no_data_costs_its_connection_only() {
    let place = Place::new().await;
    let table = make(&place, "CREATE TABLE $T (x int); GRANT ALL ON $T TO test").await;
    let copy = format!("COPY {table} FROM STDIN");
    for is_prepared in [false, true] {
        let pool = one(&place).await;
        let connection = soon(pool.acquire()).await.unwrap();
        let copied = async {
            match is_prepared {
                true => connection.execute(&copy, &[]).await.map(drop),
                false => connection.batch_execute(&copy).await,
            }
        };
        assert_eq!(soon(copied).await.unwrap_err().kind(), PgErrorKind::OutOfStep);
        drop(connection);
        let connection = soon(pool.acquire()).await.unwrap();
        soon(connection.query_one("SELECT 7", &[])).await.unwrap();
        assert_eq!(pool.snapshot().counts.created, 2, "prepared: {is_prepared}");
    }
}

#[tokio::test]
async fn r14_a_copy_by_a_call_that_takes_no_data_is_ended() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    // The server says that it begins when it has a few kilobytes to send.
    let rows = "SELECT repeat('x', 10000), pg_sleep(0.1) FROM generate_series(1, 36000)";
    let copied = soon(connection.batch_execute(&format!("COPY ({rows}) TO STDOUT"))).await;
    assert_eq!(copied.unwrap_err().kind(), PgErrorKind::OutOfStep);
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    soon(connection.query_one("SELECT 7", &[])).await.unwrap();
    place.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE mine AND state = 'active')").await;
}

#[tokio::test]
async fn a_copy_says_what_is_found_out_only_at_its_commit() {
    let place = Place::new().await;
    let table = make(
        &place,
        "CREATE TABLE $T_keys (x int PRIMARY KEY); \
         CREATE TABLE $T (x int REFERENCES $T_keys DEFERRABLE INITIALLY DEFERRED); \
         GRANT ALL ON $T, $T_keys TO test",
    )
    .await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let mut copy = connection.copy_in::<Bytes>(&format!("COPY {table} FROM STDIN")).await.unwrap();
    copy.send(Bytes::from_static(b"1\n2\n")).await.unwrap();
    let said = soon(copy.finish()).await.unwrap_err();
    assert_eq!(said.kind(), PgErrorKind::Constraint, "{said}");
    assert_eq!(count(&connection, &table).await, 0);

    let copy = format!("COPY (INSERT INTO {table} VALUES (5) RETURNING x) TO STDOUT");
    let mut copy = connection.copy_out(&copy).await.unwrap();
    let mut next = async || soon(poll_fn(|cx| Pin::new(&mut copy).poll_next(cx))).await;
    assert_eq!(next().await.unwrap().unwrap(), "5\n");
    let said = next().await.unwrap().unwrap_err();
    assert_eq!(said.kind(), PgErrorKind::Constraint, "{said}");
    assert!(next().await.is_none());
    drop(copy);
    assert_eq!(count(&connection, &table).await, 0);
}

#[tokio::test]
async fn new_types_are_read_after_prepared_statements_were_cleared() {
    let place = Place::new().await;
    let make_types = "CREATE TYPE $T_a AS ENUM ('x'); CREATE TYPE $T_b AS ENUM ('y')";
    let name = make(&place, make_types).await;
    for what in ["level", "PREPARE", "raw"] {
        let level = if what == "level" { ResetLevel::DiscardAll } else { ResetLevel::Verified };
        let pool = place.builder().max_size(1).reset_level(level).build().await.unwrap();
        let mut connection = soon(pool.acquire()).await.unwrap();
        // The driver prepares statements of its own to look types up.
        connection.query(&format!("SELECT 'x'::{name}_a"), &[]).await.unwrap();
        match what {
            "PREPARE" => connection.batch_execute("PREPARE mine AS SELECT 1").await.unwrap(),
            "raw" => drop(connection.raw().batch_execute("SELECT 1").await),
            _ => {}
        }
        drop(connection);
        for _ in 0..3 {
            let connection = soon(pool.acquire()).await.unwrap();
            let read = soon(connection.query(&format!("SELECT 'y'::{name}_b"), &[])).await;
            assert_eq!(read.unwrap_or_else(|error| panic!("{what}: {error}")).len(), 1);
        }
    }
}

#[tokio::test]
async fn a_typed_query_reads_many_rows_of_a_type_that_is_new_to_it() {
    let place = Place::new().await;
    let name = make(&place, "CREATE TYPE $T AS ENUM ('x')").await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let many = format!("SELECT 'x'::{name}, repeat('x', 1000) FROM generate_series(1, 10000)");
    assert_eq!(soon(connection.query_typed(&many, &[])).await.unwrap().len(), 10_000);
}

const LEVELS: [ResetLevel; 3] = [ResetLevel::Verified, ResetLevel::Clean, ResetLevel::DiscardAll];

#[tokio::test]
async fn a_ping_before_each_use_is_nobodys_leavings() {
    let place = Place::new().await;
    for level in LEVELS {
        let builder = place.builder().max_size(1).reset_level(level);
        let pool = builder.config(|it| it.validation(Validation::Always)).build().await.unwrap();
        for _ in 0..10 {
            let connection = soon(pool.acquire()).await.unwrap();
            connection.batch_execute("SELECT 1").await.unwrap();
        }
        assert_eq!(pool.snapshot().counts.created, 1, "{level:?}");
    }
}

fn hook(connection: &mut PgConnection) -> BoxFuture<'_, Result<(), BoxError>> {
    Box::pin(async {
        connection.batch_execute("SET my.own = 'of a hook'").await?;
        connection.batch_execute("RESET my.own").await?;
        Ok(())
    })
}

/// Whichever hook it is, at whichever level.
async fn are_served_with(hooked: fn(Builder<PgManager>) -> Builder<PgManager>) {
    let place = Place::new().await;
    for level in LEVELS {
        let manager = place.builder().reset_level(level).manager().unwrap();
        let pool = hooked(ManagedPool::builder(manager).max_size(1)).build().unwrap();
        for _ in 0..5 {
            let connection = soon(pool.acquire()).await.unwrap();
            connection.batch_execute("SELECT 1").await.unwrap();
        }
        assert_eq!(pool.snapshot().counts.created, 1, "{level:?}");
    }
}

#[tokio::test]
async fn what_a_hook_does_after_a_connect_is_nobodys_leavings() {
    are_served_with(|builder| builder.after_connect_async(hook)).await;
}

#[tokio::test]
async fn what_a_hook_does_before_a_use_is_nobodys_leavings() {
    are_served_with(|builder| builder.before_acquire_async(hook)).await;
}

#[tokio::test]
async fn what_a_hook_does_after_a_use_is_nobodys_leavings() {
    are_served_with(|builder| builder.after_release_async(hook)).await;
}

#[tokio::test]
async fn what_a_hook_sets_up_is_there_after_a_reset() {
    let place = Place::new().await;
    let builder = place.builder().max_size(1).pool(|pool| {
        pool.after_connect_async(|connection| {
            Box::pin(async {
                connection
                    .batch_execute("SET my.own = 'of a hook'; PREPARE own AS SELECT 1")
                    .await?;
                connection.raw().batch_execute("SET my.raw = 'too'").await?;
                Ok(())
            })
        })
    });
    let pool = soon(builder.build()).await.unwrap();
    for changes in [false, true, false] {
        let connection = soon(pool.acquire()).await.unwrap();
        let own = "SELECT current_setting('my.own') || ' ' || current_setting('my.raw')";
        let own = connection.query_one(own, &[]).await.unwrap();
        assert_eq!(own.get::<_, &str>(0), "of a hook too");
        connection.batch_execute("EXECUTE own").await.unwrap();
        if changes {
            connection.batch_execute("SET my.own = 'of a user'").await.unwrap();
        }
    }
    let counts = pool.snapshot().counts;
    assert_eq!((counts.created, counts.reset), (1, 1));
}

#[tokio::test]
async fn r18_a_setting_by_a_function_is_seen_whatever_stands_behind_it() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let set = "SELECT set_config('my.own', 'leaked', false) WHERE coalesce(NULL, true)";
    connection.query_one(set, &[]).await.unwrap();
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    let own = "SELECT coalesce(current_setting('my.own', true), '')";
    let own = connection.query_one(own, &[]).await.unwrap();
    assert_eq!(own.get::<_, &str>(0), "");
}

#[tokio::test]
async fn r14_a_raw_clients_abandoned_statement_is_ended() {
    let place = Place::new().await;
    let pool = one(&place).await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let slow = connection.raw().batch_execute("SELECT pg_sleep(3600)");
    timeout(Duration::from_millis(50), slow).await.unwrap_err();
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    place.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE mine AND state = 'active')").await;
    soon(connection.batch_execute("SELECT 1")).await.unwrap();
    assert_eq!(pool.snapshot().counts.created, 1);
}

#[tokio::test]
async fn r14_what_was_given_up_ends_where_its_connection_is_closed_too() {
    let place = Place::new().await;
    for (end, raw) in
        [("invalidate", false), ("invalidate", true), ("invalidate_all", false), ("close", false)]
    {
        let pool = one(&place).await;
        let mut connection = soon(pool.acquire()).await.unwrap();
        let limit = Duration::from_millis(50);
        if raw {
            let slow = connection.raw().batch_execute("SELECT pg_sleep(3600)");
            timeout(limit, slow).await.unwrap_err();
        } else {
            timeout(limit, connection.execute("SELECT pg_sleep(3600)", &[])).await.unwrap_err();
        }
        match end {
            "invalidate" => connection.invalidate(),
            "invalidate_all" => {
                pool.invalidate_all();
                drop(connection);
            }
            _ => {
                drop(pool.close(Duration::ZERO));
                drop(connection);
            }
        }
        place
            .until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE mine AND state = 'active')")
            .await;
        assert_eq!(pool.snapshot().counts.abandoned, 0, "{end}");
    }
}

/// Also with parameters that are not `Sync` by their type.
#[test]
fn futures_of_streams_can_be_spawned() {
    fn is_send<T: Send>(_: fn(&'static PgConnection) -> T) {}
    is_send(|connection| connection.query_raw("SELECT 1", Vec::<i32>::new()));
    is_send(|connection| connection.query_raw("SELECT $1", ["x"]));
}

#[tokio::test]
async fn a_statement_that_was_executed_is_not_tried_again() {
    let place = Place::new().await;
    // Fails as a statement does that has to be prepared anew, though after it kept something.
    let name = make(
        &place,
        "CREATE TABLE $T (x int); CREATE TABLE $T_fails (x bool); \
         GRANT ALL ON $T, $T_fails TO test; \
         CREATE PROCEDURE $T_call() LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO $T VALUES (1); COMMIT; IF EXISTS (SELECT FROM $T_fails) THEN \
         RAISE EXCEPTION 'no' USING ERRCODE = 'feature_not_supported'; END IF; END $$",
    )
    .await;
    let pool = one(&place).await;
    let connection = soon(pool.acquire()).await.unwrap();
    let call = format!("CALL {name}_call()");
    connection.execute(&call, &[]).await.unwrap();
    make(&place, "INSERT INTO $T_fails VALUES (true)").await;
    soon(connection.execute(&call, &[])).await.unwrap_err();
    assert_eq!(count(&connection, &name).await, 2);
}

#[tokio::test]
async fn statements_that_were_dropped_on_their_way_do_not_pile_up() {
    let place = Place::new().await;
    let pool = one(&place).await;
    for n in 0..100 {
        let connection = soon(pool.acquire()).await.unwrap();
        let sql = format!("SELECT {n}");
        drop(poll_times(connection.query(&sql, &[]), 1, true).await);
    }
    let connection = soon(pool.acquire()).await.unwrap();
    let prepared = "SELECT count(*) FROM pg_prepared_statements";
    let prepared = connection.simple_query(prepared).await.unwrap();
    let prepared = prepared.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let prepared: u32 = prepared.unwrap().parse().unwrap();
    assert!(prepared < 40, "{prepared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_standby_that_does_not_answer_makes_way_for_who_does() {
    let server = shared();
    let proxy = FaultProxy::start(server.address()).unwrap();
    proxy.set(Fault::Blackhole);
    let (live, dead) = (server.address(), proxy.address());
    let connect = async |hosts: String| {
        let url = format!(
            "postgres://test@{hosts}/test?sslmode=disable&target_session_attrs=prefer-standby"
        );
        let builder = PgPool::builder(&url).unwrap().max_size(1);
        let builder = builder.config(|it| it.connect_timeout(Duration::from_secs(4)));
        builder.build().await.map(drop).unwrap_or_else(|error| panic!("{hosts}: {error}"));
    };
    let (first, last) = (connect(format!("{dead},{live}")), connect(format!("{live},{dead}")));
    soon(async { tokio::join!(first, last) }).await;
}

/// Fails with one, while the next user waits for the connection.
async fn next_users_answer(pool: &PgPool, fails: &str) -> Result<(), PgError> {
    let connection = soon(pool.acquire()).await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await?.batch_execute("SELECT 1").await }
    });
    tokio::task::yield_now().await;
    soon(connection.batch_execute(fails)).await.unwrap_err();
    drop(connection);
    soon(waiting).await.unwrap()
}

#[tokio::test]
async fn r18_nobody_lands_in_anothers_failed_transaction() {
    let place = Place::new().await;
    let pool = one(&place).await;
    // The codes of the first two are those of other things, too.
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '08001'; END $$";
    for fails in ["DEALLOCATE nosuch", raise, "SELECT 1 / 0"] {
        for _ in 0..100 {
            let next = next_users_answer(&pool, &format!("BEGIN; {fails}")).await;
            next.unwrap_or_else(|error| panic!("{fails}: {error}"));
        }
    }
}

#[tokio::test]
async fn r16_a_connection_that_the_server_ends_is_handed_to_nobody() {
    let place = Place::new().await;
    let pool = one(&place).await;
    for _ in 0..50 {
        let next = next_users_answer(&pool, "SELECT pg_terminate_backend(pg_backend_pid())").await;
        next.expect("another connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_a_cancel_left_on_its_way_is_not_forgotten_for_one_that_ended() {
    let proxy = FaultProxy::start(shared().address()).unwrap();
    let url = format!("postgres://test@{}/test?sslmode=disable", proxy.address());
    let pool = PgPool::builder(&url).unwrap().max_size(1).build().await.unwrap();
    let connection = soon(pool.acquire()).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(300)));
    let token = connection.cancel_token();
    timeout(Duration::from_millis(50), token.cancel()).await.unwrap_err();
    proxy.set(Fault::Pass);
    soon(token.cancel()).await.unwrap();
    drop(connection);
    let connection = soon(pool.acquire()).await.unwrap();
    soon(connection.batch_execute("SELECT pg_sleep(1)")).await.expect("hit by a cancel");
    assert_eq!(pool.snapshot().counts.created, 2);
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_said_at_once() {
    let place = Place::new().await;
    let wrong = || place.builder().options(|it| it.options("-c statement_timout=5s"));
    let manager = wrong().manager().unwrap();
    let cx = ConnectContext::new(1, Duration::from_secs(20));
    let refused = soon(manager.connect(&cx)).await.unwrap_err();
    assert_eq!(manager.classify(&refused), ErrorClass::Permanent, "{refused}");

    let begun = Instant::now();
    let refused = soon(wrong().build()).await.unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(20), "of its 30");
    assert!(refused.contains("statement_timout"), "{refused}");
}
