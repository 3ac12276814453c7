//! The words of the state machine: what goes into it and what it answers.

use std::panic::Location;
use std::thread::ThreadId;

use crate::snapshot::CloseReason;
use crate::{AcquireErrorKind, Cause};

pub(crate) type SlotKey = usize;

/// Nanoseconds since the pool was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier`; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a checkout comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) site: &'static Location<'static>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) who: Who,
}

/// Which task or thread asks, to tell when one waits for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Task(tokio::task::Id),
    Thread(ThreadId),
    Unknown,
}

/// Why an acquire gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TimedOut,
    Connect,
    Panicked,
    QueueFull,
    Closed,
}

impl Refusal {
    /// As its caller is told.
    pub(crate) fn kind(self, suspended: bool) -> AcquireErrorKind {
        match self {
            Self::TimedOut if suspended => AcquireErrorKind::Suspended,
            Self::TimedOut => AcquireErrorKind::TimedOut,
            Self::Connect => AcquireErrorKind::Connect,
            Self::Panicked => AcquireErrorKind::Panicked,
            Self::QueueFull => AcquireErrorKind::QueueFull,
            Self::Closed => AcquireErrorKind::Closed,
        }
    }
}

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Idle,
    InUse,
    Validating,
    Resetting,
    Closing,
}

/// Why a fast acquire finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    MustWait,
    Refused(Refusal),
    /// There is no runtime to work on: bind one and come again.
    Unbound,
}

/// What a waiter finds in its hands.
#[derive(Debug)]
pub(crate) enum Taken<P> {
    Got { connection: P, waited: u64 },
    Refused(Refusal),
    Nothing { suspended: bool, bound: bool },
}

/// How a connection comes back from its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Dirty(Cause),
    Broken(Cause),
    /// It was found unfit before its user saw it.
    Rejected(Fate),
}

/// What becomes of a connection that was rejected at checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Reset(Cause),
    Close(Cause),
    /// A hook did not want it.
    Refused,
    /// A hook panicked: the acquire fails; in all other cases it goes on waiting.
    Panicked,
}

/// How a connection comes back from work in the background; times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// A ping went through.
    Proven { took: u64 },
    /// It was cleaned.
    Reset { took: u64 },
    /// It was looked at and is as it was.
    Kept,
    /// A ping failed: it has to go, and the others are suspect.
    Failed,
    /// It has to go.
    Close(CloseReason),
}
