//! [`R2d2Manager`]: an r2d2 manager in our pool, its blocking calls on threads.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Manager};

use crate::AdapterError;
use crate::contain::contained;
use crate::thread::Threads;

/// Makes a manager written for r2d2 one of ours.
///
/// `connect` is `connect`, `is_valid` is [`ping`](Manager::ping), and a connection that `has_broken`
/// is [`Broken`](Condition::Broken) as [`Disconnected`](Cause::Disconnected). **What users do with
/// the connection blocks, as it did in r2d2**: do it in `spawn_blocking`, or take connections by
/// [`blocking`](pool_core::ManagedPool::blocking) on threads.
///
/// r2d2 knows neither reset, close, error classes nor server limits, so the defaults hold:
/// connections are never dirty, and every connect error is [`Transient`](ErrorClass::Transient)
/// unless [`classify_with`](Self::classify_with) says otherwise. What a user leaves behind on a
/// connection is inherited by the next, as it is in r2d2, unless an `after_release` hook clears it.
///
/// # Threads
///
/// `connect`, `is_valid` and the connection's drop block, so each runs on a plain thread that lives
/// for that one call: some ten to fifty microseconds more, paid where a round trip is paid anyway,
/// and never at a hand-out without a ping. No worker of the runtime and none of its blocking pool
/// waits for a server. Each such call is made for a slot of the pool, so there are at most
/// `max_size` of these threads, and none between calls. Only a broken connection is dropped on a
/// thread that nobody waits for, and its slot is free meanwhile.
///
/// A call that outlives its deadline cannot be ended from outside: the pool goes on without it, its
/// thread stays until the driver returns, and then drops what came of it. A server that swallows
/// packets would so collect threads; therefore no connect starts while
/// [`max_threads`](Self::max_threads) of them run. Give the driver socket time-outs, and it never
/// comes to that.
///
/// ```
/// # struct Theirs;
/// # impl r2d2::ManageConnection for Theirs {
/// #     type Connection = u32; type Error = std::io::Error;
/// #     fn connect(&self) -> Result<u32, Self::Error> { Ok(7) }
/// #     fn is_valid(&self, _: &mut u32) -> Result<(), Self::Error> { Ok(()) }
/// #     fn has_broken(&self, _: &mut u32) -> bool { false }
/// # }
/// use pool_adapters::R2d2Manager;
/// use pool_core::ManagedPool;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = ManagedPool::builder(R2d2Manager::new(Theirs)).max_size(4).build().unwrap();
/// assert_eq!(**pool.acquire().await.unwrap(), 7);
/// # }
/// ```
pub struct R2d2Manager<M: r2d2::ManageConnection> {
    manager: Arc<M>,
    classify: fn(&M::Error) -> ErrorClass,
    max_threads: usize,
    threads: Threads,
}

impl<M: r2d2::ManageConnection> R2d2Manager<M> {
    /// This manager of r2d2's. It does nothing yet.
    pub fn new(manager: M) -> Self {
        Self {
            manager: Arc::new(manager),
            classify: |_| ErrorClass::Transient,
            max_threads: 256,
            threads: Threads::default(),
        }
    }

    /// How to tell which connect errors nobody should wait for: a wrong password, for example.
    #[must_use]
    pub fn classify_with(mut self, classify: fn(&M::Error) -> ErrorClass) -> Self {
        self.classify = classify;
        self
    }

    /// With this many threads of calls running, connects are refused as
    /// [`Saturated`](ErrorClass::Saturated). Let it be well above `max_size`. Default: 256.
    #[must_use]
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        self.max_threads = max_threads;
        self
    }

    /// How many threads of calls run now.
    pub fn threads(&self) -> usize {
        self.threads.running()
    }

    /// r2d2's manager.
    pub fn inner(&self) -> &M {
        &self.manager
    }
}

impl<M: r2d2::ManageConnection> Manager for R2d2Manager<M> {
    type Connection = R2d2Connection<M::Connection>;
    type Error = AdapterError;

    async fn connect(
        &self,
        _: &ConnectContext,
    ) -> Result<R2d2Connection<M::Connection>, AdapterError> {
        if self.threads.running() >= self.max_threads {
            return Err(AdapterError::TooManyThreads(self.max_threads));
        }
        let (manager, classify) = (self.manager.clone(), self.classify);
        let connect = move || {
            let connected = manager.connect();
            connected.map_err(|error| AdapterError::text(&error, classify(&error)))
        };
        let inner = Some(self.threads.run(connect).await??);
        Ok(R2d2Connection { inner, threads: self.threads.clone() })
    }

    async fn ping(
        &self,
        connection: &mut R2d2Connection<M::Connection>,
    ) -> Result<(), AdapterError> {
        let unfit = AdapterError::Unfit(Condition::Broken(Cause::Desynchronized));
        // It goes along to the thread, so that nobody has it if the answer does not come.
        let mut inner = connection.inner.take().ok_or(unfit)?;
        let (manager, classify) = (self.manager.clone(), self.classify);
        let test = move || {
            let tested = contained(|| {
                let tested = manager.is_valid(&mut inner);
                tested.map_err(|error| AdapterError::text(&error, classify(&error)))
            });
            (inner, tested)
        };
        let (inner, tested) = self.threads.run(test).await?;
        connection.inner = Some(inner);
        tested
    }

    fn condition(&self, connection: &mut R2d2Connection<M::Connection>) -> Condition {
        match &mut connection.inner {
            None => Condition::Broken(Cause::Desynchronized),
            Some(inner) => match self.manager.has_broken(inner) {
                true => Condition::Broken(Cause::Disconnected),
                false => Condition::Clean,
            },
        }
    }

    async fn close(&self, mut connection: R2d2Connection<M::Connection>) {
        if let Some(inner) = connection.inner.take() {
            let _ = self.threads.run(move || drop(inner)).await;
        }
    }

    fn classify(&self, error: &AdapterError) -> ErrorClass {
        match error {
            AdapterError::Text(_, class) => *class,
            AdapterError::TooManyThreads(_) | AdapterError::NoThread(_) => ErrorClass::Saturated,
            _ => ErrorClass::Transient,
        }
    }
}

impl<M: r2d2::ManageConnection + fmt::Debug> fmt::Debug for R2d2Manager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("R2d2Manager")
            .field("manager", &self.manager)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

/// A connection of an r2d2 manager in our pool. It is that connection for all purposes.
///
/// r2d2's connections end by being dropped, and that may block; dropped in an async task, this one
/// does it on a thread.
///
/// # Panics
/// Using it panics after a test on it was cut short, since the test has the connection then. The
/// pool hands none out like that.
#[derive(Debug)]
pub struct R2d2Connection<C: Send + 'static> {
    inner: Option<C>,
    threads: Threads,
}

impl<C: Send + 'static> R2d2Connection<C> {
    /// The connection alone, for one that was taken out of the pool with
    /// [`detach`](pool_core::ManagedGuard::detach).
    ///
    /// # Panics
    /// As using it does.
    pub fn into_inner(mut self) -> C {
        self.inner.take().expect(TAKEN)
    }
}

const TAKEN: &str = "the connection is with a test that was cut short";

impl<C: Send + 'static> Deref for R2d2Connection<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.inner.as_ref().expect(TAKEN)
    }
}

impl<C: Send + 'static> DerefMut for R2d2Connection<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.inner.as_mut().expect(TAKEN)
    }
}

impl<C: Send + 'static> Drop for R2d2Connection<C> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.threads.drop_aside(inner);
        }
    }
}
