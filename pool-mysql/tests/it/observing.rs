//! What observers are told: each statement once, with its outcome, dropped ones too.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_mysql::pool_sql::{
    Batch, ErrorCode, Insert, OnConflict, Outcome, Statement, StatementObserver, TransactionEnded,
    Value,
};
use pool_mysql::{MySqlErrorKind, MySqlPool, ScopedFutureExt};
use pool_testkit::poll_times;
use tokio::time::timeout;

use crate::place::Place;
use crate::soon;

#[derive(Default)]
struct Log {
    started: Mutex<Vec<String>>,
    finished: Mutex<Vec<String>>,
}

impl StatementObserver for Log {
    fn started(&self, statement: &Statement<'_>) {
        self.started.lock().unwrap().push(statement.sql.unwrap_or("-").to_owned());
    }

    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        assert_eq!(statement.backend, "mysql");
        let error = outcome.error.as_ref().map_or("ok", ErrorCode::as_str);
        let operation = statement.operation.unwrap_or("-");
        let sql = statement.sql.unwrap_or("-");
        self.finished.lock().unwrap().push(format!("{operation}: {sql}: {error}"));
    }
}

impl Log {
    /// What was told since the last time. Whatever began has ended.
    fn told(&self) -> Vec<String> {
        let started = std::mem::take(&mut *self.started.lock().unwrap());
        let finished = std::mem::take(&mut *self.finished.lock().unwrap());
        let mut ended: Vec<_> = finished
            .iter()
            .map(|line| line.split_once(": ").unwrap().1.rsplit_once(": ").unwrap().0.to_owned())
            .collect();
        let mut begun = started;
        begun.sort();
        ended.sort();
        assert_eq!(begun, ended, "each that began ends, once");
        finished
    }
}

async fn observed(place: &Place) -> (MySqlPool, Arc<Log>) {
    let log = Arc::new(Log::default());
    let pool = place.builder().max_size(1).observer(log.clone()).build().await.unwrap();
    assert_eq!(log.told(), [""; 0], "the pool's own questions are nobody's statements");
    (pool, log)
}

#[tokio::test]
async fn every_statement_is_told_once_with_its_operation_and_outcome() {
    let place = Place::new().await;
    place.tell(&format!("CREATE TABLE {}.t (x int)", place.name)).await;
    let (pool, log) = observed(&place).await;
    let mut connection = soon(pool.acquire().operation("list")).await.unwrap();
    let _: Option<String> = connection.exec_first("SELECT ?", ("a secret",)).await.unwrap();
    let _: Vec<i64> = connection.query("SELECT 1; SELECT 2").await.unwrap();
    connection.query_drop("SELECT nothing").await.unwrap_err();
    connection.exec_drop("SELECT ?", (1, 2)).await.unwrap_err();
    connection.exec_batch("INSERT INTO t VALUES (?)", [(1,), (2,)]).await.unwrap();
    connection.prep("SELECT 3").await.unwrap();
    connection.ping().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("SELECT 4").await.unwrap();
    let mut savepoint = tx.savepoint().await.unwrap();
    savepoint.query_drop("SELECT 5").await.unwrap();
    drop(savepoint);
    tx.query_drop("SELECT 6").await.unwrap();
    tx.commit().await.unwrap();
    drop(connection.transaction().await.unwrap());
    connection.query_drop("SELECT 7").await.unwrap();
    assert_eq!(
        log.told(),
        [
            "list: SELECT ?: ok",
            "list: SELECT 1; SELECT 2: ok",
            "list: SELECT nothing: 1054",
            "list: SELECT ?: params",
            "list: INSERT INTO t VALUES (?): ok",
            "list: SELECT 3: ok",
            "list: -: ok",
            "list: START TRANSACTION: ok",
            "list: SELECT 4: ok",
            "list: SAVEPOINT pool_1: ok",
            "list: SELECT 5: ok",
            "list: ROLLBACK TO SAVEPOINT pool_1; RELEASE SAVEPOINT pool_1: ok",
            "list: SELECT 6: ok",
            "list: COMMIT: ok",
            "list: START TRANSACTION: ok",
            "list: ROLLBACK: ok",
            "list: SELECT 7: ok",
        ]
    );
}

#[tokio::test]
async fn rows_that_are_read_one_by_one_are_one_statement() {
    let place = Place::new().await;
    let (pool, log) = observed(&place).await;
    let mut connection = soon(pool.acquire().operation("read")).await.unwrap();
    let sql = "SELECT 1 UNION SELECT 2";
    let mut rows = connection.query_iter(sql).await.unwrap();
    assert!(log.finished.lock().unwrap().is_empty(), "it goes on until its last row");
    while rows.next().await.unwrap().is_some() {}
    assert_eq!(rows.next().await.unwrap(), None);
    drop(rows);
    assert_eq!(log.told(), [format!("read: {sql}: ok")]);
    // No rows at all.
    drop(connection.query_iter("DO 1").await.unwrap());
    // What fails at a later row.
    let fails = "SELECT 1 UNION ALL SELECT (SELECT 1 UNION SELECT 2)";
    let failed = async {
        let mut rows = connection.query_iter(fails).await?;
        while rows.next().await?.is_some() {}
        Ok::<_, pool_mysql::MySqlError>(())
    };
    assert_eq!(failed.await.unwrap_err().code(), Some(1242));
    let told = log.told();
    assert_eq!(told, ["read: DO 1: ok".to_owned(), format!("read: {fails}: 1242")]);
    // Nobody reads it to its end; and when the next one would, the connection is gone.
    drop(connection.query_iter(sql).await.unwrap());
    connection.ping().await.unwrap();
    assert_eq!(log.told(), [format!("read: {sql}: cancelled"), "read: -: ok".to_owned()]);
    let endless = "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_1000000";
    let endless = match connection.server().is_mariadb {
        true => endless,
        false => {
            "SELECT REPEAT('x', 1000) FROM information_schema.columns a, information_schema.columns b"
        }
    };
    drop(connection.query_iter(endless).await.unwrap());
    place.kill(connection.connection_id()).await;
    let lost = connection.ping().await.unwrap_err();
    assert_eq!(lost.kind(), MySqlErrorKind::Disconnected);
    assert_eq!(log.told()[1], "read: -: disconnected");
}

#[tokio::test]
async fn what_is_dropped_is_told_as_cancelled_and_what_is_refused_is_not_told() {
    let place = Place::new().await;
    let (pool, log) = observed(&place).await;
    let mut connection = soon(pool.acquire().operation("slow")).await.unwrap();
    let slow = connection.query_drop("SELECT SLEEP(30)");
    timeout(Duration::from_millis(20), slow).await.unwrap_err();
    let refused = connection.query_drop("SELECT 1").await.unwrap_err();
    assert_eq!(refused.kind(), MySqlErrorKind::Abandoned);
    drop(connection);
    assert_eq!(log.told(), ["slow: SELECT SLEEP(30): cancelled"]);
    // Wherever it is dropped.
    for polls in 1..=4 {
        let mut connection = soon(pool.acquire().operation("slow")).await.unwrap();
        let slow = connection.exec_drop("SELECT ?, SLEEP(0.05)", (1,));
        let ended = poll_times(slow, polls, true).await.is_some();
        drop(connection);
        let how = if ended { "ok" } else { "cancelled" };
        assert_eq!(log.told(), [format!("slow: SELECT ?, SLEEP(0.05): {how}")]);
    }
    // What the pool does with it behind the scenes is nobody's statement.
    drop(soon(pool.acquire()).await.unwrap());
    assert_eq!(log.told(), [""; 0]);
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
        assert_eq!(transaction.backend, "mysql");
        let operation = transaction.operation.unwrap_or("-");
        let place = CALLER.try_with(|()| "").unwrap_or(" elsewhere");
        self.0.lock().unwrap().push(format!("{operation}: {}{place}", transaction.end));
    }
}

/// A pool of one connection for what is run in the caller's task, and a table with a row.
async fn ends(place: &Place) -> (MySqlPool, Arc<Ends>) {
    place.tell(&format!("CREATE TABLE {}.t (x bigint PRIMARY KEY)", place.name)).await;
    place.tell(&format!("INSERT INTO {}.t VALUES (1)", place.name)).await;
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
        let mut tx = connection.transaction().await.unwrap();
        tx.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
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
        let mut tx = connection.transaction().await.unwrap();
        tx.query_drop("INSERT INTO t VALUES (1)").await.unwrap_err();
        drop(tx);
        assert_eq!(ends.told(), ["import: rolled_back"]);

        let mut tx = connection.transaction().await.unwrap();
        tx.savepoint().await.unwrap().commit().await.unwrap();
        drop(tx.savepoint().await.unwrap());
        let mut savepoint = tx.savepoint().await.unwrap();
        drop(savepoint.savepoint().await.unwrap());
        savepoint.rollback().await.unwrap();
        assert_eq!(ends.told(), [""; 0], "savepoints are not told");
        tx.commit().await.unwrap();
        assert_eq!(ends.told(), ["import: committed"]);

        for way in ["drop", "rollback", "commit"] {
            let mut tx = connection.transaction().await.unwrap();
            tx.query_drop("CREATE OR REPLACE VIEW v AS SELECT 1").await.unwrap();
            match way {
                "drop" => drop(tx),
                "rollback" => tx.rollback().await.unwrap(),
                _ => drop(tx.commit().await.unwrap_err()),
            }
            assert_eq!(ends.told(), ["import: lost"], "a statement committed it ({way})");
        }

        let mut tx = connection.transaction().await.unwrap();
        let slow = tx.query_drop("SELECT SLEEP(30)");
        timeout(Duration::from_millis(20), slow).await.unwrap_err();
        drop(tx);
        assert_eq!(ends.told(), ["import: rolled_back"], "a dropped future, and then all");
    });
    soon(body).await;
}

#[tokio::test]
async fn each_attempt_and_each_batch_is_a_transaction() {
    let place = Place::new().await;
    let (pool, ends) = ends(&place).await;
    let body = CALLER.scope((), async {
        let mut connection = pool.acquire().await.unwrap();
        let attempts = Arc::new(AtomicU32::new(0));
        connection
            .transaction_with_retry(|tx| {
                let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    let conflict = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213";
                    if is_first { tx.query_drop(conflict).await } else { Ok(()) }
                }
                .scope_boxed()
            })
            .await
            .unwrap();
        assert_eq!(ends.told(), ["-: rolled_back", "-: committed"]);

        let plan = Insert::into("t").unwrap().columns(["x"]).unwrap();
        connection.insert_many(&plan, [[Value::I64(2)]], |_| ()).await.unwrap();
        assert_eq!(ends.told(), ["-: committed"]);
        let twice = [[Value::I64(3)], [Value::I64(1)]];
        connection.insert_many(&plan, twice, |_| ()).await.unwrap_err();
        assert_eq!(ends.told(), ["-: rolled_back"]);
        let again = plan.clone().on_conflict(OnConflict::Ignore).unwrap();
        for (misfit, end) in [(0, &[][..]), (999, &[]), (1_000, &["-: rolled_back"])] {
            let row = |n| [Value::F64(if n == misfit { f64::NAN } else { 1.0 })];
            connection.insert_many(&again, (0..2_000).map(row), |_| ()).await.unwrap_err();
            assert_eq!(
                ends.told(),
                end,
                "{misfit}: the first thousand are looked at before it begins"
            );
        }
        let mut tx = connection.transaction().await.unwrap();
        tx.insert_many(&plan, [[Value::I64(3)]], |_| ()).await.unwrap();
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
    let body = CALLER.scope((), async {
        for way in ["drop", "commit", "rollback", "retry"] {
            let mut connection = pool.acquire().await.unwrap();
            let id = connection.connection_id();
            if way == "retry" {
                let die = connection.transaction_with_retry(|tx| {
                    async move { tx.query_drop("KILL CONNECTION_ID()").await }.scope_boxed()
                });
                die.await.unwrap_err();
            } else {
                let mut tx = connection.transaction().await.unwrap();
                place.kill(id).await;
                match way {
                    "commit" => tx.commit().await.map_err(drop).unwrap_err(),
                    "rollback" => tx.rollback().await.map_err(drop).unwrap_err(),
                    _ => drop(tx.query_drop("SELECT 1").await.unwrap_err()),
                }
            }
            assert_eq!(ends.told(), ["-: lost"], "{way}");
            connection.transaction().await.map(drop).unwrap_err();
            assert_eq!(ends.told(), [""; 0], "what could not begin is not told");
        }
        // Wherever it is dropped.
        for polls in 1..=4 {
            let mut connection = pool.acquire().await.unwrap();
            let tx = connection.transaction().await.unwrap();
            let ended = poll_times(tx.commit(), polls, true).await.is_some();
            assert_eq!(ends.told(), [if ended { "-: committed" } else { "-: lost" }]);
        }
    });
    soon(body).await;
}
