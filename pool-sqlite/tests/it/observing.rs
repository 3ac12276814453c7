//! What observers are told of transactions: each once, how it ended, in the caller's task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_sqlite::pool_sql::{
    Batch, Insert, Outcome, Statement, StatementObserver, TransactionEnded, Value,
};
use pool_sqlite::{JournalMode, SqliteErrorKind, SqlitePool, rusqlite};
use pool_testkit::poll_times;
use tokio::time::timeout;

use super::{ENDLESS, Place, run, soon};

tokio::task_local! {
    /// What an observer finds in the caller's task, and nowhere else.
    static CALLER: ();
}

#[derive(Default)]
struct Log {
    ends: Mutex<Vec<String>>,
    strays: AtomicBool,
}

impl Log {
    fn look(&self) {
        self.strays.fetch_or(CALLER.try_with(|()| ()).is_err(), Ordering::Relaxed);
    }

    /// What was told since the last time.
    fn told(&self) -> Vec<String> {
        assert!(!self.strays.load(Ordering::Relaxed), "told outside of the caller's task");
        std::mem::take(&mut *self.ends.lock().unwrap())
    }
}

impl StatementObserver for Log {
    fn started(&self, _: &Statement<'_>) {
        self.look();
    }

    fn finished(&self, _: &Statement<'_>, _: &Outcome) {
        self.look();
    }

    fn transaction_ended(&self, transaction: &TransactionEnded) {
        self.look();
        assert_eq!(transaction.backend, "sqlite");
        let operation = transaction.operation.unwrap_or("-");
        self.ends.lock().unwrap().push(format!("{operation}: {}", transaction.end));
    }
}

/// With a parent of number 1, and children whose parents are looked for at the commit.
async fn observed(place: &Place, journal_mode: JournalMode) -> (SqlitePool, Arc<Log>) {
    let log = Arc::new(Log::default());
    let builder = place.builder().options(|o| o.journal_mode = journal_mode).observer(log.clone());
    let pool = builder.build().await.unwrap();
    let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1); \
                  CREATE TABLE child (of REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    CALLER.scope((), async { run(&mut pool.write().await.unwrap(), tables).await }).await;
    assert_eq!(log.told(), [""; 0], "a statement by itself is no transaction");
    (pool, log)
}

fn orphan(c: &rusqlite::Connection) -> rusqlite::Result<usize> {
    c.execute("INSERT INTO child VALUES (2)", [])
}

fn child(c: &rusqlite::Connection) -> rusqlite::Result<usize> {
    c.execute("INSERT INTO child VALUES (1)", [])
}

#[tokio::test]
async fn every_transaction_is_told_once_with_its_operation_and_its_end() {
    let place = Place::new();
    let (pool, log) = observed(&place, JournalMode::Wal).await;
    let told = CALLER.scope((), async {
        let mut writer = pool.write().operation("import").await.unwrap();
        let mut tx = writer.begin().await.unwrap();
        tx.call(child).await.unwrap();
        assert_eq!(log.told(), [""; 0], "it goes on until its end");
        tx.commit().await.unwrap();
        assert_eq!(log.told(), ["import: committed"]);

        writer.begin().await.unwrap().rollback().await.unwrap();
        assert_eq!(log.told(), ["import: rolled_back"]);
        drop(writer.begin().await.unwrap());
        assert_eq!(log.told(), ["import: rolled_back"], "at once");

        let mut tx = writer.begin().await.unwrap();
        tx.call(orphan).await.unwrap();
        assert_eq!(tx.commit().await.unwrap_err().kind(), SqliteErrorKind::Constraint);
        assert_eq!(log.told(), ["import: rolled_back"], "a refused commit");

        let mut tx = writer.begin().await.unwrap();
        tx.savepoint().await.unwrap().commit().await.unwrap();
        drop(tx.savepoint().await.unwrap());
        let mut savepoint = tx.savepoint().await.unwrap();
        drop(savepoint.savepoint().await.unwrap());
        savepoint.rollback().await.unwrap();
        assert_eq!(log.told(), [""; 0], "savepoints are not told");
        drop(tx);
        assert_eq!(log.told(), ["import: rolled_back"]);

        let mut tx = writer.begin().await.unwrap();
        tx.call(child).await.unwrap();
        let endless = tx.call(|c| c.query_row(ENDLESS, [], |_| Ok(())));
        timeout(Duration::from_millis(20), endless).await.unwrap_err();
        tx.commit().await.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"], "a dropped future ends it");

        let mut reader = pool.read().operation("list").await.unwrap();
        reader.begin().await.unwrap().commit().await.unwrap();
        drop(reader.begin().await.unwrap());
        reader.transaction(|_| Ok(())).await.unwrap();
        log.told()
    });
    assert_eq!(soon(told).await, ["list: committed", "list: rolled_back", "list: committed"]);
}

#[tokio::test]
async fn closures_are_told_by_what_became_of_them() {
    let place = Place::new();
    let (pool, log) = observed(&place, JournalMode::Wal).await;
    let body = CALLER.scope((), async {
        let mut writer = pool.write().operation("import").await.unwrap();
        writer.transaction(|tx| child(tx)).await.unwrap();
        assert_eq!(log.told(), ["import: committed"]);
        writer.transaction(|tx| tx.execute("nonsense", [])).await.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"]);
        writer.transaction(|tx| orphan(tx)).await.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"], "a refused commit");
        let committed = writer.transaction(|tx| tx.execute_batch("COMMIT")).await;
        committed.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"], "its own commit is refused");
        let endless = writer.transaction(|tx| {
            child(tx)?;
            tx.query_row(ENDLESS, [], |_| Ok(()))
        });
        timeout(Duration::from_millis(20), endless).await.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"], "a dropped future, at once");
        let panics = |_: &rusqlite::Transaction<'_>| -> rusqlite::Result<()> {
            panic!("a closure of the application's (expected in this test)")
        };
        let panicked = writer.transaction(panics).await.unwrap_err();
        assert_eq!(panicked.kind(), SqliteErrorKind::Panicked);
        assert_eq!(log.told(), ["import: rolled_back"]);
        drop(writer);

        let mut reader = pool.read().await.unwrap();
        reader.transaction(|tx| tx.execute("nonsense", [])).await.unwrap_err();
        assert_eq!(log.told(), ["-: rolled_back"]);
    });
    soon(body).await;
}

#[tokio::test]
async fn a_batch_is_a_transaction_unless_it_is_in_one() {
    let place = Place::new();
    let (pool, log) = observed(&place, JournalMode::Wal).await;
    let body = CALLER.scope((), async {
        let mut writer = pool.write().operation("import").await.unwrap();
        let plan = Insert::into("parent").unwrap().columns(["id"]).unwrap();
        writer.insert_many(&plan, [[Value::I64(2)]], |_| ()).await.unwrap();
        assert_eq!(log.told(), ["import: committed"]);
        let twice = [[Value::I64(3)], [Value::I64(2)]];
        writer.insert_many(&plan, twice, |_| ()).await.unwrap_err();
        assert_eq!(log.told(), ["import: rolled_back"]);
        let mut tx = writer.begin().await.unwrap();
        tx.insert_many(&plan, [[Value::I64(3)]], |_| ()).await.unwrap();
        assert_eq!(log.told(), [""; 0]);
        tx.commit().await.unwrap();
        assert_eq!(log.told(), ["import: committed"]);
    });
    soon(body).await;
}

#[tokio::test]
async fn what_could_not_begin_is_not_told() {
    let place = Place::new();
    let log = Arc::new(Log::default());
    let builder = place.builder().options(|o| o.busy_timeout = Duration::from_millis(5));
    let builder = builder.observer(log.clone());
    let pool = builder.build().await.unwrap();
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = CALLER.scope((), async {
        let mut writer = pool.write().await.unwrap();
        let busy = writer.begin().await.map(drop).unwrap_err();
        assert_eq!(busy.kind(), SqliteErrorKind::Busy);
        writer.transaction(|_| Ok(())).await.unwrap_err();
        let plan = Insert::into("parent").unwrap().columns(["id"]).unwrap();
        writer.insert_many(&plan, [[Value::I64(2)]], |_| ()).await.unwrap_err();
        assert_eq!(log.told(), [""; 0]);
        other.execute_batch("COMMIT").unwrap();
        drop(writer.begin().await.unwrap());
        assert_eq!(log.told(), ["-: rolled_back"]);
    });
    soon(body).await;
}

/// Without a write-ahead log a commit waits for those who read.
#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_told_as_lost() {
    let place = Place::new();
    let (pool, log) = observed(&place, JournalMode::Delete).await;
    let other = rusqlite::Connection::open(place.file("test.db")).unwrap();
    let body = CALLER.scope((), async {
        let mut writer = pool.write().await.unwrap();
        other.execute_batch("BEGIN; SELECT count(*) FROM parent").unwrap();
        let mut tx = writer.begin().await.unwrap();
        tx.call(child).await.unwrap();
        timeout(Duration::from_millis(5), tx.commit()).await.unwrap_err();
        assert_eq!(log.told(), ["-: lost"]);

        // In a closure it has begun once its thread says so.
        other.execute_batch("COMMIT").unwrap();
        run(&mut writer, "SELECT 1").await; // what was given up is over
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let mut committing = Box::pin(writer.transaction(move |tx| {
            may_go_on.recv().unwrap();
            child(tx)
        }));
        assert!(poll_times(&mut committing, 1, true).await.is_none());
        go_on.send(()).unwrap();
        let count = "SELECT count(*) FROM child";
        while other.query_row(count, [], |row| row.get::<_, i64>(0)) != Ok(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(log.told(), [""; 0], "nobody has looked");
        drop(committing);
        assert_eq!(log.told(), ["-: lost"]);
        writer.transaction(|tx| child(tx)).await.unwrap();
        assert_eq!(log.told(), ["-: committed"]);
    });
    soon(body).await;
}
