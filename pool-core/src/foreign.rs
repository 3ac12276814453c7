//! For those who adapt a foreign pool to [`Pool`](crate::Pool): how to make what only pools make.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Inner, LastError, Phase};
use crate::{
    AcquireError, AcquireErrorKind, BoxError, CloseReport, Counts, Holder, Request, Snapshot,
};

impl AcquireError {
    /// The error of a foreign pool: what kind, after how long, how the pool was, who held its
    /// connections, and its last connect error with how long ago that was.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pool_core::{AcquireError, AcquireErrorKind, Snapshot};
    ///
    /// let mut pool = Snapshot::foreign("films", 8);
    /// pool.in_use = 8;
    /// let waited = Duration::from_millis(200);
    /// let error = AcquireError::foreign(AcquireErrorKind::TimedOut, waited, pool, [], None);
    /// assert!(error.to_string().starts_with("films: no connection within 200 ms"));
    /// ```
    pub fn foreign(
        kind: AcquireErrorKind,
        waited: Duration,
        snapshot: Snapshot,
        holders: impl Into<Vec<Holder>>,
        last_error: Option<(BoxError, Duration)>,
    ) -> Self {
        let full = snapshot.in_use >= snapshot.max_size;
        Self::new(Inner {
            kind,
            waited,
            phase: if full { Phase::Queue } else { Phase::Connect },
            snapshot: Arc::new(snapshot),
            holders: holders.into().into(),
            source: last_error.map(|(error, ago)| LastError {
                what: "last connect error",
                error: Arc::from(error),
                ago,
            }),
            nested: None,
        })
    }
}

impl Snapshot {
    /// A foreign pool with nothing in it yet and no minimums, to be filled in.
    ///
    /// ```
    /// let mut pool = pool_core::Snapshot::foreign("films", 8);
    /// pool.idle = 2;
    /// assert_eq!((pool.open(), pool.max_idle), (2, 8));
    /// ```
    pub fn foreign(name: impl Into<String>, max_size: u32) -> Self {
        Self {
            name: name.into(),
            max_size,
            min_size: 0,
            min_idle: 0,
            max_idle: max_size,
            idle: 0,
            in_use: 0,
            connecting: 0,
            validating: 0,
            resetting: 0,
            closing: 0,
            waiting: 0,
            oldest_waiter: None,
            failing: false,
            suspended: false,
            closed: false,
            counts: Counts::default(),
        }
    }
}

impl CloseReport {
    /// How the closing of a foreign pool went: how long it took, how many connections it closed,
    /// how many are left, and who holds them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let report = pool_core::CloseReport::foreign(Duration::from_millis(3), 8, 0, []);
    /// assert!(report.is_complete());
    /// ```
    pub fn foreign(
        took: Duration,
        closed: u64,
        abandoned: usize,
        holders: impl Into<Vec<Holder>>,
    ) -> Self {
        Self { took, closed, abandoned, holders: holders.into() }
    }
}

impl Holder {
    /// Those who hold this many connections taken at one place, the longest for so long.
    ///
    /// ```
    /// use std::{panic::Location, time::Duration};
    ///
    /// let holder = pool_core::Holder::new(Location::caller(), Some("scan"), 2, Duration::ZERO);
    /// assert!(holder.to_string().contains("(scan)"));
    /// ```
    pub fn new(
        site: &'static Location<'static>,
        operation: Option<&'static str>,
        count: usize,
        longest: Duration,
    ) -> Self {
        Self { site, operation, count, longest, idle_share: None }
    }
}

impl Request {
    /// The name for what the connection is used for, if it was given one.
    ///
    /// ```
    /// let request = pool_core::Request::new().operation("list_films");
    /// assert_eq!(request.operation_name(), Some("list_films"));
    /// ```
    pub fn operation_name(&self) -> Option<&'static str> {
        self.operation
    }
}
