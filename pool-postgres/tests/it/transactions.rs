//! A transaction that a statement has ended takes nothing more: what follows would be committed by
//! itself.

use bytes::Bytes;
use pool_postgres::pool_sql::{Batch, Insert, Queries, SelectByIds, Value};
use pool_postgres::{PgConnection, PgError, PgErrorKind, PgGuard, PgPool, PgTransaction, Profile};
use pool_testkit::poll_times;

use crate::place::Place;
use crate::soon;

const PROFILES: [Profile; 2] = [Profile::Direct, Profile::Pooler];
const INSERT: &str = "INSERT INTO kept VALUES (2)";

/// A connection with an empty table of its own.
async fn with_table(place: &Place, profile: Profile) -> (PgPool, PgGuard) {
    let pool = place.builder().profile(profile).max_size(1).build().await.unwrap();
    let connection = soon(pool.acquire()).await.unwrap();
    connection.batch_execute("CREATE TEMP TABLE kept (x int)").await.unwrap();
    (pool, connection)
}

/// A transaction that has written 1.
async fn begun(connection: &mut PgConnection) -> PgTransaction<'_> {
    let tx = soon(connection.transaction()).await.unwrap();
    tx.execute("INSERT INTO kept VALUES (1)", &[]).await.unwrap();
    tx
}

async fn kept(connection: &PgConnection) -> Vec<i32> {
    let rows = soon(connection.query("SELECT x FROM kept ORDER BY x", &[])).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn is_over<T>(done: Result<T, PgError>) {
    let refused = done.map(drop).expect_err("nothing is there to run it in");
    assert_eq!(refused.kind(), PgErrorKind::TransactionOver, "{refused}");
    assert!(refused.to_string().contains("by commit() or rollback() of its handle"), "{refused}");
}

#[tokio::test]
async fn nothing_is_run_after_a_commit_or_a_rollback_by_a_statement() {
    let place = Place::new().await;
    for profile in PROFILES {
        let (pool, mut connection) = with_table(&place, profile).await;
        for (sql, wanted) in [("ROLLBACK", &[][..]), ("COMMIT", &[1]), ("COMMIT", &[1, 1])] {
            for way in 0..3 {
                let tx = begun(&mut connection).await;
                match way {
                    0 => drop(soon(tx.execute(sql, &[])).await.unwrap()),
                    1 => soon(tx.batch_execute(sql)).await.unwrap(),
                    _ => drop(soon(tx.simple_query(sql)).await.unwrap()),
                }
                is_over(soon(tx.execute(INSERT, &[])).await);
                is_over(soon(tx.commit()).await);
                if wanted.len() < 2 {
                    assert_eq!(kept(&connection).await, wanted, "{sql}");
                    connection.batch_execute("TRUNCATE kept").await.unwrap();
                }
            }
        }
        assert_eq!(kept(&connection).await, [1, 1, 1]);
        assert_eq!(pool.snapshot().counts.created, 1);
    }
}

#[tokio::test]
async fn every_call_of_an_ended_transaction_is_refused() {
    let place = Place::new().await;
    for profile in PROFILES {
        let (_pool, mut connection) = with_table(&place, profile).await;
        let mut tx = begun(&mut connection).await;
        {
            let prepared = soon(tx.prepare(INSERT)).await.unwrap();
            let portal = soon(tx.bind(&prepared, &[])).await.unwrap();
            soon(tx.batch_execute("COMMIT")).await.unwrap();
            is_over(soon(tx.execute(&prepared, &[])).await);
            is_over(soon(tx.query_raw(&prepared, Vec::<i32>::new())).await);
            is_over(soon(tx.bind(&prepared, &[])).await);
            is_over(soon(tx.query_portal(&portal, 0)).await);
        }
        is_over(soon(tx.prepare(INSERT)).await);
        is_over(soon(tx.prepare_typed(INSERT, &[])).await);
        is_over(soon(tx.query(INSERT, &[])).await);
        is_over(soon(tx.query_raw(INSERT, Vec::<i32>::new())).await);
        is_over(soon(tx.query_typed(INSERT, &[])).await);
        is_over(soon(tx.execute(INSERT, &[])).await);
        is_over(soon(tx.simple_query(INSERT)).await);
        is_over(soon(tx.batch_execute(INSERT)).await);
        is_over(soon(tx.batch_execute("BEGIN")).await);
        is_over(soon(tx.copy_in::<Bytes>("COPY kept FROM STDIN")).await);
        is_over(soon(tx.copy_out("COPY kept TO STDOUT")).await);
        is_over(soon(tx.execute_values(INSERT, &[])).await);
        let plan = Insert::into("kept").unwrap().columns(["x"]).unwrap();
        is_over(soon(tx.insert_many(&plan, [[Value::I64(2)]], |_| {})).await);
        is_over(soon(tx.insert_returning(&plan, [[Value::I64(2)]], ["x"])).await);
        let plan = SelectByIds::from("kept").unwrap().columns(["x"]).unwrap();
        let plan = plan.id_column("x").unwrap();
        is_over(soon(tx.select_by_ids(&plan, &[Value::I64(1)])).await);
        is_over(soon(tx.transaction()).await);
        drop(tx);
        assert_eq!(kept(&connection).await, [1]);
    }
}

#[tokio::test]
async fn a_rollback_of_what_a_statement_committed_is_no_success() {
    let place = Place::new().await;
    let (_pool, mut connection) = with_table(&place, Profile::Direct).await;
    for sql in ["COMMIT", "ROLLBACK"] {
        let tx = begun(&mut connection).await;
        soon(tx.batch_execute(sql)).await.unwrap();
        is_over(soon(tx.rollback()).await);
    }
    assert_eq!(kept(&connection).await, [1]);
}

#[tokio::test]
async fn a_savepoint_and_what_is_around_it_end_together() {
    let place = Place::new().await;
    for profile in PROFILES {
        let (_pool, mut connection) = with_table(&place, profile).await;
        for (sql, wanted) in [("ROLLBACK", &[][..]), ("COMMIT", &[1])] {
            for way in 0..3 {
                let mut tx = begun(&mut connection).await;
                let savepoint = soon(tx.transaction()).await.unwrap();
                soon(savepoint.execute(sql, &[])).await.unwrap();
                is_over(soon(savepoint.execute(INSERT, &[])).await);
                match way {
                    0 => is_over(soon(savepoint.commit()).await),
                    1 => is_over(soon(savepoint.rollback()).await),
                    _ => drop(savepoint),
                }
                is_over(soon(tx.execute(INSERT, &[])).await);
                drop(tx);
                assert_eq!(kept(&connection).await, wanted, "{sql}");
                connection.batch_execute("TRUNCATE kept").await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_commit_by_a_statement_that_failed_has_ended_it_too() {
    let place = Place::new().await;
    let (_pool, mut connection) = with_table(&place, Profile::Direct).await;
    let unique = "ALTER TABLE kept ADD UNIQUE (x) DEFERRABLE INITIALLY DEFERRED";
    connection.batch_execute(unique).await.unwrap();
    let tx = begun(&mut connection).await;
    tx.execute("INSERT INTO kept VALUES (1)", &[]).await.unwrap();
    let twice = soon(tx.execute("COMMIT", &[])).await.unwrap_err();
    assert_eq!(twice.kind(), PgErrorKind::Constraint);
    is_over(soon(tx.execute(INSERT, &[])).await);
    is_over(soon(tx.commit()).await);
    assert_eq!(kept(&connection).await, [0; 0]);
}

/// A failed transaction is there still, and the server says what it takes.
#[tokio::test]
async fn a_failed_transaction_is_not_an_ended_one() {
    let place = Place::new().await;
    let (_pool, mut connection) = with_table(&place, Profile::Direct).await;
    let tx = begun(&mut connection).await;
    tx.execute("SELECT 1/0", &[]).await.unwrap_err();
    let refused = soon(tx.execute(INSERT, &[])).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("25P02"));
    assert_eq!(soon(tx.commit()).await.unwrap_err().kind(), PgErrorKind::RolledBack);
    let tx = begun(&mut connection).await;
    tx.execute("SELECT 1/0", &[]).await.unwrap_err();
    soon(tx.rollback()).await.unwrap();
}

#[tokio::test]
async fn calls_under_way_together_are_run_and_one_after_their_commit_is_refused() {
    let place = Place::new().await;
    let (_pool, mut connection) = with_table(&place, Profile::Direct).await;
    for _ in 0..20 {
        let tx = begun(&mut connection).await;
        let call = || tx.execute(INSERT, &[]);
        soon(async { tokio::try_join!(call(), call(), call(), call()) }).await.unwrap();
        let end = tx.batch_execute("COMMIT");
        soon(async { tokio::try_join!(call(), call(), end) }).await.unwrap();
        is_over(soon(call()).await);
        is_over(soon(tx.commit()).await);
        assert_eq!(kept(&connection).await, [1, 2, 2, 2, 2, 2, 2]);
        connection.batch_execute("TRUNCATE kept").await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_that_was_given_up_on_its_way_is_seen() {
    let place = Place::new().await;
    let (_pool, mut connection) = with_table(&place, Profile::Direct).await;
    let tx = begun(&mut connection).await;
    assert!(poll_times(tx.batch_execute("COMMIT"), 1, true).await.is_none());
    let refused = soon(tx.execute(INSERT, &[])).await.unwrap_err();
    // Unless it took so long that it was cancelled, and failed.
    let is_failed = refused.code().is_some_and(|code| code.code() == "25P02");
    assert!(is_failed || refused.kind() == PgErrorKind::TransactionOver, "{refused}");
    soon(tx.commit()).await.unwrap_err();
    assert!(!kept(&connection).await.contains(&2));
}

/// What is on the wire from before it, a dropped transaction's `ROLLBACK`, is not about it.
#[tokio::test]
async fn a_new_transaction_is_not_taken_for_one_that_has_ended() {
    let place = Place::new().await;
    for profile in PROFILES {
        let (_pool, mut connection) = with_table(&place, profile).await;
        for nth in 0..50 {
            let tx = begun(&mut connection).await;
            // Behind a pooler what was given up ends the connection.
            if nth % 2 == 0 && profile == Profile::Direct {
                let given_up = poll_times(tx.batch_execute("SELECT 1"), 1, true).await;
                assert!(given_up.is_none());
            }
            drop(tx);
            let tx = begun(&mut connection).await;
            soon(tx.execute(INSERT, &[])).await.unwrap();
            soon(tx.commit()).await.unwrap();
        }
        assert_eq!(kept(&connection).await.len(), 100);
    }
}
