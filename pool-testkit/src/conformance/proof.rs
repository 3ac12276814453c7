//! Cases on proof before use: when a ping comes, and what a failed one costs (R19).

use std::time::Duration;

use pool_core::{ErrorClass, Request, Validation};
use tokio::time::sleep;

use super::harness::{Feature, Harness, Outcome};
use super::scenes::ms;
use super::trial::Trial;
use crate::{Behaviour, Op};

const HOUR: Duration = Duration::from_secs(3600);

/// R19: `Always` means a ping before each use of a connection that was used before.
pub async fn r19_always_means_a_ping_before_each_use<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(1).validation(Validation::Always)).await?;
    t.warm(&pool, 1).await;
    for used in 1..=5 {
        let before = t.faults.calls(Op::Ping);
        let guard = pool.acquire_with(Request::new()).await.expect("there is room");
        assert!(t.faults.calls(Op::Ping) > before, "no ping before use {used}");
        drop(guard);
    }
    Ok(())
}

/// R19: `IfIdleFor` means no ping for a connection that was just used.
///
/// Origin: sqlx pings at each acquire, a round trip a request (transact-rs/sqlx#1743).
pub async fn r19_a_connection_just_used_is_not_pinged<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::ValidationByIdleTime)?;
    let pool = t.pool(t.config(1).validation(Validation::IfIdleFor(HOUR))).await?;
    for _ in 0..20 {
        drop(pool.acquire_with(Request::new()).await.expect("there is room"));
    }
    assert_eq!(t.faults.calls(Op::Ping), 0);
    Ok(())
}

/// R19: `IfIdleFor` means a ping for a connection that nobody used for that long.
pub async fn r19_a_connection_idle_for_long_is_pinged<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(1).validation(Validation::IfIdleFor(ms(50)))).await?;
    t.warm(&pool, 1).await;
    sleep(ms(100)).await;
    let before = t.faults.calls(Op::Ping);
    let _guard = pool.acquire_with(Request::new()).await.expect("there is room");
    assert!(t.faults.calls(Op::Ping) > before, "no ping after a pause");
    Ok(())
}

/// R19: `Never` means never, as long as nothing points to trouble.
pub async fn r19_never_means_no_ping<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(1).validation(Validation::Never)).await?;
    for _ in 0..3 {
        drop(pool.acquire_with(Request::new()).await.expect("there is room"));
        sleep(ms(30)).await;
    }
    assert_eq!(t.faults.calls(Op::Ping), 0);
    Ok(())
}

/// R19: the check that costs no round trip comes before each use, whatever the policy: a connection
/// that is seen to be broken is not handed out.
pub async fn r19_the_free_check_comes_in_any_case<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::FreeCheck)?;
    for validation in [Validation::Always, Validation::IfIdleFor(HOUR), Validation::Never] {
        let pool = t.pool(t.config(1).validation(validation)).await?;
        t.warm(&pool, 1).await;
        let connects = t.faults.calls(Op::Connect);
        t.faults.next(Op::Condition, [Behaviour::Fail(ErrorClass::Transient)]);
        let guard = t.one(&pool).await;
        assert_eq!(t.faults.calls(Op::Connect), connects + 1, "{validation:?}");
        drop(guard);
    }
    Ok(())
}

/// R19: failed pings cost no caller an error: within the same acquire another connection is taken,
/// or opened.
pub async fn r19_failed_pings_cost_no_caller_an_error<H: Harness>(t: Trial<H>) -> Outcome {
    t.needs(Feature::Validation)?;
    let pool = t.pool(t.config(3).validation(Validation::Always)).await?;
    t.warm(&pool, 3).await;
    t.faults.next(Op::Ping, [Behaviour::Fail(ErrorClass::Transient); 3]);
    for guard in t.hold(&pool, 3).await {
        drop(guard);
    }
    assert_eq!(t.watch.violations(), Vec::<String>::new());
    t.usable(&pool, 3).await;
    Ok(())
}
