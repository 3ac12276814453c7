//! Transactions: what is kept, what is undone, and what ends one behind its user's back.

use pool_mysql::mysql_async::IsolationLevel;
use pool_mysql::{MySqlConnection, MySqlErrorKind, MySqlGuard, ScopedFutureExt};

use crate::place::Place;
use crate::soon;

/// A connection to a place with a table of numbers.
async fn table(place: &Place) -> MySqlGuard {
    let pool = place.builder().build().await.unwrap();
    let mut connection = soon(pool.acquire()).await.unwrap();
    connection.query_drop("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)").await.unwrap();
    connection
}

async fn ids(connection: &mut MySqlConnection) -> Vec<i32> {
    connection.query("SELECT id FROM t ORDER BY id").await.unwrap()
}

#[tokio::test]
async fn what_is_committed_stays_and_nothing_else() {
    let place = Place::new().await;
    let mut connection = table(&place).await;
    let insert = "INSERT INTO t VALUES (?, 0)";

    let mut tx = connection.transaction().await.unwrap();
    tx.exec_drop(insert, (1,)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    tx.exec_drop(insert, (2,)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    tx.exec_drop(insert, (3,)).await.unwrap();
    drop(tx);
    assert_eq!(ids(&mut connection).await, [1]);

    let mut tx = connection.transaction().await.unwrap();
    tx.exec_drop(insert, (4,)).await.unwrap();
    let mut inner = tx.savepoint().await.unwrap();
    inner.exec_drop(insert, (5,)).await.unwrap();
    let mut innermost = inner.savepoint().await.unwrap();
    innermost.exec_drop(insert, (6,)).await.unwrap();
    innermost.commit().await.unwrap();
    inner.rollback().await.unwrap();
    let mut inner = tx.savepoint().await.unwrap();
    inner.exec_drop(insert, (7,)).await.unwrap();
    inner.commit().await.unwrap();
    let mut inner = tx.savepoint().await.unwrap();
    let mut innermost = inner.savepoint().await.unwrap();
    innermost.exec_drop(insert, (8,)).await.unwrap();
    drop(innermost);
    inner.exec_drop(insert, (9,)).await.unwrap();
    inner.commit().await.unwrap();
    let mut inner = tx.savepoint().await.unwrap();
    inner.exec_drop(insert, (10,)).await.unwrap();
    drop(inner);
    tx.commit().await.unwrap();
    assert_eq!(ids(&mut connection).await, [1, 4, 7, 9]);
}

#[tokio::test]
async fn a_statement_that_fails_undoes_only_itself() {
    let place = Place::new().await;
    let mut connection = table(&place).await;
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("INSERT INTO t VALUES (1, 0)").await.unwrap();
    let error = tx.query_drop("INSERT INTO t VALUES (2, 0), (1, 0)").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (MySqlErrorKind::Constraint, Some(1062)));
    tx.query_drop("INSERT INTO t VALUES (3, 0)").await.unwrap();
    tx.query_drop("INSERT INTO t VALUES (3, 0)").await.unwrap_err();
    tx.commit().await.unwrap();
    assert_eq!(ids(&mut connection).await, [1, 3]);
}

#[tokio::test]
async fn isolation_and_access_are_those_asked_for_and_only_for_one_transaction() {
    let place = Place::new().await;
    let mut connection = table(&place).await;
    let mut other = table_less(&place).await;
    let builder = connection.build_transaction().read_only(true);
    let mut tx = builder.isolation_level(IsolationLevel::ReadCommitted).start().await.unwrap();
    let error = tx.query_drop("INSERT INTO t VALUES (1, 0)").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (MySqlErrorKind::ReadOnly, Some(1792)));
    for n in 1..3 {
        // Read committed sees what others commit meanwhile.
        other.exec_drop("INSERT INTO t VALUES (?, 0)", (n,)).await.unwrap();
        let count: Option<i32> = tx.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        assert_eq!(count, Some(n));
    }
    drop(tx);
    let mut tx = connection.build_transaction().consistent_snapshot(true).start().await.unwrap();
    other.query_drop("INSERT INTO t VALUES (3, 0)").await.unwrap();
    let count: Option<i32> = tx.query_first("SELECT COUNT(*) FROM t").await.unwrap();
    assert_eq!(count, Some(2), "as of its begin");
    tx.commit().await.unwrap();
}

async fn table_less(place: &Place) -> MySqlGuard {
    soon(place.builder().build().await.unwrap().acquire()).await.unwrap()
}

#[tokio::test]
async fn a_deadlock_takes_the_whole_transaction_and_what_follows_is_not_run_by_itself() {
    let place = Place::new().await;
    let (mut a, mut b) = (table(&place).await, table_less(&place).await);
    a.query_drop("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)").await.unwrap();
    let mut ta = a.transaction().await.unwrap();
    let mut tb = b.transaction().await.unwrap();
    ta.query_drop("UPDATE t SET n = 1 WHERE id = 1").await.unwrap();
    // The one that changed more survives.
    tb.query_drop("UPDATE t SET n = 2 WHERE id IN (2, 3)").await.unwrap();
    let (of_a, of_b) = tokio::join!(
        soon(ta.query_drop("UPDATE t SET n = 1 WHERE id = 2")),
        soon(tb.query_drop("UPDATE t SET n = 2 WHERE id = 1")),
    );
    let (mut victim, other, error) = match (of_a, of_b) {
        (Err(error), Ok(())) => (ta, tb, error),
        (Ok(()), Err(error)) => (tb, ta, error),
        both => panic!("one of both: {both:?}"),
    };
    assert_eq!((error.kind(), error.code()), (MySqlErrorKind::Deadlock, Some(1213)));
    assert!(error.is_worth_a_new_transaction());
    // Each of these would be committed at once.
    for _ in 0..2 {
        let error = victim.query_drop("INSERT INTO t VALUES (9, 9)").await.unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
        let error = victim.savepoint().await.map(drop).unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
    }
    let error = victim.commit().await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
    other.commit().await.unwrap();
    let count: Option<i32> = a.query_first("SELECT COUNT(*) FROM t WHERE id = 9").await.unwrap();
    assert_eq!(count, Some(0));
}

#[tokio::test]
async fn r18_the_next_user_after_a_deadlock_is_in_no_transaction() {
    let place = Place::new().await;
    let mut a = table(&place).await;
    a.query_drop("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)").await.unwrap();
    for way in 0..3 {
        let pools = [place.one().await, place.one().await];
        let mut both =
            [soon(pools[0].acquire()).await.unwrap(), soon(pools[1].acquire()).await.unwrap()];
        for (connection, id) in both.iter_mut().zip([1, 2]) {
            let sql = format!("BEGIN; UPDATE t SET n = 1 WHERE id = {id}");
            connection.query_drop(sql).await.unwrap();
        }
        let [first, second] = &mut both;
        let (of_first, of_second) = tokio::join!(
            soon(first.query_drop("UPDATE t SET n = 1 WHERE id = 2")),
            soon(second.query_drop("UPDATE t SET n = 1 WHERE id = 1")),
        );
        let loser = usize::from(of_first.is_ok());
        let error = of_first.and(of_second).unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::Deadlock);
        let victim = &mut both[loser];
        if way == 1 {
            victim.query_drop("SELECT 1").await.unwrap();
        } else if way == 2 {
            drop(victim.query_iter("SELECT 1").await.unwrap());
        }
        drop(both);
        let mut next = soon(pools[loser].acquire()).await.unwrap();
        next.exec_drop("INSERT INTO t VALUES (?, 0)", (10 + way,)).await.unwrap();
        assert_eq!(ids(&mut a).await.last(), Some(&(10 + way)), "not committed, way {way}");
    }
}

#[tokio::test]
async fn a_deadlock_is_no_commit_even_if_nothing_follows() {
    let place = Place::new().await;
    let mut connection = table(&place).await;
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("INSERT INTO t VALUES (1, 0)").await.unwrap();
    // What a deadlock does, by hand: gone, with an error as the last answer.
    tx.query_drop("ROLLBACK; SELECT nothing").await.unwrap_err();
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
    assert_eq!(ids(&mut connection).await, [0; 0]);
}

#[tokio::test]
async fn a_statement_that_commits_by_itself_ends_the_transaction_for_all_to_see() {
    let place = Place::new().await;
    let mut connection = table(&place).await;
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("INSERT INTO t VALUES (1, 0)").await.unwrap();
    tx.query_drop("CREATE TABLE u (x int)").await.unwrap();
    let error = tx.query_drop("INSERT INTO t VALUES (2, 0)").await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
    drop(tx);
    assert_eq!(ids(&mut connection).await, [1]);
    // As the last statement, too: who wants to know that it was kept is not told so by chance.
    let mut tx = connection.transaction().await.unwrap();
    tx.query_drop("DROP TABLE u").await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::TransactionOver, "{error}");
}

#[tokio::test]
async fn transactions_that_meet_are_run_again_until_both_have_run() {
    let place = Place::new().await;
    let pool = place.builder().build().await.unwrap();
    let mut connection = table(&place).await;
    connection.query_drop("INSERT INTO t VALUES (1, 0), (2, 0)").await.unwrap();
    let runs: u32 = 20;
    let tasks: Vec<_> = [(1, 2), (2, 1), (1, 2), (2, 1)]
        .into_iter()
        .map(|(first, second)| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut tries = 0;
                for _ in 0..runs {
                    let mut connection = pool.acquire().await.unwrap();
                    let tried = &mut tries;
                    connection
                        .transaction_with_retry(|tx| {
                            *tried += 1;
                            async move {
                                let add = "UPDATE t SET n = n + 1 WHERE id = ?";
                                tx.exec_drop(add, (first,)).await?;
                                tokio::task::yield_now().await;
                                tx.exec_drop(add, (second,)).await
                            }
                            .scope_boxed()
                        })
                        .await
                        .unwrap();
                }
                tries
            })
        })
        .collect();
    let mut tries = 0;
    for task in tasks {
        tries += soon(task).await.unwrap();
    }
    assert!(tries >= 4 * runs);
    let sums: Vec<u32> = connection.query("SELECT n FROM t ORDER BY id").await.unwrap();
    assert_eq!(sums, [4 * runs, 4 * runs], "each once, after {tries} tries");
}
