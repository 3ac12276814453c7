//! R14: what a dropped future has left running ends on the server too, and at what cost.

use std::time::Duration;

use pool_mysql::MySqlPool;
use pool_mysql::mysql_async::prelude::Queryable;
use pool_mysql::mysql_async::{Conn, Opts};
use pool_mysql::pool_core::PoolConfig;
use pool_testkit::poll_times;
use pool_testkit::servers::MariaDb;
use tokio::time::{Instant, sleep, timeout};

use crate::place::{Place, is_whole, root};
use crate::soon;

const SLOW: &str = "SELECT SLEEP(30)";

/// Begins it, and drops it once it runs.
async fn give_up(place: &Place, pool: &MySqlPool, sql: &str) {
    let mut connection = soon(pool.acquire()).await.unwrap();
    let running = place.until(
        "EXISTS (SELECT 1 FROM information_schema.processlist WHERE mine \
         AND command IN ('Query', 'Execute'))",
    );
    tokio::select! {
        done = connection.exec_drop(sql, ()) => panic!("{sql}: {done:?}"),
        () = running => {}
    }
}

#[tokio::test]
async fn r14_a_dropped_statement_is_ended_on_the_server() {
    let place = Place::new().await;
    let pool = place.one().await;
    let begun = Instant::now();
    give_up(&place, &pool, SLOW).await;
    place.until_quiet().await; // within 45 s
    assert!(begun.elapsed() < Duration::from_secs(25), "it has ended by itself");
    is_whole(&pool).await;
    assert_eq!(place.connections().await, 1);
}

/// What is dropped on the driver's own handle as well.
#[tokio::test]
async fn r14_a_dropped_statement_of_a_raw_handle_is_ended_on_the_server() {
    let place = Place::new().await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let slow = connection.raw().unwrap().query_drop(SLOW);
    timeout(Duration::from_millis(300), slow).await.unwrap_err();
    drop(connection);
    let begun = Instant::now();
    place.until_quiet().await;
    assert!(begun.elapsed() < Duration::from_secs(25), "it has ended by itself");
    is_whole(&pool).await;
}

#[tokio::test]
async fn r14_a_dropped_wait_for_a_lock_is_ended_on_the_server() {
    let place = Place::new().await;
    place.tell(&format!("CREATE TABLE {}.t (id int PRIMARY KEY)", place.name)).await;
    place.tell(&format!("INSERT INTO {}.t VALUES (1), (2)", place.name)).await;
    let (holding, pool) = (place.one().await, place.one().await);
    let mut holder = soon(holding.acquire()).await.unwrap();
    let mut tx = holder.transaction().await.unwrap();
    tx.query_drop("DELETE FROM t WHERE id = 1").await.unwrap();
    // What it has locked itself goes too: 50 s is how long the wait would last.
    let mut waiter = soon(pool.acquire()).await.unwrap();
    let mut waiting = waiter.transaction().await.unwrap();
    waiting.query_drop("DELETE FROM t WHERE id = 2").await.unwrap();
    let wait = waiting.query_drop("DELETE FROM t WHERE id = 1");
    timeout(Duration::from_millis(300), wait).await.unwrap_err();
    drop(waiting);
    drop(waiter);
    let begun = Instant::now();
    // Before, it would be a deadlock.
    let transactions = "SELECT count(*) FROM information_schema.innodb_trx \
                        JOIN information_schema.processlist ON trx_mysql_thread_id = id";
    place.until(&format!("({transactions} WHERE mine) = 1")).await;
    soon(tx.query_drop("DELETE FROM t WHERE id = 2")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    tx.commit().await.unwrap();
    is_whole(&pool).await;
}

#[tokio::test]
async fn if_told_so_a_dropped_statement_runs_on() {
    let place = Place::new().await;
    let pool = place.builder().max_size(1).kill_abandoned(false).build().await.unwrap();
    give_up(&place, &pool, "SELECT SLEEP(5)").await;
    let closed = async {
        while pool.snapshot().counts.ended.broken == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(closed).await;
    is_whole(&pool).await; // by another connection
    place.until(
        "EXISTS (SELECT 1 FROM information_schema.processlist WHERE mine AND info LIKE '%SLEEP%')",
    )
    .await;
    place.until_quiet().await;
    assert_eq!(place.connections().await, 1);
}

/// How many connections the pool has at the server at the most, until it is quiet there.
async fn most_connections(place: &Place) -> usize {
    let mut most = 0;
    loop {
        let now = place.connections().await;
        most = most.max(now);
        let running = format!(
            "SELECT count(*) FROM information_schema.processlist \
             WHERE user = '{}' AND command <> 'Sleep'",
            place.name
        );
        if place.ask::<usize>(&running).await == 0 {
            return most;
        }
        // Looking at all threads gets in the way of a KILL.
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_many_given_up_at_once_take_two_side_connections() {
    const MANY: u32 = 50;
    let place = Place::new().await;
    let pool = place.builder().max_size(MANY).config(|config| {
        // On a busy machine.
        config.close_timeout(Duration::from_secs(20))
    });
    let pool = pool.build().await.unwrap();
    // Not `SLEEP`: MariaDB has one lock for all who sleep, on which many a KILL waits for seconds.
    place.tell(&format!("SELECT GET_LOCK('{}', 0)", place.name)).await;
    let slow = format!("SELECT GET_LOCK('{}', 30)", place.name);
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(soon(pool.acquire()).await.unwrap());
    }
    for connection in &mut held {
        let begun = poll_times(connection.query_drop(&slow), 1, true).await;
        assert!(begun.is_none());
    }
    let waits = "SELECT count(*) FROM information_schema.processlist";
    place.until(&format!("({waits} WHERE mine AND info LIKE 'SELECT GET_LOCK%') = {MANY}")).await;
    let begun = Instant::now();
    drop(held);
    let most = soon(most_connections(&place)).await;
    println!("{MANY} ended in {:?}, {most} connections at most", begun.elapsed());
    assert!(most <= MANY as usize + 2, "{most} connections");
    assert!(begun.elapsed() < Duration::from_secs(25), "they have ended by themselves");
    is_whole(&pool).await;
    assert_eq!(pool.snapshot().counts.abandoned, 0);
    assert_eq!(place.connections().await, MANY as usize);
}

/// R15: of a caller who panics in the middle of his rows nothing is left either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_a_panic_between_two_rows_costs_that_connection_at_most() {
    let place = Place::new().await;
    let sql = "SELECT 'wrong' FROM information_schema.columns";
    for way in 0..4 {
        let pool = place.one().await;
        let user = pool.clone();
        let panics = tokio::spawn(async move {
            let mut connection = user.acquire().await.unwrap();
            match way {
                0 => {
                    let mut rows = connection.query_iter(sql).await.unwrap();
                    rows.next().await.unwrap();
                    panic!("between two rows");
                }
                1 => {
                    let mut tx = connection.transaction().await.unwrap();
                    let mut rows = tx.exec_iter(sql, ()).await.unwrap();
                    rows.next().await.unwrap();
                    panic!("between two rows of a transaction");
                }
                2 => drop(
                    connection.query_map(sql, |_: String| -> String { panic!("at a row") }).await,
                ),
                _ => {
                    let slow = connection.query_drop(SLOW);
                    let panics = async {
                        sleep(Duration::from_millis(50)).await;
                        panic!("beside a statement");
                    };
                    tokio::join!(slow, panics).0.unwrap();
                }
            }
        });
        assert!(soon(panics).await.unwrap_err().is_panic());
        is_whole(&pool).await;
        place.until_quiet().await;
        assert_eq!(place.connections().await, 1, "way {way}");
        let counts = pool.snapshot().counts;
        assert!(counts.created <= 2, "way {way}: {counts:?}");
        assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
    }
}

/// After a restart the server gives the same numbers to other connections.
#[tokio::test]
async fn nobody_is_killed_for_one_before_a_restart() {
    let Some(server) = MariaDb::builder().for_test() else { return };
    let place = Place::on(&root(&server)).await;
    let pool = place.one().await;
    let mut connection = soon(pool.acquire()).await.unwrap();
    let id = connection.connection_id();
    let slow = connection.query_drop("SELECT SLEEP(100)");
    // The server counts its uptime in whole seconds.
    timeout(Duration::from_millis(2_500), slow).await.unwrap_err();
    server.restart().unwrap();
    let mut strangers = Vec::new();
    while strangers.last().is_none_or(|last: &Conn| last.id() < id) {
        let opts = Opts::from_url(&format!("{}?prefer_socket=false", place.url)).unwrap();
        strangers.push(soon(Conn::new(opts)).await.unwrap());
    }
    let mut stranger = strangers.pop().unwrap();
    assert_eq!(stranger.id(), id);
    drop(connection);
    assert!(soon(pool.close(Duration::from_secs(20))).await.is_complete());
    stranger.ping().await.unwrap();
}

/// The driver's own drop would read on what is outstanding, for as long as it takes.
#[tokio::test]
async fn r21_no_task_is_left_that_waits_for_a_frozen_server() {
    let Some(server) = MariaDb::builder().for_test() else { return };
    let place = Place::on(&root(&server)).await;
    // The close is cut before it has said goodbye.
    let hasty = |config: PoolConfig| config.close_timeout(Duration::from_millis(200));
    let pool = place.builder().max_size(1).config(hasty).build().await.unwrap();
    let tasks = tokio::runtime::Handle::current().metrics();
    let mut connection = soon(pool.acquire()).await.unwrap();
    let many = "SELECT REPEAT('x', 1000) FROM seq_1_to_300000";
    let mut rows = connection.query_iter(many).await.unwrap();
    rows.next().await.unwrap().unwrap();
    server.freeze().unwrap();
    // What is on its way still comes; then a row that does not is given up.
    while let Ok(row) = timeout(Duration::from_millis(500), rows.next()).await {
        row.unwrap().unwrap();
    }
    drop(rows);
    drop(connection);
    pool.close(Duration::from_secs(3)).await;
    drop(pool);
    // That of the place's own connection, which is idle, is none.
    let gone = async {
        while tasks.num_alive_tasks() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = timeout(Duration::from_secs(10), gone).await;
    server.thaw().unwrap();
    assert!(gone.is_ok(), "{} tasks", tasks.num_alive_tasks());
}
