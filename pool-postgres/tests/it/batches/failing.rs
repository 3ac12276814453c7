//! What goes wrong half-way leaves nothing, and a connection that is fit for use.

use std::time::Duration;

use pool_postgres::pool_sql::{Batch, OnConflict, Value, ValueType};
use pool_postgres::{PgConnection, PgErrorKind};

use super::{Films, insert, row};
use crate::soon;

/// Whether the session is out of any transaction and answers.
async fn assert_fit(connection: &PgConnection) {
    let sql = "SELECT pg_current_xact_id_if_assigned() IS NULL AND 7 = $1::int4";
    let row = soon(connection.query_one(sql, &[&7])).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named_and_leaves_nothing() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    // Arrays, the second chunk of a COPY, and one that has sent a lot.
    for (count, bad) in [(10, 9), (1_000, 6), (2_000, 1_499), (60_000, 59_998)] {
        let size = |id| Value::I64(if id == bad { 1 << 40 } else { id });
        let rows = (0..count).map(|id| [Value::I64(id), Value::Text("x"), size(id)]);
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let said = format!("row {bad}, column `size`: the I64 is out of range for int4");
        assert_eq!((error.kind(), error.to_string()), (PgErrorKind::Type, said));
        assert_fit(&connection).await;

        let rows = (0..count).map(|id| {
            let mut values = row(id, "x").to_vec();
            values.truncate(if id == bad { 2 } else { 3 });
            values
        });
        let error = soon(connection.insert_many(&films.plan(), rows, |_| ())).await.unwrap_err();
        let said = format!("row {bad} has 2 values, but the plan has 3 columns");
        assert_eq!((error.kind(), error.to_string()), (PgErrorKind::Plan, said));
        assert_fit(&connection).await;
        assert_eq!(films.count().await, 0);
    }
    drop(connection);
    assert_fit(&*films.connection().await).await;
}

/// What the server refuses, at the beginning of a COPY that is long or at its end.
#[tokio::test]
async fn what_the_server_refuses_leaves_nothing() {
    let films = Films::new().await;
    let before = films.connection().await.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
    for bad in [0, 999, 1_000, 29_999] {
        let mut connection = films.connection().await;
        let title = |id| if id == bad { Value::Null(ValueType::Text) } else { Value::Text("x") };
        let rows = (0..30_000).map(|id| [Value::I64(id), title(id), Value::I64(1)]);
        let mut told = 0;
        let plan = films.plan();
        let done = connection.insert_many(&plan, rows, |so_far| told = so_far.rows_done);
        let error = soon(done).await.unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Constraint, "{error}");
        assert_fit(&connection).await;
        assert_eq!(films.count().await, 0);
        let (done, _) = insert(&mut connection, &films.plan(), 0..5_000).await;
        assert_eq!(done.unwrap().affected, 5_000);
        soon(connection.batch_execute(&format!("TRUNCATE {}.film", films.schema))).await.unwrap();
    }
    let after = films.connection().await.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
    assert_eq!(before.get::<_, i32>(0), after.get::<_, i32>(0), "no connection was lost");
}

/// A server that refuses the first row is not sent all the others.
#[tokio::test]
async fn a_copy_that_failed_ends_soon() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    let endless = (0..).map(|id: i64| row(id % 100_000, "endless"));
    let error = soon(connection.insert_many(&films.plan(), endless, |_| ())).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Constraint, "{error}");
    assert_eq!(films.count().await, 0);
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_batch() {
    let films = Films::new().await;
    films.run("ALTER TABLE {}.film ADD UNIQUE (size) DEFERRABLE INITIALLY DEFERRED").await;
    let mut connection = films.connection().await;
    let (done, told) = insert(&mut connection, &films.plan(), 0..3_000).await;
    assert_eq!(done.unwrap_err().kind(), PgErrorKind::Constraint);
    assert_eq!(told.last().unwrap().rows_done, 3_000, "the commit failed, after all rows");
    assert_fit(&connection).await;
    assert_eq!(films.count().await, 0);
}

#[tokio::test]
async fn r14_a_batch_that_is_dropped_leaves_nothing() {
    let films = Films::new().await;
    for n in 0..60_u64 {
        let mut connection = films.connection().await;
        let plan = films.plan();
        let rows = (0..).map(|id| row(id, "endless"));
        let upsert = OnConflict::Ignore;
        // By COPY, by arrays, and within a user's transaction.
        let plan = if n % 3 == 1 { plan.on_conflict(upsert).unwrap() } else { plan };
        if n % 3 == 2 {
            soon(connection.batch_execute("BEGIN")).await.unwrap();
        }
        let limit = Duration::from_micros(fastrand_like(n) % 15_000);
        let endless = connection.insert_many(&plan, rows, |_| ());
        tokio::time::timeout(limit, endless).await.unwrap_err();
        if n % 2 == 0 {
            drop(connection); // the pool cleans up, else the same user's next statement does
            connection = films.connection().await;
        }
        let sql = format!("SELECT count(*) FROM {}.film", films.schema);
        let count = soon(connection.query_one(&sql, &[])).await.unwrap();
        assert_eq!(count.get::<_, i64>(0), 0, "round {n}, dropped after {limit:?}");
    }
    assert_eq!(films.count().await, 0);
}

/// Of a batch that ends by itself too: all of it or nothing, whenever it is dropped.
#[tokio::test]
async fn r14_a_batch_that_is_dropped_near_its_end_is_there_or_not() {
    let films = Films::new().await;
    let begun = tokio::time::Instant::now();
    insert(&mut *films.connection().await, &films.plan(), 0..2_500).await.0.unwrap();
    let whole = begun.elapsed();
    for n in 0..40 {
        films.run("TRUNCATE {}.film").await;
        let mut connection = films.connection().await;
        let plan = films.plan();
        let limit = whole.mul_f64(f64::from(n) / 30.0);
        let rows = (0..2_500).map(|id| row(id, "x"));
        let _ = tokio::time::timeout(limit, connection.insert_many(&plan, rows, |_| ())).await;
        assert_fit(&connection).await;
        let count = films.count().await;
        assert!([0, 2_500].contains(&count), "round {n}: {count}");
    }
}

#[tokio::test]
async fn inside_a_transaction_a_batch_is_a_savepoint() {
    let films = Films::new().await;
    let plan = films.plan();
    let mut connection = films.connection().await;
    let one = |id| [row(id, "x")];

    // By its own methods.
    let mut tx = soon(connection.transaction()).await.unwrap();
    soon(tx.insert_many(&plan, one(1), |_| ())).await.unwrap();
    let many = (2..4_000).map(|id| row(id, "x"));
    soon(tx.insert_many(&plan, many, |_| ())).await.unwrap();
    soon(tx.insert_many(&plan, one(1), |_| ())).await.unwrap_err();
    let twice = (4_000..8_000).map(|id| row(id.min(7_000), "x"));
    soon(tx.insert_many(&plan, twice, |_| ())).await.unwrap_err();
    let dropped = tx.insert_many(&plan, (9_000..).map(|id| row(id, "x")), |_| ());
    tokio::time::timeout(Duration::from_millis(20), dropped).await.unwrap_err();
    soon(tx.insert_many(&plan, one(0), |_| ())).await.unwrap();
    soon(tx.commit()).await.unwrap();
    assert_eq!(films.count().await, 4_000);

    // Rolled back with it.
    let mut tx = soon(connection.transaction()).await.unwrap();
    soon(tx.insert_many(&plan, (10_000..13_000).map(|id| row(id, "x")), |_| ())).await.unwrap();
    drop(tx);
    // The wire still tells of a transaction when this begins.
    soon(connection.insert_many(&plan, one(20_000), |_| ())).await.unwrap();
    assert_eq!(films.count().await, 4_001);

    // By SQL.
    soon(connection.batch_execute("BEGIN")).await.unwrap();
    soon(connection.insert_many(&plan, one(30_000), |_| ())).await.unwrap();
    soon(connection.insert_many(&plan, one(1), |_| ())).await.unwrap_err();
    soon(connection.batch_execute("ROLLBACK")).await.unwrap();
    assert_eq!(films.count().await, 4_001);
    soon(connection.batch_execute("BEGIN")).await.unwrap();
    soon(connection.insert_many(&plan, one(30_000), |_| ())).await.unwrap();
    drop(connection);
    assert_fit(&*films.connection().await).await;
    assert_eq!(films.count().await, 4_001);
}

/// Numbers without order, the same every time.
fn fastrand_like(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}
