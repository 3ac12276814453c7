//! [`Bb8Manager`]: a bb8 manager in our pool.

use std::fmt;
use std::future::Future;

use pool_core::{BoxError, Cause, Condition, ConnectContext, ErrorClass, Manager};

/// Makes a manager written for bb8 one of ours.
///
/// `connect` is `connect`, `is_valid` is [`ping`](Manager::ping), and a connection that `has_broken`
/// is [`Broken`](Condition::Broken) as [`Disconnected`](Cause::Disconnected): it makes the pool
/// suspect the others, which costs them a ping each at most.
///
/// bb8 knows neither reset, close, error classes nor server limits, so the defaults hold:
/// connections are never dirty, are closed by their drop, and every connect error is
/// [`Transient`](ErrorClass::Transient) unless [`classify_with`](Self::classify_with) says
/// otherwise. What a user leaves behind on a connection is inherited by the next, as it is in bb8,
/// unless an `after_release` hook clears it.
///
/// ```
/// # struct Theirs;
/// # impl bb8::ManageConnection for Theirs {
/// #     type Connection = u32; type Error = std::io::Error;
/// #     async fn connect(&self) -> Result<u32, Self::Error> { Ok(7) }
/// #     async fn is_valid(&self, _: &mut u32) -> Result<(), Self::Error> { Ok(()) }
/// #     fn has_broken(&self, _: &mut u32) -> bool { false }
/// # }
/// use pool_adapters::Bb8Manager;
/// use pool_core::ManagedPool;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = ManagedPool::builder(Bb8Manager::new(Theirs)).max_size(4).build().unwrap();
/// assert_eq!(*pool.acquire().await.unwrap(), 7);
/// # }
/// ```
pub struct Bb8Manager<M: bb8::ManageConnection> {
    manager: M,
    classify: fn(&M::Error) -> ErrorClass,
}

impl<M: bb8::ManageConnection> Bb8Manager<M> {
    /// This manager of bb8's. It does nothing yet.
    pub fn new(manager: M) -> Self {
        Self { manager, classify: |_| ErrorClass::Transient }
    }

    /// How to tell which connect errors nobody should wait for: a wrong password, for example.
    #[must_use]
    pub fn classify_with(mut self, classify: fn(&M::Error) -> ErrorClass) -> Self {
        self.classify = classify;
        self
    }

    /// bb8's manager.
    pub fn inner(&self) -> &M {
        &self.manager
    }
}

impl<M> Manager for Bb8Manager<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    type Connection = M::Connection;
    type Error = M::Error;

    fn connect(
        &self,
        _: &ConnectContext,
    ) -> impl Future<Output = Result<M::Connection, M::Error>> + Send {
        self.manager.connect()
    }

    fn ping(
        &self,
        connection: &mut M::Connection,
    ) -> impl Future<Output = Result<(), M::Error>> + Send {
        self.manager.is_valid(connection)
    }

    fn condition(&self, connection: &mut M::Connection) -> Condition {
        if self.manager.has_broken(connection) {
            Condition::Broken(Cause::Disconnected)
        } else {
            Condition::Clean
        }
    }

    fn classify(&self, error: &M::Error) -> ErrorClass {
        (self.classify)(error)
    }
}

impl<M: bb8::ManageConnection + fmt::Debug> fmt::Debug for Bb8Manager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bb8Manager").field(&self.manager).finish()
    }
}
