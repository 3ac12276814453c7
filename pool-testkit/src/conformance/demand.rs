//! Cases on demand: what is opened, when, and for whom (R3, R4, R5).

use std::time::Duration;

use pool_core::{ErrorClass, PoolExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::harness::{Feature, Harness, Outcome};
use super::trial::Trial;
use crate::{Behaviour, FaultyConnection, Op};

const SHORT: Duration = Duration::from_millis(100);
/// Long enough to be sure that something else comes first.
const LONG: Duration = Duration::from_millis(800);

/// R3: an acquire that is cancelled does not cancel the connect it caused: the next gets what comes
/// of it.
///
/// With a connect in the caller's own future each impatient caller starts from the
/// beginning, and a server slower than their patience is never reached.
pub async fn r03_a_connect_goes_on_without_its_caller<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::BackgroundConnects)?;
    let pool = t.pool(t.config(1)).await?;
    t.faults.next(Op::Connect, [Behaviour::Slow(SHORT)]);
    let asking = t.ask(&pool);
    t.eventually("a connect runs", || t.faults.calls(Op::Connect) == 1).await;
    asking.abort();
    t.eventually("it came to its end", || t.watch.alive() == 1).await;
    let guard = pool.acquire().await.expect("it is there");
    assert_eq!(t.faults.calls(Op::Connect), 1, "the next gets what the first caused");
    drop(guard);
    Ok(())
}

/// R4: who waits for a slow connect takes a connection that comes back before.
///
/// Origin: a caller stuck in its own `create` could not use a returned object (deadpool #462).
pub async fn r04_a_returned_connection_overtakes_a_slow_connect<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(2)).await?;
    let mut guards = t.hold(&pool, 1).await;
    let number = FaultyConnection::number(&guards[0]);
    t.faults.always(Op::Connect, Behaviour::Slow(LONG));
    let waiting = t.ask(&pool);
    t.eventually("a connect runs", || t.watch.connecting() == 1).await;
    drop(guards.pop());
    let guard = waiting.await.expect("no panic").expect("served");
    assert_eq!(FaultyConnection::number(&guard), number, "it waited for the slow one");
    Ok(())
}

/// R4: what the slow connect opened is not thrown away: it is the next one's.
pub async fn r04_what_lost_the_race_is_kept<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::BackgroundConnects)?;
    let pool = t.pool(t.config(2)).await?;
    let mut guards = t.hold(&pool, 1).await;
    t.faults.next(Op::Connect, [Behaviour::Slow(SHORT)]);
    let waiting = t.ask(&pool);
    t.eventually("a connect runs", || t.watch.connecting() == 1).await;
    drop(guards.pop());
    let first = waiting.await.expect("no panic").expect("served");
    t.eventually("the slow one is open too", || t.watch.alive() == 2).await;
    let second = pool.acquire().await.expect("there is room");
    assert_eq!(t.faults.calls(Op::Connect), 2, "a third was opened");
    drop((first, second));
    Ok(())
}

/// R5: never more than `max_connecting` connects run at once.
pub async fn r05_never_more_connects_at_once_than_max_connecting<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::MaxConnecting)?;
    let pool = t.pool(t.config(12).max_connecting(3)).await?;
    t.faults.always(Op::Connect, Behaviour::Slow(Duration::from_millis(20)));
    let asking: Vec<_> = (0..12).map(|_| t.ask(&pool)).collect();
    let mut guards = Vec::new();
    for asked in asking {
        guards.push(asked.await.expect("no panic").expect("served"));
    }
    assert!(t.watch.peak_connecting() <= 3, "{} at once", t.watch.peak_connecting());
    drop(guards);
    Ok(())
}

/// R5: bursts open as many connections as were ever wanted at once, and later bursts none.
///
/// Origin: mobc closed and opened all the time under a steady load; ten thousand sockets in
/// TIME_WAIT (rbatis #520).
pub async fn r05_bursts_open_as_many_as_were_in_use_at_once<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(20)).await?;
    for _ in 0..10 {
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let guard = pool.acquire().await.expect("served");
                    sleep(Duration::from_millis(5)).await;
                    drop(guard);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    }
    let opened = t.faults.calls(Op::Connect);
    assert!(opened <= 5, "{opened} opened for 5 users at once");
    Ok(())
}

/// R5: when those who wanted connections have gone, no further connects start.
pub async fn r05_demand_that_has_vanished_starts_nothing<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(10)).await?;
    t.faults.always(Op::Connect, Behaviour::Slow(Duration::from_millis(30)));
    let asking: Vec<_> = (0..10).map(|_| t.ask(&pool)).collect();
    t.eventually("a connect runs", || t.faults.calls(Op::Connect) > 0).await;
    asking.iter().for_each(|asked| asked.abort());
    for asked in asking {
        drop(asked.await); // cancelled, or served just before
    }
    for _ in 0..16 {
        yield_now().await; // for those that were about to start
    }
    let started = t.faults.calls(Op::Connect);
    sleep(SHORT * 2).await;
    let since = t.faults.calls(Op::Connect) - started;
    assert_eq!(since, 0, "{since} connects for nobody, after {started} for those who left");
    drop(pool);
    Ok(())
}

/// R5: after failures attempts are few, however many wait: they come with pauses, and not from each
/// caller for itself.
///
/// Origin: retries that hammer a server while it restarts (bb8 PR #149).
pub async fn r05_a_server_that_is_down_is_not_hammered<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Retries)?;
    let pool = t.pool(t.config(20)).await?;
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    let asking: Vec<_> = (0..100).map(|_| t.ask(&pool)).collect();
    let begun = Instant::now();
    sleep(Duration::from_millis(400)).await;
    let (attempts, elapsed) = (t.faults.calls(Op::Connect), begun.elapsed());
    asking.iter().for_each(|asked| asked.abort());
    // The pauses double from 5 ms to 40 ms, and each is at least half of that: 25 attempts or so.
    let most = 20 + elapsed.as_millis() / 10;
    assert!(u128::from(attempts) <= most, "{attempts} attempts in {elapsed:?}");
    Ok(())
}

/// R5: after a failure connects go one at a time, until one succeeds.
pub async fn r05_after_a_failure_connects_go_one_at_a_time<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::MaxConnecting)?;
    t.needs(Feature::Retries)?;
    let pool = t.pool(t.config(8).max_connecting(4)).await?;
    let fail = Behaviour::FailAfter(Duration::from_millis(20), ErrorClass::Transient);
    t.faults.always(Op::Connect, fail);
    let asking: Vec<_> = (0..8).map(|_| t.ask(&pool)).collect();
    t.eventually("the first few failed", || {
        t.faults.calls(Op::Connect) >= 4 && t.watch.connecting() == 0
    })
    .await;
    for _ in 0..100 {
        sleep(Duration::from_millis(2)).await;
        assert!(t.watch.connecting() <= 1, "{} at once", t.watch.connecting());
    }
    asking.iter().for_each(|asked| asked.abort());
    Ok(())
}
