//! What observers are told; and transactions that are run again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_postgres::pool_sql::{ErrorCode, Outcome, Statement, StatementObserver};
use pool_postgres::{PgError, PgErrorKind, PgPool, ScopedFutureExt};
use tokio::time::timeout;

use crate::place::Place;
use crate::soon;

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl StatementObserver for Log {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let error = outcome.error.as_ref().map_or("ok", ErrorCode::as_str);
        let operation = statement.operation.unwrap_or("-");
        let sql = statement.sql.unwrap_or("-");
        self.0.lock().unwrap().push(format!("{operation}: {sql}: {error}"));
    }
}

#[tokio::test]
async fn every_statement_is_told_with_its_operation_and_outcome() {
    let place = Place::new().await;
    let log = Arc::new(Log::default());
    let pool = place.builder().max_size(1).observer(log.clone()).build().await.unwrap();
    let mut connection = soon(pool.acquire().operation("list")).await.unwrap();
    connection.query("SELECT $1::text", &[&"a secret"]).await.unwrap();
    connection.query("SELECT 1/0", &[]).await.unwrap_err();
    let slow = connection.query("SELECT pg_sleep(30)", &[]);
    timeout(Duration::from_millis(20), slow).await.unwrap_err();
    let tx = connection.transaction().await.unwrap();
    tx.batch_execute("SELECT 2").await.unwrap();
    tx.commit().await.unwrap();
    let told = log.0.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            "list: SELECT $1::text: ok",
            "list: SELECT 1/0: 22012",
            "list: SELECT pg_sleep(30): cancelled",
            "list: START TRANSACTION: ok",
            "list: SELECT 2: ok",
            "list: COMMIT: ok",
        ]
    );
}

async fn transfer(pool: PgPool, table: String, runs: Arc<AtomicU32>) -> Result<(), PgError> {
    let mut connection = pool.acquire().await?;
    connection
        .transaction_with_retry(|tx| {
            // Borrowed, and spawned all the same.
            let (runs, table) = (&runs, &table);
            async move {
                runs.fetch_add(1, Ordering::Relaxed);
                let sum = format!("SELECT sum(x)::bigint FROM {table}");
                let sum: i64 = tx.query_one(&sum, &[]).await?.get(0);
                tx.execute("SELECT pg_sleep(0.02)", &[]).await?; // so that they meet
                tx.execute(&format!("INSERT INTO {table} VALUES ($1)"), &[&sum]).await?;
                Ok(())
            }
            .scope_boxed()
        })
        .await
}

/// Each reads what the others write: one after the other the sum doubles each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicting_transactions_are_run_again() {
    const TASKS: u32 = 6;
    let place = Place::new().await;
    let pool = place.builder().max_size(TASKS).build().await.unwrap();
    let table = place.name.replace('-', "_");
    let make = format!(
        "CREATE TABLE {table} (x bigint); GRANT ALL ON {table} TO test; \
         INSERT INTO {table} VALUES (1)"
    );
    place.admin.0.batch_execute(&make).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(transfer(pool.clone(), table.clone(), runs.clone()));
    }
    while let Some(ended) = soon(tasks.join_next()).await {
        ended.unwrap().unwrap();
    }
    let sum: i64 = place
        .admin
        .0
        .query_one(&format!("SELECT sum(x)::bigint FROM {table}"), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(sum, 1 << TASKS);
    assert!(runs.load(Ordering::Relaxed) > TASKS, "nothing conflicted");

    // What is no conflict is not run again.
    runs.store(0, Ordering::Relaxed);
    let mut connection = soon(pool.acquire()).await.unwrap();
    let failed = connection
        .transaction_with_retry(|tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move { tx.execute("SELECT 1/0", &[]).await }.scope_boxed()
        })
        .await;
    assert_eq!(failed.unwrap_err().kind(), PgErrorKind::Sql);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    place.admin.0.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}
