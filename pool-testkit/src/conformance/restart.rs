//! Cases on suspicion: after a restart, a failed ping, a jump of the clock (R11, R16).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pool_core::{ErrorClass, Request, Validation};
use tokio::time::sleep;

use super::harness::{Feature, Harness, Outcome, SharedPool};
use super::scenes::ms;
use super::trial::Trial;
use crate::{Behaviour, Op};

thread_local! {
    /// How far the wall clock of the case on this thread has jumped.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// R11: when the wall clock has run away from the monotonic one, every connection is pinged before
/// its next use, even if the policy is never to ping.
pub async fn r11_a_jump_of_the_wall_clock_makes_all_suspect<H: Harness>(t: Trial<H>) -> Outcome {
    let wall = || SystemTime::now() + AHEAD.get();
    let builder = t.managed(t.config(3).validation(Validation::Never))?.wall_clock(wall);
    let pool: SharedPool<H> = Arc::new(builder.build().expect("valid settings"));
    t.warm(&pool, 3).await;
    let before = t.faults.calls(Op::Ping);
    AHEAD.set(Duration::from_secs(3600));
    sleep(ms(50)).await; // it is not looked at each time
    let mut guards = Vec::new();
    for _ in 0..3 {
        guards.push(pool.acquire_with(Request::new()).await.expect("there is room"));
    }
    let pings = t.faults.calls(Op::Ping) - before;
    assert!(pings >= 3, "{pings} pings before the next use of 3 connections");
    Ok(())
}

/// R16: a failed ping makes all older connections suspect, also one that was just in use: it is
/// pinged before its next use.
pub async fn r16_a_failed_ping_makes_the_others_suspect<H: Harness>(t: Trial<H>) -> Outcome {
    let config = t.config(3).validation(Validation::IfIdleFor(ms(50)));
    let (_, pool) = t.own(config)?;
    let mut guards = t.hold(&pool, 2).await;
    let recent = guards.pop().expect("there are two");
    drop(guards);
    sleep(ms(100)).await;
    t.faults.next(Op::Ping, [Behaviour::Fail(ErrorClass::Transient)]);
    let fresh = t.one(&pool).await;
    drop(recent);
    let before = t.faults.calls(Op::Ping);
    let suspect = pool.acquire_with(Request::new()).await.expect("there is room");
    assert!(t.faults.calls(Op::Ping) > before, "handed out unproven");
    drop((fresh, suspect));
    Ok(())
}

/// R16: when the pings of all idle connections fail, as after a restart that went unseen, everybody
/// who asks gets a new one.
pub async fn r16_when_all_pings_fail_all_get_new_connections<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(3).validation(Validation::IfIdleFor(ms(50)))).await?;
    t.warm(&pool, 3).await;
    sleep(ms(100)).await;
    t.faults.next(Op::Ping, [Behaviour::Fail(ErrorClass::Transient); 3]);
    let asking: Vec<_> = (0..3).map(|_| t.ask(&pool)).collect();
    let mut guards = Vec::new();
    for asked in asking {
        let mut guard = asked.await.expect("no panic").expect("served");
        t.harness.query(&mut guard).await.expect("what is handed out works");
        guards.push(guard);
    }
    assert_eq!(t.watch.violations(), Vec::<String>::new());
    Ok(())
}

/// Opens connections, breaks them all, and leaves them to the pool.
async fn restart<H: Harness>(t: &Trial<H>, pool: &SharedPool<H>, count: u32) {
    let mut guards = t.hold(pool, count).await;
    for guard in &mut guards {
        t.harness.break_connection(guard).await;
    }
}

/// R16: after a restart of the server one user at most finds a dead connection; from then on
/// nothing is handed out unproven.
///
/// Origin: after hours of silence all connections of deadpool and rbatis were dead, and as many
/// users paid for it (deadpool-rs/deadpool#191, #346; rbatis/rbatis#561).
pub async fn r16_after_a_restart_at_most_one_user_finds_a_dead_connection<H: Harness>(
    t: Trial<H>,
) -> Outcome {
    let pool = t.pool(t.config(4)).await?;
    restart(&t, &pool, 4).await;
    let mut failures = 0;
    for _ in 0..8 {
        let mut guard = pool.acquire_with(Request::new()).await.expect("there is room");
        failures += u32::from(t.harness.query(&mut guard).await.is_err());
    }
    assert!(failures <= 1, "{failures} users found a dead connection");
    Ok(())
}

/// R16: after a restart of the server the pool has room for as many as before.
pub async fn r16_after_a_restart_no_room_is_lost<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(4).validation(Validation::Always)).await?;
    restart(&t, &pool, 4).await;
    t.usable(&pool, 4).await;
    t.eventually("what was broken has ended", || t.watch.alive() == 4).await;
    Ok(())
}

/// R16: with a ping before each use no user finds a dead connection after a restart.
pub async fn r16_with_pings_nobody_finds_a_dead_connection<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(4).validation(Validation::Always)).await?;
    restart(&t, &pool, 4).await;
    let asking: Vec<_> = (0..4).map(|_| t.ask(&pool)).collect();
    for asked in asking {
        let mut guard = asked.await.expect("no panic").expect("served");
        t.harness.query(&mut guard).await.expect("a dead connection was handed out");
    }
    Ok(())
}
