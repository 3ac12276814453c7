//! [`Operation`]: what is done to a pool, and the [`Event`]s that come of it.

use std::time::Duration;

use pool_core::{AcquireErrorKind, PoolConfig};

/// What is done to a pool. Numbers that say which one count modulo how many there are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Somebody asks for a connection.
    Acquire {
        /// For how long; `None` without limit.
        patience: Option<Duration>,
        /// When its future is dropped of itself.
        cut: Option<Cut>,
    },
    /// One of those who wait gives up.
    Cancel(usize),
    /// One of those who hold a connection gives it back.
    Release(usize, Left),
    /// Time passes.
    Pass(Duration),
    /// The sizes change.
    Resize(Box<PoolConfig>),
    /// All settings change.
    Reconfigure(Box<PoolConfig>),
    /// The pool is suspended.
    Suspend,
    /// It goes on.
    Resume,
    /// All connections are given up.
    InvalidateAll,
    /// The pool is closed. What follows finds it so.
    Close,
}

/// When the future of an acquire is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many polls; at least one.
    pub polls: usize,
    /// As soon as the last of them is over, or only when something wakes it once more, which is
    /// when it may have been handed a connection.
    pub at_once: bool,
}

/// In which state a connection is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// As it was.
    Clean,
    /// With something to clean up.
    Dirty,
    /// The manager finds it broken.
    Broken,
    /// Its user gives it up.
    Invalidated,
}

/// What an operation led to. An acquire is known by its number, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody has asked.
    Asked(u64),
    /// An acquire has come to its end.
    Ended(u64, End),
    /// A connection was given back.
    Returned,
}

/// How an acquire ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It got a connection.
    Acquired,
    /// It was refused.
    Failed(AcquireErrorKind),
    /// It was dropped.
    Cancelled,
}
