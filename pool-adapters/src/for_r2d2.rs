//! [`ForR2d2`]: one of our managers in r2d2.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use pool_core::{Manager, on_async_worker};
use tokio::runtime::Handle;

use crate::calls::Calls;
use crate::contain::contained;
use crate::{AdapterError, Marked};

/// Makes one of our managers one of r2d2's.
///
/// r2d2 connects on threads of its own and tests on its caller's, so each call blocks its thread
/// on the runtime given here, which has to run on other threads: a multi-thread runtime, or a
/// current-thread one that another thread drives. On a thread that runs async tasks a test is
/// refused with [`WouldBlockAsync`](AdapterError::WouldBlockAsync), which r2d2 takes for a dead
/// connection: get from r2d2 in `spawn_blocking` or on a thread.
///
/// It puts right what r2d2 leaves to its managers: a connect and a ping have deadlines, and a panic
/// is an error (r2d2 loses the place). What r2d2 cannot do is what bb8 cannot: a connection that
/// comes back dirty is **discarded**, never pooled again; [`Manager::close`] is never called; every
/// failed connect is tried again, for ever; nobody asks for the server's limits.
///
/// ```
/// # use pool_core::{ConnectContext, Manager};
/// # struct Ours;
/// # impl Manager for Ours {
/// #     type Connection = u64; type Error = std::io::Error;
/// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
/// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// use pool_adapters::ForR2d2;
///
/// let runtime = tokio::runtime::Runtime::new().unwrap();
/// let manager = ForR2d2::new(Ours, runtime.handle().clone());
/// let pool = r2d2::Pool::builder().max_size(1).build(manager).unwrap();
/// assert_eq!(**pool.get().unwrap(), 1);
/// ```
pub struct ForR2d2<M> {
    calls: Calls<M>,
    runtime: Handle,
}

impl<M: Manager> ForR2d2<M> {
    /// This manager of ours, which does its work on this runtime.
    pub fn new(manager: M, runtime: Handle) -> Self {
        Self { calls: Calls::new(manager), runtime }
    }

    /// How long one connect may take. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.calls.connect_timeout = limit;
        self
    }

    /// How long one ping may take. Default: 2 s.
    #[must_use]
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.calls.ping_timeout = limit;
        self
    }

    /// Our manager.
    pub fn inner(&self) -> &M {
        &self.calls.manager
    }

    fn block_on<T>(
        &self,
        call: impl Future<Output = Result<T, AdapterError>>,
    ) -> Result<T, AdapterError> {
        if on_async_worker() {
            return Err(AdapterError::WouldBlockAsync);
        }
        // A runtime that has ended panics.
        contained(|| self.runtime.block_on(call))
    }
}

impl<M: Manager> r2d2::ManageConnection for ForR2d2<M> {
    type Connection = Marked<M::Connection>;
    type Error = AdapterError;

    fn connect(&self) -> Result<Marked<M::Connection>, AdapterError> {
        self.block_on(self.calls.connect()).map(Marked::new)
    }

    fn is_valid(&self, connection: &mut Marked<M::Connection>) -> Result<(), AdapterError> {
        self.block_on(self.calls.prove(connection))
    }

    fn has_broken(&self, connection: &mut Marked<M::Connection>) -> bool {
        // Connections may want their runtime around them; this one blocks on nothing.
        let _inside = self.runtime.enter();
        Marked::is_unfit(connection) || self.calls.is_unfit(connection)
    }
}

impl<M: fmt::Debug> fmt::Debug for ForR2d2<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForR2d2").field(&self.calls.manager).finish()
    }
}
