//! What observers are told; and transactions that are run again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_postgres::pool_sql::{
    Batch, ErrorCode, Insert, Outcome, Statement, StatementObserver, TransactionEnded, Value,
};
use pool_postgres::{PgError, PgErrorKind, PgPool, ScopedFutureExt};
use pool_testkit::poll_times;
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

tokio::task_local! {
    /// What an observer finds in the caller's task, and nowhere else.
    static CALLER: ();
}

#[derive(Default)]
struct Ends(Mutex<Vec<String>>);

impl Ends {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl StatementObserver for Ends {
    fn finished(&self, statement: &Statement<'_>, _: &Outcome) {
        if CALLER.try_with(|()| ()).is_err() {
            self.0.lock().unwrap().push(format!("{statement:?} elsewhere"));
        }
    }

    fn transaction_ended(&self, transaction: &TransactionEnded) {
        assert_eq!(transaction.backend, "postgresql");
        let operation = transaction.operation.unwrap_or("-");
        let place = CALLER.try_with(|()| "").unwrap_or(" elsewhere");
        self.0.lock().unwrap().push(format!("{operation}: {}{place}", transaction.end));
    }
}

/// A pool of one connection for what is run in the caller's task.
async fn ends(place: &Place) -> (PgPool, Arc<Ends>) {
    let ends = Arc::new(Ends::default());
    let pool = place.builder().max_size(1).observer(ends.clone()).build().await.unwrap();
    (pool, ends)
}

#[tokio::test]
async fn every_transaction_is_told_once_with_its_operation_and_its_end() {
    let place = Place::new().await;
    let (pool, ends) = ends(&place).await;
    let body = CALLER.scope((), async {
        let mut connection = pool.acquire().operation("import").await.unwrap();
        let table = "CREATE TEMP TABLE t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED); \
                     INSERT INTO t VALUES (1)";
        connection.batch_execute(table).await.unwrap();
        assert_eq!(ends.told(), [""; 0], "a statement by itself is no transaction");

        let tx = connection.transaction().await.unwrap();
        tx.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap();
        assert_eq!(ends.told(), [""; 0], "it goes on until its end");
        tx.commit().await.unwrap();
        assert_eq!(ends.told(), ["import: committed"]);
        connection
            .build_transaction()
            .read_only(true)
            .start()
            .await
            .unwrap()
            .commit()
            .await
            .unwrap();
        assert_eq!(ends.told(), ["import: committed"]);

        connection.transaction().await.unwrap().rollback().await.unwrap();
        assert_eq!(ends.told(), ["import: rolled_back"]);
        drop(connection.transaction().await.unwrap());
        assert_eq!(ends.told(), ["import: rolled_back"], "at once");

        let tx = connection.transaction().await.unwrap();
        tx.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
        assert_eq!(tx.commit().await.unwrap_err().kind(), PgErrorKind::Constraint);
        assert_eq!(ends.told(), ["import: rolled_back"], "a refused commit");
        let tx = connection.transaction().await.unwrap();
        tx.execute("SELECT 1/0", &[]).await.unwrap_err();
        assert_eq!(tx.commit().await.unwrap_err().kind(), PgErrorKind::RolledBack);
        assert_eq!(ends.told(), ["import: rolled_back"], "a commit that rolled back");

        let mut tx = connection.transaction().await.unwrap();
        tx.transaction().await.unwrap().commit().await.unwrap();
        drop(tx.transaction().await.unwrap());
        let mut savepoint = tx.transaction().await.unwrap();
        drop(savepoint.transaction().await.unwrap());
        savepoint.rollback().await.unwrap();
        assert_eq!(ends.told(), [""; 0], "savepoints are not told");
        tx.commit().await.unwrap();
        assert_eq!(ends.told(), ["import: committed"]);

        let tx = connection.transaction().await.unwrap();
        let slow = tx.execute("SELECT pg_sleep(30)", &[]);
        timeout(Duration::from_millis(20), slow).await.unwrap_err();
        drop(tx);
        assert_eq!(ends.told(), ["import: rolled_back"], "a dropped future, and then all");

        let tx = connection.transaction().await.unwrap();
        tx.batch_execute("COMMIT").await.unwrap();
        tx.rollback().await.unwrap_err();
        assert_eq!(ends.told(), ["import: lost"], "a statement ended it");
        let tx = connection.transaction().await.unwrap();
        tx.batch_execute("ROLLBACK").await.unwrap();
        drop(tx);
        assert_eq!(ends.told(), ["import: lost"], "a statement ended it");
    });
    soon(body).await;
}

#[tokio::test]
async fn each_attempt_and_each_batch_is_a_transaction() {
    let place = Place::new().await;
    let (pool, ends) = ends(&place).await;
    let body = CALLER.scope((), async {
        let mut connection = pool.acquire().await.unwrap();
        connection.batch_execute("CREATE TEMP TABLE t (x bigint UNIQUE)").await.unwrap();
        let attempts = AtomicU32::new(0);
        connection
            .transaction_with_retry(|tx| {
                let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    let conflict = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$";
                    if is_first { tx.batch_execute(conflict).await } else { Ok(()) }
                }
                .scope_boxed()
            })
            .await
            .unwrap();
        assert_eq!(ends.told(), ["-: rolled_back", "-: committed"]);
        let failed = connection
            .transaction_with_retry(|tx| {
                async move { tx.execute("SELECT 1/0", &[]).await }.scope_boxed()
            })
            .await;
        failed.unwrap_err();
        assert_eq!(ends.told(), ["-: rolled_back"]);

        let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
        connection.insert_many(&plan, [[Value::I64(1)]], |_| ()).await.unwrap();
        assert_eq!(ends.told(), ["-: committed"]);
        let twice = [[Value::I64(2)], [Value::I64(1)]];
        connection.insert_many(&plan, twice, |_| ()).await.unwrap_err();
        assert_eq!(ends.told(), ["-: rolled_back"]);
        let mut tx = connection.transaction().await.unwrap();
        tx.insert_many(&plan, [[Value::I64(2)]], |_| ()).await.unwrap();
        assert_eq!(ends.told(), [""; 0], "it is in one already");
        tx.commit().await.unwrap();
        assert_eq!(ends.told(), ["-: committed"]);
    });
    soon(body).await;
}

#[tokio::test]
async fn a_transaction_whose_end_nobody_knows_is_told_as_lost() {
    let place = Place::new().await;
    let (pool, ends) = ends(&place).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    let body = CALLER.scope((), async {
        for way in ["drop", "commit", "rollback", "retry", "batch"] {
            let mut connection = pool.acquire().await.unwrap();
            let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
            connection.batch_execute("CREATE TEMP TABLE t (x bigint)").await.unwrap();
            let killed = async {
                place.admin.0.query(kill, &[&place.name]).await.unwrap();
                place.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE mine)").await;
            };
            match way {
                "retry" => {
                    let die = "SELECT pg_terminate_backend(pg_backend_pid())";
                    let dead = connection.transaction_with_retry(|tx| {
                        async move { tx.execute(die, &[]).await }.scope_boxed()
                    });
                    dead.await.unwrap_err();
                }
                "batch" => {
                    let die = "CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS \
                               $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); \
                               RETURN NEW; END $$; CREATE TRIGGER die BEFORE INSERT ON t \
                               FOR EACH ROW EXECUTE FUNCTION pg_temp.die()";
                    connection.batch_execute(die).await.unwrap();
                    connection.insert_many(&plan, [[Value::I64(1)]], |_| ()).await.unwrap_err();
                }
                way => {
                    let tx = connection.transaction().await.unwrap();
                    killed.await;
                    match way {
                        "commit" => tx.commit().await.map_err(drop).unwrap_err(),
                        "rollback" => tx.rollback().await.map_err(drop).unwrap_err(),
                        _ => drop(tx.execute("SELECT 1", &[]).await.unwrap_err()),
                    }
                }
            }
            assert_eq!(ends.told(), ["-: lost"], "{way}");
            connection.transaction().await.map(drop).unwrap_err();
            assert_eq!(ends.told(), [""; 0], "what could not begin is not told");
        }
        // The answer to a commit cannot be there at once.
        let mut connection = pool.acquire().await.unwrap();
        let tx = connection.transaction().await.unwrap();
        assert!(poll_times(tx.commit(), 1, true).await.is_none());
        assert_eq!(ends.told(), ["-: lost"]);
    });
    soon(body).await;
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
