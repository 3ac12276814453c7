//! Cases on controls: what an operator or a user can do to a running pool (R20).

use std::time::Duration;

use pool_core::{AcquireErrorKind, ErrorClass, PoolConfig, Request};
use tokio::time::{Instant, sleep};

use super::harness::{Feature, Harness, Outcome};
use super::scenes::ms;
use super::trial::Trial;
use crate::{Behaviour, Op};

/// R20: a pool made larger serves who waits.
pub async fn r20_a_pool_made_larger_serves_who_waits<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(1))?;
    let held = t.one(&object).await;
    let waiting = t.pass_by(&object);
    t.settle().await;
    let begun = Instant::now();
    pool.resize(&t.config(2)).expect("the sizes are valid");
    waiting.await.expect("no panic").expect("served");
    t.took(begun, Duration::ZERO);
    drop(held);
    Ok(())
}

/// R20: a pool made smaller comes down to its new size as connections come back, and stays there.
///
/// Origin: in mobc the setter of the size has no effect.
pub async fn r20_a_pool_made_smaller_comes_down_and_stays_there<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let (pool, object) = t.own(t.config(4))?;
    let held = t.hold(&object, 4).await;
    pool.resize(&t.config(2)).expect("the sizes are valid");
    drop(held);
    t.eventually("those that came back have ended", || t.watch.alive() <= 2).await;
    let held = t.hold(&object, 2).await;
    let third = Request::new().within(ms(30));
    assert!(object.acquire_with(third).await.is_err(), "a third one of two");
    assert_eq!(t.watch.alive(), 2);
    drop(held);
    Ok(())
}

/// R20: a pool made smaller hands what comes back above its new size to nobody, though they wait.
///
/// Origin: in mobc the setter of the size has no effect.
pub async fn r20_a_pool_made_smaller_serves_no_more_than_it_may<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let (pool, object) = t.own(t.config(3))?;
    let held = t.hold(&object, 3).await;
    let waiting = [t.ask(&object), t.ask(&object), t.ask(&object)];
    t.eventually("three wait", || pool.snapshot().waiting == 3).await;
    pool.resize(&t.config(1)).expect("the sizes are valid");
    drop(held);
    t.eventually("those above one have ended", || t.watch.alive() <= 1).await;
    t.settle().await;
    let now = pool.snapshot();
    assert_eq!((now.in_use, now.waiting), (1, 2), "{now:?}");
    for waiting in waiting {
        drop(waiting.await.expect("no panic").expect("served, one after the other"));
    }
    Ok(())
}

/// R20: a pool made smaller closes spare connections now.
pub async fn r20_a_pool_made_smaller_closes_spare_ones_now<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(4))?;
    t.warm(&object, 4).await;
    pool.resize(&t.config(1)).expect("the sizes are valid");
    t.eventually("three have ended", || t.watch.alive() == 1).await;
    Ok(())
}

/// R20: sizes that make no sense are refused, and nothing is changed.
pub async fn r20_sizes_that_make_no_sense_change_nothing<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(2))?;
    let error = pool.resize(&PoolConfig::new().max_size(0)).expect_err("a pool of none");
    assert_eq!(error.faults().first().map(|fault| fault.field), Some("max_size"), "{error}");
    t.usable(&object, 2).await;
    Ok(())
}

/// R20: a suspended pool hands nothing out, not even what comes back, and opens nothing; resumed,
/// it serves who waits.
pub async fn r20_a_suspended_pool_hands_nothing_out_until_it_is_resumed<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let (pool, object) = t.own(t.config(2))?;
    let held = t.one(&object).await;
    pool.suspend();
    let waiting = t.pass_by(&object);
    t.settle().await;
    drop(held);
    let error = pool.acquire().within(ms(50)).await.map(drop).expect_err("it is suspended");
    assert_eq!(error.kind(), AcquireErrorKind::Suspended, "{error}");
    assert_eq!(t.faults.calls(Op::Connect), 1, "connects");
    assert!(!waiting.is_finished(), "served while suspended");
    let begun = Instant::now();
    pool.resume();
    waiting.await.expect("no panic").expect("served");
    t.took(begun, Duration::ZERO);
    Ok(())
}

/// R20: a connection that its user gives up is closed and not used again; the others stay.
///
/// Origin: a connection to a replica works and is of no use, and r2d2 has no way to say so
/// (sfackler/r2d2#121, influxdata/influxdb_iox#5570).
pub async fn r20_a_connection_given_up_is_closed_and_no_other<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Invalidate)?;
    let pool = t.pool(t.config(2)).await?;
    let mut guards = t.hold(&pool, 2).await;
    guards.pop().expect("there are two").invalidate();
    t.eventually("one has ended", || t.watch.alive() == 1).await;
    drop(guards);
    drop(t.hold(&pool, 2).await);
    assert_eq!(t.faults.calls(Op::Connect), 3);
    Ok(())
}

/// R20: after `invalidate_all` spare connections end now, those in use when they come back, and
/// nobody is handed an old one.
///
/// Origin: pools full of connections to a primary that is one no more (influxdata/influxdb_iox#5570).
pub async fn r20_invalidate_all_ends_every_connection<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(4))?;
    let mut held = t.hold(&object, 4).await;
    held.truncate(2);
    pool.invalidate_all();
    t.eventually("the spare ones have ended", || t.watch.alive() == 2).await;
    drop(held);
    t.eventually("the others have ended", || t.watch.alive() == 0).await;
    drop(t.hold(&object, 4).await);
    assert_eq!(t.faults.calls(Op::Connect), 8);
    Ok(())
}

/// R20: `invalidate_all` also reaches a connection that is being opened.
pub async fn r20_invalidate_all_reaches_a_connect_under_way<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(1))?;
    t.faults.next(Op::Connect, [Behaviour::Slow(ms(100))]);
    let waiting = t.pass_by(&object);
    t.eventually("it connects", || t.watch.connecting() == 1).await;
    pool.invalidate_all();
    waiting.await.expect("no panic").expect("served");
    assert_eq!(t.faults.calls(Op::Connect), 2, "the first was begun before");
    Ok(())
}

/// R20: `retain` looks at every spare connection and ends those that are not to be kept.
pub async fn r20_retain_ends_what_is_not_to_be_kept<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(4))?;
    let mut held = t.hold(&object, 4).await;
    held.truncate(1);
    let mut seen = 0;
    let ended = pool.retain(|_| {
        seen += 1;
        seen % 2 == 0
    });
    assert_eq!((seen, ended), (3, 2), "looked at, ended");
    t.eventually("two have ended", || t.watch.alive() == 2).await;
    Ok(())
}

/// R20: a detached connection is outside: its slot is free, and it works on.
pub async fn r20_a_detached_connection_is_outside<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(1))?;
    let mut outside = pool.acquire().await.expect("there is room").detach();
    drop(t.one(&object).await);
    t.harness.query(&mut outside).await.expect("it works on");
    assert_eq!(t.watch.alive(), 2);
    drop(outside);
    assert_eq!(t.watch.alive(), 1);
    t.usable(&object, 1).await;
    Ok(())
}

/// R20: beyond `max_waiting` callers are refused at once, as `QueueFull`, and only those.
pub async fn r20_max_waiting_sheds_the_rest_and_no_other<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(1).max_waiting(2))?;
    let held = t.one(&object).await;
    let waiting = [t.pass_by(&object), t.pass_by(&object)];
    t.eventually("two wait", || pool.snapshot().waiting == 2).await;
    let begun = Instant::now();
    for _ in 0..5 {
        let error = pool.acquire().await.map(drop).expect_err("two wait already");
        assert_eq!(error.kind(), AcquireErrorKind::QueueFull, "{error}");
    }
    t.took(begun, Duration::ZERO);
    drop(held);
    for waiting in waiting {
        waiting.await.expect("no panic").expect("served");
    }
    drop(pool.acquire().await.expect("nobody waits any more"));
    Ok(())
}

/// R20: `ready` waits until the minimum is open.
pub async fn r20_ready_waits_for_the_minimum<H: Harness>(t: Trial<H>) -> Outcome {
    t.faults.always(Op::Connect, Behaviour::Slow(ms(20)));
    let (pool, _) = t.own(t.config(4).min_size(3))?;
    pool.ready().await.expect("the server is well");
    assert!(t.watch.alive() >= 3, "{} connections", t.watch.alive());
    Ok(())
}

/// R20: `ready` says why the minimum cannot be reached, at once.
pub async fn r20_ready_says_why_not<H: Harness>(t: Trial<H>) -> Outcome {
    t.faults.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    let (pool, _) = t.own(t.config(4).min_size(1))?;
    let begun = Instant::now();
    let error = pool.ready().await.expect_err("no connection can be opened");
    assert_eq!(error.kind(), AcquireErrorKind::Connect, "{error}");
    t.took(begun, Duration::ZERO);
    Ok(())
}

/// R20: the pressure rises from 0 with those who hold and those who wait, and stays below 1.
pub async fn r20_pressure_rises_with_demand<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, object) = t.own(t.config(2))?;
    let mut pressures = vec![pool.pressure()];
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(t.one(&object).await);
        pressures.push(pool.pressure());
    }
    let mut waiting = Vec::new();
    for n in 1..=6 {
        waiting.push(t.pass_by(&object));
        t.eventually("one more waits", || pool.snapshot().waiting == n).await;
        pressures.push(pool.pressure());
    }
    assert_eq!(pressures[0], 0.0);
    assert!(pressures.is_sorted_by(|a, b| a < b), "{pressures:?}");
    assert!(pressures.iter().all(|pressure| *pressure < 1.0), "{pressures:?}");
    drop(held);
    for waiting in waiting {
        waiting.await.expect("no panic").expect("served");
    }
    Ok(())
}

/// R20: every connection is asked of the manager anew, so that credentials may change with time.
///
/// Origin: tokens that expire after 15 minutes, and a pool that keeps the first one
/// (transact-rs/sqlx#445, #1500, #3117).
pub async fn r20_every_connection_is_asked_of_the_manager<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Invalidate)?;
    let pool = t.pool(t.config(1)).await?;
    for opened in 1..=4 {
        let guard = t.one(&pool).await;
        assert_eq!(t.faults.calls(Op::Connect), opened);
        guard.invalidate();
    }
    Ok(())
}

/// R20: settings that make no sense are an error that names them all, not a panic.
///
/// Origin: bb8 panics on a size of zero; sqlx takes it and waits for ever (transact-rs/sqlx#2433).
pub async fn r20_settings_that_make_no_sense_are_all_named<H: Harness>(t: Trial<H>) -> Outcome {
    let config = t.config(0).min_size(3).max_connecting(0).ping_timeout(Duration::ZERO);
    let error = t.managed(config)?.build().map(drop).expect_err("they make no sense");
    let named: Vec<_> = error.faults().iter().map(|fault| fault.field).collect();
    for field in ["max_size", "min_size", "max_connecting", "ping_timeout"] {
        assert!(named.contains(&field), "{field} is not among {named:?}");
        assert!(error.to_string().contains(field), "{field} is not in: {error}");
    }
    assert_eq!(named.len(), 4, "{error}");
    Ok(())
}

/// R20: a pool that got a new minimum opens it though nobody asks.
pub async fn r20_a_new_minimum_is_opened_though_nobody_asks<H: Harness>(t: Trial<H>) -> Outcome {
    let (pool, _) = t.own(t.config(4))?;
    pool.resize(&t.config(4).min_size(2)).expect("the sizes are valid");
    t.eventually("two are open", || t.watch.alive() >= 2).await;
    sleep(ms(20)).await;
    assert_eq!(t.watch.alive(), 2);
    Ok(())
}
