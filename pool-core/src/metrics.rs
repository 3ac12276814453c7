//! The [`Metrics`] trait: an observer that is told what happens in a pool.

use std::panic::Location;
use std::time::Duration;

use crate::snapshot::CloseReason;
use crate::{AcquireErrorKind, ErrorClass};

/// Is told what happens in a pool, as it happens.
///
/// Every method does nothing by default. They are called on the thread on which the thing
/// happened, outside the pool's lock, and should return quickly. A panic in one is swallowed.
/// Counts and histograms need no observer: the pool keeps them anyway, see
/// [`Snapshot`](crate::Snapshot) and [`Statistics`](crate::Statistics).
pub trait Metrics: Send + Sync + 'static {
    /// A connection was opened.
    fn connected(&self, event: &Connected<'_>) {
        let _ = event;
    }
    /// A connect failed.
    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        let _ = event;
    }
    /// A caller got a connection.
    fn acquired(&self, event: &Acquired<'_>) {
        let _ = event;
    }
    /// A caller got none.
    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        let _ = event;
    }
    /// A caller gave a connection back.
    fn released(&self, event: &Released<'_>) {
        let _ = event;
    }
    /// A connection was cleaned after use, or could not be.
    fn reset(&self, event: &ResetDone<'_>) {
        let _ = event;
    }
    /// A connection was pinged.
    fn validated(&self, event: &Validated<'_>) {
        let _ = event;
    }
    /// A connection ended.
    fn closed(&self, event: &Closed<'_>) {
        let _ = event;
    }
    /// A connection was taken back from a future that nobody polled.
    fn stalled(&self, event: &Stalled<'_>) {
        let _ = event;
    }
    /// A connection has been held for longer than `leak_after`.
    fn leaked(&self, event: &Leaked<'_>) {
        let _ = event;
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $name<'a> {
            /// The pool's name.
            pub pool: &'a str,
            $($(#[$field_doc])* pub $field: $ty,)*
        }
    )*};
}

events! {
    /// See [`Metrics::connected`].
    Connected {
        /// The connection's number.
        id: u64,
        /// How long it took, with `after_connect`.
        took: Duration,
    }
    /// See [`Metrics::connect_failed`].
    ConnectFailed {
        /// The connection's number.
        id: u64,
        /// What it means for those who wait.
        class: ErrorClass,
        /// What went wrong.
        error: &'a (dyn std::error::Error + Send + Sync + 'static),
        /// How long it took.
        took: Duration,
    }
    /// See [`Metrics::acquired`].
    Acquired {
        /// The caller's name for what it does.
        operation: Option<&'static str>,
        /// Where.
        site: &'static Location<'static>,
        /// How long the caller waited; zero if it did not have to.
        waited: Duration,
        /// Whether the connection had been used before.
        hit: bool,
    }
    /// See [`Metrics::acquire_failed`].
    AcquireFailed {
        /// The caller's name for what it does.
        operation: Option<&'static str>,
        /// Where.
        site: &'static Location<'static>,
        /// How long the caller waited.
        waited: Duration,
        /// Why.
        kind: AcquireErrorKind,
    }
    /// See [`Metrics::released`].
    Released {
        /// The caller's name for what it did.
        operation: Option<&'static str>,
        /// How long the connection was held.
        held: Duration,
    }
    /// See [`Metrics::reset`].
    ResetDone {
        /// Whether the connection stays.
        kept: bool,
        /// How long it took.
        took: Duration,
    }
    /// See [`Metrics::validated`].
    Validated {
        /// Whether it answered.
        alive: bool,
        /// How long it took.
        took: Duration,
    }
    /// See [`Metrics::closed`].
    Closed {
        /// The connection's number.
        id: u64,
        /// Why.
        reason: CloseReason,
        /// How old it got.
        age: Duration,
        /// Its goodbye did not end in time.
        abandoned: bool,
    }
    /// See [`Metrics::stalled`].
    Stalled {
        /// Where the future was made.
        site: &'static Location<'static>,
        /// The caller's name for what it does.
        operation: Option<&'static str>,
    }
    /// See [`Metrics::leaked`].
    Leaked {
        /// Who holds it.
        site: &'static Location<'static>,
        /// The caller's name for what it does.
        operation: Option<&'static str>,
        /// For how long so far.
        held: Duration,
    }
}
