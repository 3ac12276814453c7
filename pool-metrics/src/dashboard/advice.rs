//! What a database is at right now, in a word, and what to do about it, in a sentence.

use serde::Serialize;

use crate::health::Indicator;
use crate::watched::Report;

/// What a database is at. Where several are true, the first of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The pool is closed.
    Closed,
    /// Nothing is open, and connects fail.
    Down,
    /// Hand-outs are suspended.
    Suspended,
    /// All connections are in use, and somebody waits.
    Exhausted,
    /// Connects fail, and what is open still serves.
    FailingConnects,
    /// Somebody waits for a connection to be opened or cleaned.
    Waiting,
    /// Something else should be looked at.
    Watch,
    /// Nobody has asked for a connection yet.
    Unused,
    /// Nobody uses it now, or has in the window.
    Idle,
    /// All is well.
    Working,
}

/// The condition, and what to do.
pub(super) fn advice(report: &Report) -> (Condition, String) {
    let (now, window) = (&report.total.snapshot, &report.window.snapshot.counts);
    let on = |indicator| report.health.is_on(indicator);
    let (max, waiting) = (now.max_size, now.waiting);
    let is_full = now.idle == 0 && now.in_use >= max;
    let seconds = report.window_length.as_secs().max(1);
    let without = window.timed_out + window.shed + window.failed;
    if now.closed {
        let text = "closed: it gives out nothing any more. Start a new pool, or let the monitor \
                    forget this one";
        (Condition::Closed, text.to_owned())
    } else if on(Indicator::Unreachable) {
        let text = "no connection can be opened: check the server, its address and the \
                    credentials against the error below. The pool keeps trying";
        (Condition::Down, text.to_owned())
    } else if now.suspended {
        let text = format!("hand-outs are suspended, {waiting} waiting: resume when you are done");
        (Condition::Suspended, text)
    } else if waiting > 0 && is_full {
        let text = format!("all {max} in use, {waiting} waiting: {}", way_out(report));
        (Condition::Exhausted, text)
    } else if on(Indicator::FailingConnects) {
        let text = "connects fail, and what is open still serves: look at the error below before \
                    open connections run out";
        (Condition::FailingConnects, text.to_owned())
    } else if waiting > 0 {
        let opening = now.connecting + now.validating + now.resetting;
        let text = format!("{waiting} waiting for {opening} connections being made ready");
        (Condition::Waiting, text)
    } else if let Some(reason) = report.health.reasons.first() {
        (Condition::Watch, hint(reason.indicator).to_owned())
    } else if without > 0 {
        let text = format!("{without} acquires got none in the last {seconds} s: look for a rush");
        (Condition::Watch, text)
    } else if report.total.snapshot.counts.acquires() == 0 {
        (Condition::Unused, "nobody has asked for a connection yet".to_owned())
    } else if now.in_use == 0 && window.acquires() == 0 {
        (Condition::Idle, format!("nobody has used it in the last {seconds} s: nothing to do"))
    } else {
        (Condition::Working, "all is well: nothing to do".to_owned())
    }
}

/// Out of exhaustion.
fn way_out(report: &Report) -> String {
    let first = report.holders.first().filter(|first| {
        first.idle_share.is_some_and(|share| share > 0.5) && first.longest.as_secs() > 0
    });
    match first.and_then(|first| first.idle_share) {
        Some(share) => format!(
            "who holds most uses them only {:.0} % of the time, see below; else raise max_size",
            (1.0 - share) * 100.0
        ),
        None => "raise max_size or look at who holds them below".to_owned(),
    }
}

fn hint(indicator: Indicator) -> &'static str {
    match indicator {
        Indicator::ConnectionWaits | Indicator::SlowAcquire => {
            "acquires wait: look at who holds connections for long, then at max_size"
        }
        Indicator::HighUtilization => {
            "little is left for a rush: look at who holds connections for long, then at max_size"
        }
        Indicator::ConnectionChurning => "connections do not last: see below why they were closed",
        Indicator::IdleTimeoutIssues => {
            "connections are closed and soon needed again: raise idle_timeout or max_idle"
        }
        Indicator::LowHitRate => {
            "many acquires have to open a connection: raise min_idle, max_idle or idle_timeout"
        }
        Indicator::FailingHealthChecks => "checks fail: look at the server and the network between",
        _ => "look at the reasons",
    }
}
