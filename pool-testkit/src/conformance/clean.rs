//! Cases on cleanliness: what a return does, and what the next user inherits: nothing (R17, R18).

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use pool_core::{Cause, ErrorClass, Request, Validation};

use super::harness::{Feature, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::Trial;
use crate::FaultyConnection;
use crate::poll_times;
use crate::{Behaviour, Op};

/// R17: a connection that comes back clean is used again, so that one user after the other needs
/// one connection.
///
/// Origin: diesel's check for broken connections was the wrong way round, and every connection was
/// thrown away (diesel-rs/diesel#3159); sqlx gives back in a task, and who asks at once finds
/// nothing (transact-rs/sqlx#622, #1210).
pub async fn r17_a_clean_connection_is_used_again<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(5)).await?;
    for _ in 0..50 {
        drop(t.one(&pool).await);
    }
    assert_eq!(t.faults.calls(Op::Connect), 1, "connects for 50 users, one after the other");
    Ok(())
}

/// R17: a connection that comes back clean goes to who waits without a call to the server.
pub async fn r17_a_clean_connection_is_handed_on_without_a_call<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(1).validation(Validation::Never)).await?;
    let guard = t.one(&pool).await;
    let calls = || (t.faults.calls(Op::Ping), t.faults.calls(Op::Reset));
    let before = calls();
    let waiting = t.pass_by(&pool);
    t.settle().await;
    drop(guard);
    waiting.await.expect("no panic").expect("served");
    assert_eq!(calls(), before, "pings and resets");
    assert_eq!(t.faults.calls(Op::Connect), 1);
    Ok(())
}

/// R17: a connection that comes back broken is not used again.
pub async fn r17_a_broken_connection_is_not_used_again<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guard = t.one(&pool).await;
    t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
    drop(guard);
    let _guard = t.one(&pool).await;
    assert_eq!(t.faults.calls(Op::Connect), 2);
    t.eventually("the broken one has ended", || t.watch.alive() == 1).await;
    Ok(())
}

/// R17: a connection that comes back broken is replaced for who waits.
///
/// Origin: r2d2 wakes nobody when a broken connection leaves and `min_idle` is 0.
pub async fn r17_a_broken_connection_is_replaced_for_who_waits<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let guard = t.one(&pool).await;
    let waiting = t.pass_by(&pool);
    t.settle().await;
    t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
    drop(guard);
    waiting.await.expect("no panic").expect("served");
    assert_eq!(t.faults.calls(Op::Connect), 2);
    Ok(())
}

/// R17: a connection that comes back dirty is reset at once, though nobody asks for it: what it
/// left (locks, a snapshot) does not stay until it is used again.
pub async fn r17_a_dirty_connection_is_reset_at_once<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::ResetAtReturn)?;
    let pool = t.pool(t.config(1)).await?;
    FaultyConnection::soil(&mut *t.one(&pool).await, Cause::Transaction);
    t.eventually("it is reset", || t.faults.calls(Op::Reset) == 1).await;
    Ok(())
}

/// R17: who waits for a connection that comes back dirty gets it when it has been reset, and not
/// another one in its place: its slot is taken meanwhile.
pub async fn r17_a_dirty_connection_keeps_its_slot_until_it_is_clean<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    t.needs(Feature::Reset)?;
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    let waiting = t.ask(&pool);
    t.settle().await;
    t.faults.next(Op::Reset, [Behaviour::Slow(ms(50))]);
    FaultyConnection::soil(&mut guard, Cause::Running);
    drop(guard);
    let guard = waiting.await.expect("no panic").expect("served");
    assert!(!FaultyConnection::is_soiled(&guard), "handed on dirty");
    assert_eq!((t.faults.calls(Op::Reset), t.faults.calls(Op::Connect)), (1, 1));
    assert_eq!(t.watch.peak(), 1);
    Ok(())
}

/// R18: a connection whose reset failed is not used again.
pub async fn r18_a_failed_reset_ends_its_connection<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Reset)?;
    let pool = t.pool(t.config(1)).await?;
    t.faults.next(Op::Reset, [Behaviour::Fail(ErrorClass::Transient)]);
    FaultyConnection::soil(&mut *t.one(&pool).await, Cause::Transaction);
    let guard = t.one(&pool).await;
    assert!(!FaultyConnection::is_soiled(&guard), "handed on dirty");
    assert_eq!(t.faults.calls(Op::Connect), 2);
    assert_eq!(t.watch.violations(), Vec::<String>::new());
    Ok(())
}

/// R18: what `after_connect` set up is there for every user, also after a reset that wiped it.
pub async fn r18_what_after_connect_set_up_is_always_there<H: Harness>(t: Trial<H>) -> Outcome {
    let builder = t.managed(t.config(1))?.after_connect(|connection| {
        FaultyConnection::mark(connection);
        Ok(())
    });
    let pool: SharedPool<H> = Arc::new(builder.build().expect("valid settings"));
    for cause in [Cause::Transaction, Cause::SessionState, Cause::Running] {
        let mut guard = t.one(&pool).await;
        assert!(FaultyConnection::is_marked(&guard));
        FaultyConnection::soil(&mut guard, cause);
        drop(guard);
        assert!(FaultyConnection::is_marked(&*t.one(&pool).await), "after a reset for: {cause}");
    }
    Ok(())
}

/// The next user of the only connection finds no transaction, and that it works.
async fn no_transaction<H: Harness>(t: &Trial<H>, pool: &SharedPool<H>) {
    let mut next = t.one(pool).await;
    assert!(!t.harness.in_transaction(&mut next).await, "it inherits a transaction");
    t.harness.query(&mut next).await.expect("it works");
    drop(next);
}

/// R18: a transaction that was open when its user gave the connection back is not the next one's.
///
/// Origin: deadpool-postgres looks only whether a connection is closed, and its `Clean` issues no
/// ROLLBACK; adapters of diesel_async and bb8 let later writes vanish in a transaction that nobody
/// commits (diesel-rs/diesel_async#96, #198).
pub async fn r18_no_transaction_outlives_a_plain_return<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    t.harness.begin(&mut guard).await;
    assert!(t.harness.in_transaction(&mut guard).await, "`begin` begins one");
    drop(guard);
    no_transaction(&t, &pool).await;
    Ok(())
}

/// R18: a transaction of a task that was aborted is not the next user's.
///
/// Origin: a cancelled request left its transaction open in sqlx, the ping passed, and the next
/// borrower worked in it (transact-rs/sqlx#4393, #4385, #2054).
pub async fn r18_no_transaction_outlives_an_aborted_task<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    t.harness.begin(&mut guard).await;
    let task = tokio::spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    t.settle().await;
    task.abort();
    no_transaction(&t, &pool).await;
    Ok(())
}

/// R18: a transaction of a user who panicked is not the next one's.
pub async fn r18_no_transaction_outlives_a_panic<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    t.harness.begin(&mut guard).await;
    let user = tokio::spawn(async move {
        let _guard = guard;
        resume_unwind(Box::new("a bug of the user's"));
    });
    let ended: Result<(), _> = user.await;
    assert!(ended.expect_err("it panics").is_panic());
    no_transaction(&t, &pool).await;
    Ok(())
}

/// R18: a connection with an open transaction, given back for a waiter who gives up at whatever
/// moment, reaches nobody with it.
///
/// Origin: as for an aborted task, with the cleaning cut short by who waited for it
/// (transact-rs/sqlx#4393).
pub async fn r18_no_transaction_outlives_a_waiter_who_gives_up<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    for polls in 1..=4 {
        let mut guard = t.one(&pool).await;
        t.harness.begin(&mut guard).await;
        let theirs = pool.clone();
        let waiting = tokio::spawn(async move {
            let acquire = theirs.acquire_with(Request::new());
            drop(poll_times(acquire, polls, polls % 2 == 0).await);
        });
        t.settle().await;
        drop(guard);
        no_transaction(&t, &pool).await;
        waiting.await.expect("no panic");
    }
    Ok(())
}

/// R18: what a user left in the session is gone for the next one.
pub async fn r18_no_session_state_outlives_its_user<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(1)).await?;
    let mut guard = t.one(&pool).await;
    t.harness.leave_state(&mut guard).await;
    assert!(t.harness.has_state(&mut guard).await, "`leave_state` leaves something");
    drop(guard);
    let mut next = t.one(&pool).await;
    assert!(!t.harness.has_state(&mut next).await, "it inherits session state");
    t.harness.query(&mut next).await.expect("it works");
    Ok(())
}

/// R18: what a user left in the session is gone for the next one, but what `after_connect` set up
/// is there.
pub async fn r18_session_state_is_cleared_but_what_after_connect_set_up<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let builder = t.managed(t.config(1))?.after_connect(|connection| {
        FaultyConnection::mark(connection);
        Ok(())
    });
    let pool: SharedPool<H> = Arc::new(builder.build().expect("valid settings"));
    for _ in 0..2 {
        let mut guard = t.one(&pool).await;
        assert!(FaultyConnection::is_marked(&guard));
        assert!(!t.harness.has_state(&mut guard).await, "it inherits session state");
        t.harness.leave_state(&mut guard).await;
    }
    Ok(())
}
