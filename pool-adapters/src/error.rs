//! [`AdapterError`]: what an adapter says where neither side has an error of its own for it.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{BoxError, Condition, ErrorClass};

/// What went wrong in an adapter, or in the manager behind it. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AdapterError {
    /// The manager's own error; it is the [`source`](StdError::source).
    Manager(Arc<dyn StdError + Send + Sync>),
    /// The manager's own error as text, since it may not leave its thread, and its class.
    Text(Arc<str>, ErrorClass),
    /// The manager panicked, with these words.
    Panicked(Arc<str>),
    /// It took longer than this.
    TimedOut(Duration),
    /// The connection must not be used again.
    Unfit(Condition),
    /// A call that blocks was made on a thread that runs async tasks.
    WouldBlockAsync,
    /// As many calls as may are running on threads already, most of them probably for ever.
    TooManyThreads(usize),
    /// The system gave no thread to block on.
    NoThread(Arc<str>),
    /// The pool is closed.
    Closed,
}

impl AdapterError {
    pub(crate) fn manager(error: impl Into<BoxError>) -> Self {
        Self::Manager(Arc::from(error.into()))
    }

    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("no text").into())
    }
}

#[cfg(feature = "r2d2")]
impl AdapterError {
    pub(crate) fn text(error: &(dyn StdError + 'static), class: ErrorClass) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Self::Text(text.into(), class)
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(error) => error.fmt(f),
            Self::Text(text, _) => f.write_str(text),
            Self::Panicked(text) => write!(f, "the manager panicked: {text}"),
            Self::TimedOut(limit) => write!(f, "the manager took longer than {limit:?}"),
            Self::Unfit(Condition::Clean) => f.write_str("the connection was given up"),
            Self::Unfit(Condition::Dirty(cause)) => write!(f, "the connection is dirty: {cause}"),
            Self::Unfit(Condition::Broken(cause)) => {
                write!(f, "the connection is broken: {cause}")
            }
            Self::WouldBlockAsync => f.write_str(
                "this blocks, and would stop the async worker thread that it was called on: move \
                 it to `spawn_blocking` or a thread",
            ),
            Self::TooManyThreads(limit) => {
                write!(f, "{limit} blocking calls are running already, and none more may")
            }
            Self::NoThread(text) => write!(f, "no thread to block on: {text}"),
            Self::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl StdError for AdapterError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Its text is told as ours, so its cause is ours too.
            Self::Manager(error) => error.source(),
            _ => None,
        }
    }
}
