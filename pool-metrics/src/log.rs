//! [`Log`]: what happens in pools, as events of `tracing`.
//!
//! | level | events |
//! |---|---|
//! | error | a connect that failed for good; an acquire that failed; a statement that failed |
//! | warn | any other failed connect; a slow acquire; a leak, with its holder; a future that nobody polls; a connection found dead, not cleaned, or gone without a goodbye; a slow statement |
//! | info | a connection opened, or closed and why; every statement |
//! | debug | checkouts and checkins, resets, pings |
//!
//! All have the target `pool`, so that a subscriber's filter can tell them from others. What the
//! subscriber does not want costs a comparison. Statements are told by their operation, their code of
//! error and how long they took: neither their text nor their values.

use std::time::Duration;

use pool_core::{
    AcquireFailed, Acquired, Closed, ConnectFailed, Connected, ErrorClass, Leaked, Metrics,
    Released, ResetDone, Stalled, Validated,
};
use pool_sql::{Outcome, Statement, StatementObserver};
use tracing::{Level, event, level_enabled};

/// Tells `tracing` what happens in pools: for the `metrics` and the `observer` of a pool's builder.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use pool_metrics::Log;
///
/// let log = Arc::new(Log::up_to(tracing::Level::INFO).slow_acquire(Duration::from_millis(20)));
/// # fn builder(_: Arc<dyn pool_core::Metrics>, _: Arc<dyn pool_sql::StatementObserver>) {}
/// builder(log.clone(), log);
/// ```
#[derive(Clone, Debug)]
pub struct Log {
    up_to: Level,
    slow_acquire: Duration,
    slow_statement: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self::up_to(Level::DEBUG)
    }
}

impl Log {
    /// Tells what is at this level or worse, as far as the subscriber wants it.
    pub fn up_to(level: Level) -> Self {
        let slow = Duration::from_millis(100);
        Self { up_to: level, slow_acquire: slow, slow_statement: 2 * slow }
    }

    /// From where on an acquire is slow. Default: 100 ms.
    #[must_use]
    pub fn slow_acquire(self, from: Duration) -> Self {
        Self { slow_acquire: from, ..self }
    }

    /// From where on a statement is slow. Default: 200 ms.
    #[must_use]
    pub fn slow_statement(self, from: Duration) -> Self {
        Self { slow_statement: from, ..self }
    }
}

/// An event at a level of which the compiler knows, if it is wanted.
macro_rules! tell {
    ($log:expr, $level:ident, $pool:expr, $($rest:tt)+) => {
        if Level::$level <= $log.up_to && level_enabled!(Level::$level) {
            event!(target: "pool", Level::$level, pool = $pool, $($rest)+);
        }
    };
}

/// Milliseconds, as people read them.
fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Metrics for Log {
    fn connected(&self, event: &Connected<'_>) {
        tell!(self, INFO, event.pool, id = event.id, took_ms = ms(event.took), "connect");
    }

    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        let (id, took_ms, error) = (event.id, ms(event.took), event.error);
        let class = match event.class {
            ErrorClass::Permanent => {
                tell!(self, ERROR, event.pool, id, took_ms, %error, "connect failed for good");
                return;
            }
            ErrorClass::Saturated => "saturated",
            _ => "transient",
        };
        tell!(self, WARN, event.pool, id, took_ms, class, %error, "connect failed");
    }

    fn acquired(&self, event: &Acquired<'_>) {
        let (operation, hit) = (event.operation, event.hit);
        if event.waited >= self.slow_acquire {
            let (site, waited_ms) = (event.site, ms(event.waited));
            tell!(self, WARN, event.pool, operation, %site, waited_ms, hit, "slow acquire");
        } else {
            let waited_ms = ms(event.waited);
            tell!(self, DEBUG, event.pool, operation, waited_ms, hit, "checkout");
        }
    }

    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        let (operation, site, waited_ms) = (event.operation, event.site, ms(event.waited));
        let kind = event.kind.as_str();
        tell!(self, ERROR, event.pool, operation, %site, waited_ms, kind, "acquire failed");
    }

    fn released(&self, event: &Released<'_>) {
        let (operation, held_ms) = (event.operation, ms(event.held));
        tell!(self, DEBUG, event.pool, operation, held_ms, "checkin");
    }

    fn reset(&self, event: &ResetDone<'_>) {
        let took_ms = ms(event.took);
        if event.kept {
            tell!(self, DEBUG, event.pool, took_ms, "reset");
        } else {
            tell!(self, WARN, event.pool, took_ms, "not reset: the connection is closed");
        }
    }

    fn validated(&self, event: &Validated<'_>) {
        let took_ms = ms(event.took);
        if event.alive {
            tell!(self, DEBUG, event.pool, took_ms, "ping");
        } else {
            tell!(self, WARN, event.pool, took_ms, "ping failed: the connection is closed");
        }
    }

    fn closed(&self, event: &Closed<'_>) {
        let (id, age_ms, reason) = (event.id, ms(event.age), event.reason.as_str());
        if event.abandoned {
            tell!(self, WARN, event.pool, id, age_ms, reason, "close without a goodbye");
        } else {
            tell!(self, INFO, event.pool, id, age_ms, reason, "close");
        }
    }

    fn stalled(&self, event: &Stalled<'_>) {
        let (operation, site) = (event.operation, event.site);
        tell!(self, WARN, event.pool, operation, %site, "a future of an acquire is not polled");
    }

    fn leaked(&self, event: &Leaked<'_>) {
        let (operation, site, held_ms) = (event.operation, event.site, ms(event.held));
        tell!(self, WARN, event.pool, operation, %site, held_ms, "held for long: a leak?");
    }
}

impl StatementObserver for Log {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let (system, operation, rows) = (statement.backend, statement.operation, outcome.rows);
        let (took_ms, none) = (ms(outcome.took), tracing::field::Empty);
        if let Some(error) = &outcome.error {
            tell!(self, ERROR, none, system, operation, took_ms, %error, "statement failed");
        } else if outcome.took >= self.slow_statement {
            tell!(self, WARN, none, system, operation, took_ms, rows, "slow statement");
        } else {
            tell!(self, INFO, none, system, operation, took_ms, rows, "statement");
        }
    }
}
