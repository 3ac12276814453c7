//! What a pool looks like at one moment: [`Snapshot`], its [`Counts`], and [`Statistics`].

use std::time::Duration;

use crate::Histogram;

/// A pool at one moment, read under one lock, so that all figures fit together.
///
/// `idle + in_use + connecting + validating + resetting + closing` is [`open`](Self::open) and
/// never more than `max_size`, but for what was open before a shrink.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The pool's name.
    pub name: String,
    /// The most connections there may be.
    pub max_size: u32,
    /// How many are kept open in all.
    pub min_size: u32,
    /// How many spare ones are kept open.
    pub min_idle: u32,
    /// How many may stay open unused.
    pub max_idle: u32,
    /// Connections ready to be taken.
    pub idle: u32,
    /// Connections that somebody holds, or has been handed and not picked up yet.
    pub in_use: u32,
    /// Connections being opened.
    pub connecting: u32,
    /// Connections being pinged, or made ready by a hook.
    pub validating: u32,
    /// Connections being cleaned after use.
    pub resetting: u32,
    /// Connections being closed.
    pub closing: u32,
    /// Callers waiting for a connection.
    pub waiting: u32,
    /// How long the first of them has waited.
    pub oldest_waiter: Option<Duration>,
    /// The last connect failed: none has succeeded since.
    pub failing: bool,
    /// Hand-outs are suspended.
    pub suspended: bool,
    /// The pool is closed.
    pub closed: bool,
    /// What happened so far.
    pub counts: Counts,
}

/// What happened in a pool since it was made.
///
/// Every number only grows, with one exception: a checkout whose connection is found unfit before
/// its user sees it is taken back from `acquired`, `waited`, `hits` and `misses`, so that each
/// acquire is counted once, when it really ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Acquires that got a connection.
    pub acquired: u64,
    /// Acquires whose time was up.
    pub timed_out: u64,
    /// Acquires that were dropped while they waited.
    pub cancelled: u64,
    /// Acquires refused since too many waited.
    pub shed: u64,
    /// Acquires that were told of a connect error or a panic.
    pub failed: u64,
    /// Acquires refused since the pool is closed.
    pub closed: u64,
    /// Acquires whose time was up while the pool was suspended.
    pub suspended: u64,
    /// Of the acquired, how many had to wait.
    pub waited: u64,
    /// Of the acquired, how many got a connection that had been used before.
    pub hits: u64,
    /// Of the acquired, how many got a connection opened just now.
    pub misses: u64,
    /// Connections opened.
    pub created: u64,
    /// Connects that failed, by class; a time-out is transient.
    pub connect_permanent: u64,
    /// See [`connect_permanent`](Self::connect_permanent).
    pub connect_saturated: u64,
    /// See [`connect_permanent`](Self::connect_permanent).
    pub connect_transient: u64,
    /// Connections that were proven by a ping.
    pub validated: u64,
    /// Connections that were cleaned after use.
    pub reset: u64,
    /// Hand-offs taken back from futures that nobody polled.
    pub taken_back: u64,
    /// Connections held longer than `leak_after`.
    pub leaks: u64,
    /// Connections whose goodbye did not end in time; they are among the closed too.
    pub abandoned: u64,
    /// Connections that ended, by reason.
    pub ended: Ended,
}

impl Counts {
    /// Acquires that have come to an end, whichever.
    pub fn acquires(&self) -> u64 {
        self.acquired
            + self.timed_out
            + self.cancelled
            + self.shed
            + self.failed
            + self.closed
            + self.suspended
    }

    /// Connects that failed, of whichever class.
    pub fn connects_failed(&self) -> u64 {
        self.connect_permanent + self.connect_saturated + self.connect_transient
    }

    /// What has happened since an earlier reading of the same pool.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.each(earlier, u64::saturating_sub)
    }

    fn each(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            acquired: with(self.acquired, other.acquired),
            timed_out: with(self.timed_out, other.timed_out),
            cancelled: with(self.cancelled, other.cancelled),
            shed: with(self.shed, other.shed),
            failed: with(self.failed, other.failed),
            closed: with(self.closed, other.closed),
            suspended: with(self.suspended, other.suspended),
            waited: with(self.waited, other.waited),
            hits: with(self.hits, other.hits),
            misses: with(self.misses, other.misses),
            created: with(self.created, other.created),
            connect_permanent: with(self.connect_permanent, other.connect_permanent),
            connect_saturated: with(self.connect_saturated, other.connect_saturated),
            connect_transient: with(self.connect_transient, other.connect_transient),
            validated: with(self.validated, other.validated),
            reset: with(self.reset, other.reset),
            taken_back: with(self.taken_back, other.taken_back),
            leaks: with(self.leaks, other.leaks),
            abandoned: with(self.abandoned, other.abandoned),
            ended: self.ended.each(&other.ended, with),
        }
    }

    /// Of the acquires served, the share that got a connection used before; `None` before the
    /// first.
    pub fn hit_rate(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident, $field:ident, $text:literal;)*) => {
        /// Why a connection ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)*
        }

        impl CloseReason {
            /// The reason as it is named in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        /// How many connections ended, by [`CloseReason`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct Ended {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Ended {
            /// All together.
            pub fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }

            fn each(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
                Self { $($field: with(self.$field, other.$field),)* }
            }

            /// Each reason with its number.
            pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> {
                [$((CloseReason::$variant, self.$field),)*].into_iter()
            }

            pub(crate) fn add(&mut self, reason: CloseReason) {
                match reason { $(CloseReason::$variant => self.$field += 1,)* }
            }
        }
    };
}

close_reasons! {
    /// Spare for longer than `idle_timeout`.
    Idle, idle, "idle";
    /// Came back when `max_idle` were there already.
    Surplus, surplus, "surplus";
    /// Older than its lifetime.
    Lifetime, lifetime, "lifetime";
    /// Idle for nearly as long as the server allows.
    ServerLimit, server_limit, "server_limit";
    /// Found broken at its return or before its next use.
    Broken, broken, "broken";
    /// A ping failed, or a hook refused it.
    Validation, validation, "validation";
    /// A reset failed, or was not worth it.
    Reset, reset, "reset";
    /// Invalidated, alone or with all others.
    Invalidated, invalidated, "invalidated";
    /// `retain` did not keep it.
    Retain, retain, "retain";
    /// The pool was made smaller.
    Shrink, shrink, "shrink";
    /// The pool is closed.
    PoolClosed, pool_closed, "pool_closed";
    /// Taken out of the pool by its user.
    Detached, detached, "detached";
    /// Its task ended before its time: a panic, or a runtime that is gone.
    Lost, lost, "lost";
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Snapshot {
    /// Connections in whatever state.
    pub fn open(&self) -> u32 {
        self.idle + self.in_use + self.connecting + self.validating + self.resetting + self.closing
    }

    /// How many are open above `max_idle`: SQLAlchemy's overflow.
    pub fn overflow(&self) -> u32 {
        self.open().saturating_sub(self.max_idle)
    }

    /// The share of `max_size` that is in use, 0 to 1.
    pub fn utilization(&self) -> f64 {
        (f64::from(self.in_use) / f64::from(self.max_size.max(1))).min(1.0)
    }

    /// How hard the pool is pressed, 0 to 1: `d / (1 + d)`, where `d` is demand (in use and
    /// waiting) over `max_size`. 0 is unused, 0.5 is every connection in use and nobody waiting,
    /// above that a queue is growing.
    ///
    /// A worker that slows down above 0.5 shares the pool well with everybody else.
    pub fn pressure(&self) -> f64 {
        let demand =
            f64::from(self.in_use.saturating_add(self.waiting)) / f64::from(self.max_size.max(1));
        demand / (1.0 + demand)
    }

    /// Of the acquires served, the share that got a connection used before; `None` before the
    /// first.
    pub fn hit_rate(&self) -> Option<f64> {
        self.counts.hit_rate()
    }
}

/// A [`Snapshot`] with how long things took.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// The pool at that moment.
    pub snapshot: Snapshot,
    /// From acquire until a connection was handed out; zero where there was no wait. The longest may
    /// be one whose caller went before it took what it was handed.
    pub wait: Histogram,
    /// From checkout to return.
    pub usage: Histogram,
    /// Successful connects, with `after_connect`.
    pub connect: Histogram,
    /// Pings that proved their connection, with `before_acquire`.
    pub validate: Histogram,
    /// Successful resets, with `after_release`.
    pub reset: Histogram,
}

impl Statistics {
    /// Adds what another pool tells, as the other side of the same database: sizes, connections and
    /// counts are added up, `oldest_waiter` is the longer wait of both; failing it is if one of them
    /// is, suspended or closed if both are.
    pub fn merge(&mut self, other: &Self) {
        let (own, others) = (&mut self.snapshot, &other.snapshot);
        for (own, others) in [
            (&mut own.max_size, others.max_size),
            (&mut own.min_size, others.min_size),
            (&mut own.min_idle, others.min_idle),
            (&mut own.max_idle, others.max_idle),
            (&mut own.idle, others.idle),
            (&mut own.in_use, others.in_use),
            (&mut own.connecting, others.connecting),
            (&mut own.validating, others.validating),
            (&mut own.resetting, others.resetting),
            (&mut own.closing, others.closing),
            (&mut own.waiting, others.waiting),
        ] {
            *own = own.saturating_add(others);
        }
        own.oldest_waiter = own.oldest_waiter.max(others.oldest_waiter);
        own.failing |= others.failing;
        own.suspended &= others.suspended;
        own.closed &= others.closed;
        own.counts = own.counts.each(&others.counts, u64::saturating_add);
        self.wait.merge(&other.wait);
        self.usage.merge(&other.usage);
        self.connect.merge(&other.connect);
        self.validate.merge(&other.validate);
        self.reset.merge(&other.reset);
    }

    /// What has happened since an earlier reading of the same pool: its counts and times are those
    /// between the two, the rest is as it is now.
    ///
    /// ```
    /// # use pool_core::{ConnectContext, ManagedPool, Manager};
    /// # struct Numbers;
    /// # impl Manager for Numbers {
    /// #     type Connection = u64;
    /// #     type Error = std::io::Error;
    /// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
    /// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let pool = ManagedPool::new(Numbers);
    /// drop(pool.acquire().await.unwrap());
    /// let a_minute_ago = pool.statistics();
    /// drop(pool.acquire().await.unwrap());
    ///
    /// let last_minute = pool.statistics().since(&a_minute_ago);
    /// assert_eq!(last_minute.wait.count(), 1);
    /// assert_eq!(last_minute.snapshot.hit_rate(), Some(1.0));
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.snapshot.counts.since(&earlier.snapshot.counts);
        Self {
            snapshot: Snapshot { counts, ..self.snapshot.clone() },
            wait: self.wait.since(&earlier.wait),
            usage: self.usage.since(&earlier.usage),
            connect: self.connect.since(&earlier.connect),
            validate: self.validate.since(&earlier.validate),
            reset: self.reset.since(&earlier.reset),
        }
    }
}
