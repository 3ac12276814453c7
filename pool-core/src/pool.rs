//! The [`Pool`] trait: any pool, ours or another's, as an object.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::time::Duration;

use crate::hooks::BoxFuture;
use crate::managed::{CloseReport, ManagedGuard, ManagedPool};
use crate::snapshot::Snapshot;
use crate::{AcquireError, Manager};

/// Any pool of connections of one type, as generic code and tests see it.
///
/// It is object-safe: futures and guards are boxed. Where you know the pool's type, its own methods
/// are faster.
///
/// ```
/// # use pool_core::{ConnectContext, Manager, ManagedPool, Pool, PoolExt};
/// # struct Echo;
/// # impl Manager for Echo {
/// #     type Connection = u64; type Error = std::io::Error;
/// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
/// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool: Box<dyn Pool<Connection = u64>> = Box::new(ManagedPool::builder(Echo).build().unwrap());
/// assert_eq!(*pool.acquire().await.unwrap(), 1);
/// # }
/// ```
pub trait Pool: Send + Sync {
    /// What is pooled.
    type Connection: Send + 'static;

    /// Takes a connection as the request says.
    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<Self::Connection>, AcquireError>>;

    /// The pool at this moment.
    fn snapshot(&self) -> Snapshot;

    /// Closes the pool: at once for those who ask, and within this time for those who hold.
    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport>;
}

/// What every [`Pool`] can do besides. Apart from the trait, since a call through a trait object
/// forgets who called, and this does not.
pub trait PoolExt: Pool {
    /// Takes a connection, as long as the pool is set to wait.
    #[track_caller]
    fn acquire(&self) -> BoxFuture<'_, Result<PoolGuard<Self::Connection>, AcquireError>> {
        self.acquire_with(Request::new())
    }
}

impl<P: Pool + ?Sized> PoolExt for P {}

/// What is asked of [`Pool::acquire_with`], and from where.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    site: &'static Location<'static>,
    pub(crate) operation: Option<&'static str>,
    timeout: Option<Option<Duration>>,
}

impl Default for Request {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// Asks from the place that calls this.
    #[track_caller]
    pub fn new() -> Self {
        Self { site: Location::caller(), operation: None, timeout: None }
    }

    /// Not the pool's timeout but this: zero tries once, `None` waits without limit.
    #[must_use]
    pub fn within(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// A name for what the connection is used for.
    #[must_use]
    pub fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    /// From where it is asked.
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// The timeout asked for, if not the pool's own.
    pub fn timeout(&self) -> Option<Option<Duration>> {
        self.timeout
    }
}

/// A connection taken from any pool. Dropping it gives it back.
pub struct PoolGuard<C>(Box<dyn Guarded<C>>);

/// What stands behind a [`PoolGuard`]; for those who adapt a foreign pool. Dropping it gives the
/// connection back.
pub trait Guarded<C>: Send {
    /// The connection.
    fn connection(&self) -> &C;
    /// The connection, to be used.
    fn connection_mut(&mut self) -> &mut C;
    /// Gives the connection up: it is closed and never used again.
    fn invalidate(self: Box<Self>);
}

impl<C> PoolGuard<C> {
    /// Wraps a pool's own guard.
    pub fn new(guard: impl Guarded<C> + 'static) -> Self {
        Self(Box::new(guard))
    }

    /// Gives the connection up: it is closed and never used again.
    pub fn invalidate(self) {
        self.0.invalidate();
    }
}

impl<C> Deref for PoolGuard<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.connection()
    }
}

impl<C> DerefMut for PoolGuard<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.0.connection_mut()
    }
}

impl<C: fmt::Debug> fmt::Debug for PoolGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolGuard").field(&**self).finish()
    }
}

impl<M: Manager> Guarded<M::Connection> for ManagedGuard<M> {
    fn connection(&self) -> &M::Connection {
        self
    }

    fn connection_mut(&mut self) -> &mut M::Connection {
        self
    }

    fn invalidate(self: Box<Self>) {
        Self::invalidate(*self);
    }
}

impl<M: Manager> Pool for ManagedPool<M> {
    type Connection = M::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<M::Connection>, AcquireError>> {
        let mut acquire = Self::acquire(self).at(request.site);
        if let Some(timeout) = request.timeout {
            acquire = acquire.within(timeout);
        }
        if let Some(operation) = request.operation {
            acquire = acquire.operation(operation);
        }
        Box::pin(async move { acquire.await.map(PoolGuard::new) })
    }

    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        Box::pin(Self::close(self, within))
    }
}
