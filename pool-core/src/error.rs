//! [`AcquireError`]: why there was no connection, and who has them.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::holders::{Holder, Seconds};
use crate::snapshot::Snapshot;

/// Why an acquire got no connection. One word wide and cheap to clone.
///
/// Its `Display` is the diagnosis: how long it waited and for what, who holds the connections since
/// when, what the last connect error was, and what to change.
#[derive(Clone)]
pub struct AcquireError(Box<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) kind: AcquireErrorKind,
    pub(crate) waited: Duration,
    pub(crate) phase: Phase,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) holders: Arc<[Holder]>,
    pub(crate) source: Option<LastError>,
    pub(crate) nested: Option<Nested>,
}

/// The last connect error or refusal, and how long ago it was.
#[derive(Clone)]
pub(crate) struct LastError {
    pub(crate) what: &'static str,
    pub(crate) error: Arc<dyn StdError + Send + Sync>,
    pub(crate) ago: Duration,
}

/// The asking task holds connections itself.
#[derive(Clone, Copy)]
pub(crate) struct Nested {
    pub(crate) site: &'static Location<'static>,
    /// Every holder waits for a further connection: none will ever come back.
    pub(crate) deadlock: bool,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireErrorKind {
    /// The time was up.
    TimedOut,
    /// No connection could be opened, and trying again would not help.
    Connect,
    /// A manager or hook panicked.
    Panicked,
    /// As many wait as may.
    QueueFull,
    /// The time was up while the pool was suspended.
    Suspended,
    /// The pool is closed.
    Closed,
    /// There is no tokio runtime to work on.
    NoRuntime,
    /// A blocking acquire was called on a thread that runs async tasks.
    WouldBlockAsync,
}

impl AcquireErrorKind {
    /// The kind as it is named in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Connect => "connect",
            Self::Panicked => "panicked",
            Self::QueueFull => "queue_full",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
            Self::NoRuntime => "no_runtime",
            Self::WouldBlockAsync => "would_block_async",
        }
    }
}

/// What an acquire was waiting for when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// For somebody to give a connection back.
    Queue,
    /// For a connection to be opened.
    Connect,
    /// For a connection to be proven or cleaned.
    Validate,
}

impl AcquireError {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Box::new(inner))
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> AcquireErrorKind {
        self.0.kind
    }

    /// How long the acquire waited.
    pub fn waited(&self) -> Duration {
        self.0.waited
    }

    /// What it was waiting for.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The pool at that moment (at most a millisecond old).
    pub fn snapshot(&self) -> &Snapshot {
        &self.0.snapshot
    }

    /// Who held the connections, most first; at most 16 call sites.
    pub fn holders(&self) -> &[Holder] {
        &self.0.holders
    }

    /// Where the asking task took a connection that it holds already, if it does: it may be
    /// waiting for itself.
    pub fn nested_in(&self) -> Option<&'static Location<'static>> {
        self.0.nested.map(|nested| nested.site)
    }

    fn advice(&self) -> Option<String> {
        let Inner { kind, phase, holders, snapshot, nested, .. } = &*self.0;
        if let Some(nested) = nested {
            let what = if nested.deadlock {
                "Every holder waits for a further connection, so none will come back: a deadlock"
            } else {
                "The caller may be waiting for itself"
            };
            return Some(format!(
                "{what}: this task already holds a connection, taken at {}. Use that one, or give \
                 it back before asking for another.",
                nested.site
            ));
        }
        if !matches!(kind, AcquireErrorKind::TimedOut | AcquireErrorKind::QueueFull) {
            return None;
        }
        let idle = holders.first().and_then(|holder| holder.idle_share);
        Some(match phase {
            Phase::Connect => "Look at the server, its address and the network.".into(),
            Phase::Validate => {
                "Connections are slow to prove or reset: look at the server and the network.".into()
            }
            Phase::Queue if idle.is_some_and(|share| share > 0.5) => {
                "They are held without being used: give them back before other work.".into()
            }
            Phase::Queue => format!(
                "Hold them for less time, or raise max_size (now {}) if the server can take it.",
                snapshot.max_size
            ),
        })
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, waited, phase, snapshot, holders, source, .. } = &*self.0;
        let waited = Seconds(*waited);
        write!(f, "{}: ", snapshot.name)?;
        match kind {
            AcquireErrorKind::TimedOut => {
                write!(f, "no connection within {waited}, waiting for ")?;
                f.write_str(match phase {
                    Phase::Queue => "one to come back",
                    Phase::Connect => "one to be opened",
                    Phase::Validate => "one to be proven or reset",
                })?;
            }
            AcquireErrorKind::Connect => write!(f, "cannot connect")?,
            AcquireErrorKind::Panicked => write!(f, "the manager or a hook panicked")?,
            AcquireErrorKind::QueueFull => {
                write!(f, "too many are waiting already ({})", snapshot.waiting)?;
            }
            AcquireErrorKind::Suspended => {
                write!(f, "no connection within {waited}: the pool is suspended")?;
            }
            AcquireErrorKind::Closed => return write!(f, "the pool is closed"),
            AcquireErrorKind::NoRuntime => {
                return write!(
                    f,
                    "no tokio runtime: acquire inside one, give the pool one with \
                     `builder.runtime(handle)`, or use `pool.blocking()`"
                );
            }
            AcquireErrorKind::WouldBlockAsync => {
                return write!(
                    f,
                    "a blocking acquire would stop this async worker thread: use \
                     `pool.acquire().await`, or move the work to `spawn_blocking` or a thread"
                );
            }
        }
        write!(
            f,
            "; {} of {} in use, {} idle, {} connecting, {} waiting",
            snapshot.in_use,
            snapshot.max_size,
            snapshot.idle,
            snapshot.connecting,
            snapshot.waiting
        )?;
        if !holders.is_empty() {
            f.write_str("; held: ")?;
            for (i, holder) in holders.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(f, "{comma}{holder}")?;
            }
        }
        if let Some(last) = source {
            let LastError { what, error, ago } = last;
            write!(f, "; {what} {} ago: {}", Seconds(*ago), Chain(&**error))?;
        }
        match self.advice() {
            Some(advice) => write!(f, ". {advice}"),
            None => Ok(()),
        }
    }
}

/// An error and its causes, where it does not tell them itself.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        f.write_str(&told)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !told.contains(&text) {
                write!(f, ": {text}")?;
                told = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireError")
            .field("kind", &self.0.kind)
            .field("waited", &self.0.waited)
            .field("phase", &self.0.phase)
            .field("message", &self.to_string())
            .finish()
    }
}

impl StdError for AcquireError {
    /// The last connect error, if there was one; or what refused a connection after that.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|last| &*last.error as &(dyn StdError + 'static))
    }
}
