//! [`Live`]: everything the page shows, of no framework.
//!
//! Lists are bounded, call sites shortened, and what drivers said has its passwords taken out.
//! Durations are in seconds; counts are those since the last [`reset`](crate::Monitor::reset), but
//! for those of the window.

use serde::Serialize;

use super::advice::Condition;
use crate::events::EventKind;
use crate::health::{Indicator, Status};

macro_rules! documents {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }
    )*};
}

documents! {
    /// Everything the page shows, at one moment.
    Live {
        /// When, in milliseconds since 1970.
        unix_millis: u64,
        /// This crate's version.
        version: &'static str,
        /// How all databases are together.
        status: Status,
        /// Every database, in the order in which they came under watch.
        databases: Vec<Database>,
        /// How each operation's statements did; most time first, 50 at most.
        statements: Vec<StatementRow>,
        /// The slowest statements.
        slowest: Vec<SlowRow>,
        /// The last 100 events, oldest first.
        events: Vec<LiveEvent>,
    }
    /// A database.
    Database {
        /// The name it is watched under.
        name: String,
        /// How it is.
        status: Status,
        /// What it is at.
        condition: Condition,
        /// What to do, in a sentence.
        advice: String,
        /// Every indicator that is on.
        reasons: Vec<LiveReason>,
        /// All its pools together.
        total: Side,
        /// Its pools one by one.
        sides: Vec<Side>,
        /// The mean share of `max_size` in use in the window, 0 to 1.
        utilization: f64,
        /// How hard it is pressed now, 0 to 1; 0.5 is all in use and nobody waiting.
        pressure: f64,
        /// What happened in the window.
        window: WindowFigures,
        /// Why connections ended.
        closes: Vec<Close>,
        /// Who holds connections now; most first, 50 at most.
        holders: Vec<Site>,
        /// The last connect error.
        last_connect_error: Option<ConnectError>,
        /// The last health check.
        last_probe: Option<LastProbe>,
        /// How each operation's acquires went; most time waited first, 50 at most.
        operations: Vec<OperationRow>,
        /// The last five points.
        recent: Series,
    }
    /// A pool, or several together.
    Side {
        /// The pool's name.
        name: String,
        /// Connections ready to be taken.
        idle: u32,
        /// Connections that somebody holds.
        in_use: u32,
        /// Connections being opened.
        connecting: u32,
        /// Connections being pinged.
        validating: u32,
        /// Connections being cleaned.
        resetting: u32,
        /// Connections being closed.
        closing: u32,
        /// The most there may be.
        max_size: u32,
        /// How many are kept open in all.
        min_size: u32,
        /// How many spare ones are kept open.
        min_idle: u32,
        /// How many may stay open unused.
        max_idle: u32,
        /// How many may wait; of several pools together it is not told.
        max_waiting: Option<u32>,
        /// Callers waiting.
        waiting: u32,
        /// How long the first of them has waited.
        oldest_waiter_seconds: Option<f64>,
        /// Hand-outs are suspended.
        suspended: bool,
        /// The pool is closed.
        closed: bool,
    }
    /// What happened in the window.
    WindowFigures {
        /// How long it is.
        seconds: f64,
        /// Acquires that got a connection.
        acquired: u64,
        /// The same for each second.
        acquired_per_second: f64,
        /// Of these, how many had to wait.
        waited: u64,
        /// Acquires that got none.
        failed: u64,
        /// Of these: time was up.
        timed_out: u64,
        /// Of these: dropped while they waited.
        cancelled: u64,
        /// Of these: too many waited already.
        shed: u64,
        /// The share that got a connection used before; none before the first.
        hit_rate: Option<f64>,
        /// From acquire until a connection was handed out.
        wait: Times,
        /// From checkout to return.
        usage: Times,
        /// Connects that went well.
        connect: Times,
        /// Connects that failed.
        connects_failed: u64,
    }
    /// How long something took, in seconds.
    Times {
        /// How many there are.
        count: u64,
        /// The mean.
        mean: f64,
        /// Half took no longer.
        p50: f64,
        /// 90 of 100 took no longer.
        p90: f64,
        /// 99 of 100 took no longer.
        p99: f64,
        /// The longest.
        max: f64,
    }
    /// How many connections ended, and why.
    Close {
        /// Why.
        reason: &'static str,
        /// How many since the last reset.
        count: u64,
        /// How many in the window.
        in_window: u64,
    }
    /// Who holds connections from one place in the code.
    Site {
        /// The end of the path, and the line.
        site: String,
        /// The name they gave to what they do.
        operation: Option<&'static str>,
        /// How many they hold.
        count: usize,
        /// How long the longest has been held.
        longest_seconds: f64,
        /// The share of that time in which the connections did nothing, if the backend says.
        idle_share: Option<f64>,
    }
    /// A connect that failed.
    ConnectError {
        /// How long ago.
        ago_seconds: f64,
        /// What the driver said, without passwords.
        text: String,
    }
    /// A health check.
    LastProbe {
        /// How long ago.
        ago_seconds: f64,
        /// How long it took.
        latency_seconds: f64,
        /// Why it failed, without passwords.
        error: Option<String>,
    }
    /// How an operation's acquires went, since the monitor was made.
    OperationRow {
        /// Its name; none for all acquires without one.
        operation: Option<&'static str>,
        /// Acquires that got none.
        failed: u64,
        /// How long the others waited.
        wait: Times,
    }
    /// How the statements of an operation did.
    StatementRow {
        /// Which kind of database.
        backend: String,
        /// Its name; none for all statements without one.
        operation: Option<&'static str>,
        /// How many failed.
        errors: u64,
        /// How long they took.
        took: Times,
    }
    /// A slow statement.
    SlowRow {
        /// Which kind of database.
        backend: &'static str,
        /// Its operation.
        operation: Option<&'static str>,
        /// How long it took.
        seconds: f64,
        /// The error's code, if it failed.
        error: Option<String>,
    }
    /// An indicator that is on.
    LiveReason {
        /// Which.
        indicator: Indicator,
        /// What the database is at best while this is on.
        status: Status,
        /// What was seen.
        text: String,
    }
    /// Something that happened.
    LiveEvent {
        /// Its number.
        number: u64,
        /// When, in milliseconds since 1970.
        unix_millis: u64,
        /// The database, by the name it is watched under; the pool's own if none is.
        database: String,
        /// What.
        kind: EventKind,
        /// The rest of it.
        text: String,
    }
    /// Points of a database, oldest first, by columns: a third of the size. See
    /// [`Point`](crate::Point).
    Series {
        /// The database.
        name: String,
        /// When, in milliseconds since 1970.
        unix_millis: Vec<u64>,
        /// Connections that somebody holds.
        in_use: Vec<u32>,
        /// The most there may be.
        max_size: Vec<u32>,
        /// Callers waiting.
        waiting: Vec<u32>,
        /// Acquires that got a connection, for each second.
        acquired_per_second: Vec<f64>,
        /// Acquires that got none, for each second.
        failed_per_second: Vec<f64>,
        /// 99 of 100 waits were no longer.
        wait_p99_seconds: Vec<f64>,
        /// 99 of 100 uses were no longer.
        use_p99_seconds: Vec<f64>,
    }
}
