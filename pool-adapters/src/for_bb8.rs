//! [`ForBb8`]: one of our managers in bb8.

use std::fmt;
use std::time::Duration;

use pool_core::Manager;

use crate::calls::Calls;
use crate::{AdapterError, Marked};

/// Makes one of our managers one of bb8's.
///
/// It puts right what bb8 leaves to its managers: a connect and a ping have deadlines (bb8 counts a
/// connect that hangs as under way for ever, and serves nobody meanwhile), a panic is an error (bb8
/// loses the place), and a connection whose test was cut short is discarded (bb8 hands it out).
///
/// What bb8 cannot do: it has no reset, so a connection that comes back dirty is **discarded**,
/// never pooled again, which costs a connect where our pool would reset. It closes by dropping, so
/// [`Manager::close`] is never called and servers see an abrupt end. It asks for no class and no
/// limits: every failed connect is tried again until its `connection_timeout`, and what the server
/// cuts is found by the next test.
///
/// ```
/// # use pool_core::{ConnectContext, Manager};
/// # struct Ours;
/// # impl Manager for Ours {
/// #     type Connection = u64; type Error = std::io::Error;
/// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
/// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// use pool_adapters::ForBb8;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = bb8::Pool::builder().max_size(4).build(ForBb8::new(Ours)).await.unwrap();
/// assert_eq!(**pool.get().await.unwrap(), 1);
/// # }
/// ```
pub struct ForBb8<M>(Calls<M>);

impl<M: Manager> ForBb8<M> {
    /// This manager of ours. It does nothing yet.
    pub fn new(manager: M) -> Self {
        Self(Calls::new(manager))
    }

    /// How long one connect may take. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.0.connect_timeout = limit;
        self
    }

    /// How long one ping may take. Default: 2 s.
    #[must_use]
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.0.ping_timeout = limit;
        self
    }

    /// Our manager.
    pub fn inner(&self) -> &M {
        &self.0.manager
    }
}

impl<M: Manager> bb8::ManageConnection for ForBb8<M> {
    type Connection = Marked<M::Connection>;
    type Error = AdapterError;

    async fn connect(&self) -> Result<Marked<M::Connection>, AdapterError> {
        self.0.connect().await.map(Marked::new)
    }

    async fn is_valid(&self, connection: &mut Marked<M::Connection>) -> Result<(), AdapterError> {
        self.0.prove(Marked::testing(connection)).await?;
        Marked::passed(connection);
        Ok(())
    }

    fn has_broken(&self, connection: &mut Marked<M::Connection>) -> bool {
        Marked::is_unfit(connection) || self.0.is_unfit(connection)
    }
}

impl<M: fmt::Debug> fmt::Debug for ForBb8<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForBb8").field(&self.0.manager).finish()
    }
}
