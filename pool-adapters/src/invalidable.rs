//! [`Invalidable`]: a foreign manager whose connections can be given up, and what was seen of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::BoxError;
use tokio::time::Instant;

use crate::contain::contained;
use crate::{AdapterError, Marked};

/// A manager for bb8 or r2d2 as it was, but its connections can be [given up](Marked::invalidate),
/// a panic in it is an error, which costs a connection and not a place in the pool, and a
/// connection whose test was cut short is discarded instead of handed out.
///
/// `Bb8Pool` and `R2d2Pool` wrap their managers in it; it serves a pool used directly as well.
pub struct Invalidable<M> {
    pub(crate) manager: M,
    pub(crate) seen: Arc<Seen>,
}

impl<M> Invalidable<M> {
    /// This manager of theirs.
    pub fn new(manager: M) -> Self {
        Self { manager, seen: Arc::default() }
    }

    /// Their manager.
    pub fn inner(&self) -> &M {
        &self.manager
    }

    fn is_unfit<C>(
        &self,
        connection: &mut Marked<C>,
        has_broken: impl FnOnce(&mut C) -> bool,
    ) -> bool {
        let broken = || contained(|| Ok(has_broken(connection))).unwrap_or(true);
        self.seen.is_closed() || broken() || Marked::is_unfit(connection)
    }
}

impl<M: fmt::Debug> fmt::Debug for Invalidable<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Invalidable").field(&self.manager).finish()
    }
}

/// What was seen of a manager's calls, for a pool that does not say.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    closed: AtomicBool,
    connecting: AtomicU32,
    created: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<(AdapterError, Instant)>>,
}

impl Seen {
    /// From now on nothing is opened, nothing is tested, and whatever comes back is discarded.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Connects under way.
    pub(crate) fn connecting(&self) -> u32 {
        self.connecting.load(Ordering::Relaxed)
    }

    /// Connects that succeeded, and that failed.
    pub(crate) fn connects(&self) -> (u64, u64) {
        (self.created.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// What went wrong last, unless a connect has succeeded since, and how long ago.
    pub(crate) fn last_error(&self) -> Option<(BoxError, Duration)> {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(error, at)| (error.clone().into(), at.elapsed()))
    }

    fn note(&self, error: Option<&AdapterError>) {
        let noted = error.map(|error| (error.clone(), Instant::now()));
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }

    fn begin(&self) -> Result<Connecting<'_>, AdapterError> {
        if self.is_closed() {
            return Err(AdapterError::Closed);
        }
        self.connecting.fetch_add(1, Ordering::Relaxed);
        Ok(Connecting(self))
    }
}

/// Counts a connect while it runs.
struct Connecting<'a>(&'a Seen);

impl Connecting<'_> {
    fn end<C>(self, connected: Result<C, AdapterError>) -> Result<Marked<C>, AdapterError> {
        let count = if connected.is_ok() { &self.0.created } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.0.note(connected.as_ref().err());
        connected.map(Marked::new)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "bb8")]
impl<M> bb8::ManageConnection for Invalidable<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    type Connection = Marked<M::Connection>;
    type Error = AdapterError;

    async fn connect(&self) -> Result<Marked<M::Connection>, AdapterError> {
        let connecting = self.seen.begin()?;
        let connect = async { self.manager.connect().await.map_err(AdapterError::manager) };
        connecting.end(crate::contain::contained_async(connect).await)
    }

    async fn is_valid(&self, connection: &mut Marked<M::Connection>) -> Result<(), AdapterError> {
        if self.seen.is_closed() {
            return Ok(()); // it is taken out to be discarded
        }
        let inner = Marked::testing(connection);
        let test = async { self.manager.is_valid(inner).await.map_err(AdapterError::manager) };
        match crate::contain::contained_async(test).await {
            Ok(()) => Marked::passed(connection),
            Err(error) => {
                self.seen.note(Some(&error));
                return Err(error);
            }
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Marked<M::Connection>) -> bool {
        self.is_unfit(connection, |inner| self.manager.has_broken(inner))
    }
}

#[cfg(feature = "r2d2")]
impl<M: r2d2::ManageConnection> r2d2::ManageConnection for Invalidable<M> {
    type Connection = Marked<M::Connection>;
    type Error = AdapterError;

    fn connect(&self) -> Result<Marked<M::Connection>, AdapterError> {
        let connecting = self.seen.begin()?;
        connecting.end(contained(|| self.manager.connect().map_err(text)))
    }

    fn is_valid(&self, connection: &mut Marked<M::Connection>) -> Result<(), AdapterError> {
        if self.seen.is_closed() {
            return Ok(()); // it is taken out to be discarded
        }
        let tested = contained(|| self.manager.is_valid(connection).map_err(text));
        if let Err(error) = &tested {
            self.seen.note(Some(error));
        }
        tested
    }

    fn has_broken(&self, connection: &mut Marked<M::Connection>) -> bool {
        self.is_unfit(connection, |inner| self.manager.has_broken(inner))
    }
}

/// As text, since an error of r2d2's need not leave its thread.
#[cfg(feature = "r2d2")]
fn text<E: std::error::Error + 'static>(error: E) -> AdapterError {
    AdapterError::text(&error, pool_core::ErrorClass::Transient)
}
