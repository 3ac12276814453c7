//! [`Health`]: healthy, degraded or unhealthy, and why.
//!
//! All of it is computed from what pools count, over a sliding window (60 s unless set otherwise), and
//! never by asking the database: a check that needs a connection fails exactly when the pool is merely
//! busy. Whether the database answers is asked by [`Monitor::probe`](crate::Monitor::probe), and the
//! last answer counts here too.
//!
//! * **Unhealthy**: requests that need this database fail now. [`Indicator::Closed`],
//!   [`Indicator::Suspended`], [`Indicator::Unreachable`], [`Indicator::Exhausted`]: of any side, as
//!   SQLite's writer is no less needed for its readers being well.
//! * **Degraded**: it works, and something should be looked at. Any other indicator.
//! * **Healthy**: none.

use std::fmt;
use std::time::Duration;

use pool_core::Snapshot;

use crate::history::{Window, refused};

/// How a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub enum Status {
    /// Nothing to be seen.
    Healthy,
    /// It works, and something should be looked at.
    Degraded,
    /// Requests that need it fail now.
    Unhealthy,
}

impl Status {
    /// `healthy`, `degraded`, `unhealthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! indicators {
    ($($(#[$doc:meta])* $variant:ident, $text:literal, $status:ident;)*) => {
        /// What may be wrong. Each is on or off, by its definition, over the window.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
        #[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
        #[non_exhaustive]
        pub enum Indicator {
            $($(#[$doc])* $variant,)*
        }

        impl Indicator {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in metrics and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What a database is, at best, while this is on.
            pub fn status(self) -> Status {
                match self { $(Self::$variant => Status::$status,)* }
            }
        }
    };
}

indicators! {
    /// The pool is closed.
    Closed, "closed", Unhealthy;
    /// Hand-outs are suspended.
    Suspended, "suspended", Unhealthy;
    /// No connection is open that could serve, and the last connect failed.
    Unreachable, "unreachable", Unhealthy;
    /// Acquires timed out or were refused for the queue's length in the window, and now there is no
    /// connection to be had, none can be opened, and somebody waits or was refused in the last
    /// seconds.
    Exhausted, "exhausted", Unhealthy;
    /// At least ten acquires waited for longer than 10 ms or went without, and more than the allowed
    /// share of all (1 %); or somebody has waited for longer than the allowed mean (100 ms) now.
    ConnectionWaits, "connection_waits", Degraded;
    /// On the mean over the window, or the half of it that there is yet, more than the allowed share
    /// (80 %) of `max_size` was in use.
    HighUtilization, "high_utilization", Degraded;
    /// More connections ended on their own account in the window than the pool may have: each was
    /// replaced more than once. Those that ended since the pool was closed, made smaller or
    /// invalidated, or were taken out, do not count.
    ConnectionChurning, "connection_churning", Degraded;
    /// Connections were closed for being idle or surplus, and as many opened again, at least half of
    /// `max_size` and two: `idle_timeout` or `max_idle` is too small.
    IdleTimeoutIssues, "idle_timeout_issues", Degraded;
    /// Of at least ten acquires less than the allowed share (80 %) got a connection used before, and
    /// more than `max_size` got a new one.
    LowHitRate, "low_hit_rate", Degraded;
    /// The mean wait of the acquires that got a connection was longer than allowed (100 ms), of at
    /// least ten or of at least a second in all.
    SlowAcquire, "slow_acquire", Degraded;
    /// The last health check, if it was in the window, failed; or connections were found dead by a
    /// ping, or refused by a hook.
    FailingHealthChecks, "failing_health_checks", Degraded;
    /// Connects failed in the window.
    FailingConnects, "failing_connects", Degraded;
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// From where on something is worth looking at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Thresholds {
    /// Over how long; 60 s.
    pub window: Duration,
    /// From where on a wait is one to speak of; 10 ms.
    pub wait: Duration,
    /// The share of acquires that may have to wait that long; 0.01.
    pub waits: f64,
    /// The share of `max_size` that may be in use on the mean; 0.8.
    pub utilization: f64,
    /// The share of acquires that should get a connection used before; 0.8.
    pub hit_rate: f64,
    /// How long an acquire may take on the mean; 100 ms.
    pub acquire: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            wait: Duration::from_millis(10),
            waits: 0.01,
            utilization: 0.8,
            hit_rate: 0.8,
            acquire: Duration::from_millis(100),
        }
    }
}

/// How databases are, and why.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// The worst there is.
    pub status: Status,
    /// Every indicator that is on.
    pub reasons: Vec<Reason>,
}

/// An indicator that is on.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reason {
    /// The name under which the database is watched.
    pub pool: String,
    /// Which.
    pub indicator: Indicator,
    /// What was seen, for people.
    pub text: String,
}

impl Health {
    pub(crate) fn of(reasons: Vec<Reason>) -> Self {
        let worst = reasons.iter().map(|reason| reason.indicator.status()).max();
        Self { status: worst.unwrap_or(Status::Healthy), reasons }
    }

    /// Whether an indicator is on.
    pub fn is_on(&self, indicator: Indicator) -> bool {
        self.reasons.iter().any(|reason| reason.indicator == indicator)
    }
}

/// Whether a database answered when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// How long it took to get a connection and an answer, or to fail.
    pub latency: Duration,
    /// Why it did not.
    pub error: Option<String>,
}

/// Waits of this length together are worth a look, however few they are.
const A_LOT: Duration = Duration::from_secs(1);

/// What the indicators are computed from.
pub(crate) struct Seen<'a> {
    pub(crate) pool: &'a str,
    pub(crate) window: &'a Window,
    /// How long ago the last connect failed.
    pub(crate) last_failure: Option<Duration>,
    /// How long ago the last health check was, and how it went.
    pub(crate) probe: Option<(Duration, &'a Probe)>,
}

/// Which indicators are on.
pub(crate) fn judge(seen: &Seen<'_>, allowed: &Thresholds) -> Health {
    let reasons = Indicator::ALL.iter().filter_map(|indicator| {
        let text = indicator.judge(seen, allowed)?;
        Some(Reason { pool: seen.pool.to_owned(), indicator: *indicator, text })
    });
    Health::of(reasons.collect())
}

impl Indicator {
    /// What was seen, if it is on.
    fn judge(self, seen: &Seen<'_>, allowed: &Thresholds) -> Option<String> {
        if self.status() == Status::Unhealthy {
            let sides = seen.window.sides.iter().zip(&seen.window.refused_lately);
            return sides.into_iter().find_map(|(side, lately)| {
                let text = self.judge_side(&side.snapshot, *lately, seen.last_failure)?;
                let name = &side.snapshot.name;
                Some(if seen.window.sides.len() > 1 { format!("{name}: {text}") } else { text })
            });
        }
        let between = &seen.window.between;
        let (now, counts) = (&between.snapshot, &between.snapshot.counts);
        let ended = &counts.ended;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let on = |is_on: bool, text: &dyn Fn() -> String| is_on.then(text);
        match self {
            Self::ConnectionWaits => {
                let long = between.wait.buckets().filter(|(bound, _)| *bound > allowed.wait);
                let long = long.map(|(_, n)| n).sum::<u64>() + refused(counts);
                let share = long as f64 / (counts.acquired + refused(counts)).max(1) as f64;
                let oldest = now.oldest_waiter.unwrap_or_default();
                let often = long >= 10 && share > allowed.waits;
                on(often || oldest > allowed.acquire, &|| {
                    let (from, oldest) = (allowed.wait.as_millis(), oldest.as_millis());
                    let (share, waiting) = (percent(share), now.waiting);
                    format!(
                        "{long} acquires ({share}) waited over {from} ms or in vain; {waiting} wait \
                         now, up to {oldest} ms"
                    )
                })
            }
            Self::HighUtilization => {
                let (mean, is_long) =
                    (seen.window.utilization, seen.window.length >= allowed.window / 2);
                on(is_long && mean > allowed.utilization, &|| {
                    format!("{} in use on the mean", percent(mean))
                })
            }
            Self::ConnectionChurning => {
                let of_themselves = ended.idle
                    + ended.surplus
                    + ended.lifetime
                    + ended.server_limit
                    + ended.broken
                    + ended.validation
                    + ended.reset
                    + ended.lost;
                on(of_themselves > u64::from(now.max_size), &|| {
                    format!("{of_themselves} connections of {} ended", now.max_size)
                })
            }
            Self::IdleTimeoutIssues => {
                let again = (ended.idle + ended.surplus).min(counts.created);
                on(again >= u64::from(now.max_size.div_ceil(2).max(2)), &|| {
                    format!("{again} connections closed while idle and opened again")
                })
            }
            Self::LowHitRate => {
                let rate = counts.hit_rate().unwrap_or(1.0);
                let is_much = counts.hits + counts.misses >= 10;
                let is_new = counts.misses > u64::from(now.max_size);
                on(is_much && is_new && rate < allowed.hit_rate, &|| {
                    format!("{} of acquires got a connection used before", percent(rate))
                })
            }
            Self::SlowAcquire => {
                let wait = &between.wait;
                let (mean, is_much) = (wait.mean(), wait.count() >= 10 || wait.sum() >= A_LOT);
                on(is_much && mean > allowed.acquire, &|| {
                    format!("{} ms on the mean", mean.as_millis())
                })
            }
            Self::FailingHealthChecks => {
                let probe = seen.probe.filter(|(age, _)| *age <= allowed.window);
                let error = probe.and_then(|(_, probe)| probe.error.as_deref());
                on(error.is_some() || ended.validation > 0, &|| match error {
                    Some(error) => format!("the last check failed: {error}"),
                    None => {
                        format!("{} connections found dead, or refused by a hook", ended.validation)
                    }
                })
            }
            Self::FailingConnects => {
                let failures = counts.connects_failed();
                on(failures > 0, &|| format!("{failures} connects failed"))
            }
            Self::Closed | Self::Suspended | Self::Unreachable | Self::Exhausted => None, // above
        }
    }

    /// The same for what one side alone makes bad.
    fn judge_side(
        self,
        now: &Snapshot,
        refused_lately: u64,
        last_failure: Option<Duration>,
    ) -> Option<String> {
        let usable = now.idle + now.in_use + now.validating + now.resetting;
        match self {
            Self::Closed => now.closed.then(|| "the pool is closed".to_owned()),
            Self::Suspended => {
                let waiting = now.waiting;
                now.suspended.then(|| format!("nothing is handed out, {waiting} wait"))
            }
            Self::Unreachable => (!now.closed && usable == 0 && now.failing).then(|| {
                match last_failure.map(|ago| ago.as_secs()) {
                    Some(ago) => format!("no connection, and the last connect failed {ago} s ago"),
                    None => "no connection, and each new one is refused".to_owned(),
                }
            }),
            Self::Exhausted => {
                let none = now.idle == 0 && (now.open() >= now.max_size || now.failing);
                let without = refused(&now.counts);
                let still = now.waiting > 0 || refused_lately > 0;
                (none && without > 0 && still).then(|| {
                    let (in_use, max, waiting) = (now.in_use, now.max_size, now.waiting);
                    format!("{in_use} of {max} in use, {waiting} waiting, {without} went without")
                })
            }
            _ => None,
        }
    }
}
