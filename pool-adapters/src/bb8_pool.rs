//! [`Bb8Pool`]: bb8's pool behind our trait.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bb8::{PooledConnection, RunError};
use pool_core::{
    AcquireError, AcquireErrorKind, BoxError, BoxFuture, CloseReport, Guarded, Pool, PoolGuard,
    Request, Snapshot,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::front::{Asking, Front, Held, Place};
use crate::invalidable::Seen;
use crate::{Invalidable, Marked};

type Theirs<M> = bb8::Pool<Invalidable<M>>;

/// A pool of bb8's, used as a [`Pool`]. Dropping it closes it.
///
/// bb8 opens, tests, keeps and discards connections. In front of it stands a queue, so that callers
/// are served in the order in which they came, each within its own deadline, and hear at once when
/// the pool is closed. What a connect error is, bb8 tells nobody; here it is the source of the
/// timeout's error. Broken and invalidated connections are counted together, as bb8 has them.
///
/// A deadline of zero waits for nobody and for no connect, but lets bb8 test the connection it
/// takes. A caller that goes while its connection is tested costs that connection.
///
/// ```
/// # struct Theirs;
/// # impl bb8::ManageConnection for Theirs {
/// #     type Connection = u32; type Error = std::io::Error;
/// #     async fn connect(&self) -> Result<u32, Self::Error> { Ok(7) }
/// #     async fn is_valid(&self, _: &mut u32) -> Result<(), Self::Error> { Ok(()) }
/// #     fn has_broken(&self, _: &mut u32) -> bool { false }
/// # }
/// use pool_adapters::Bb8Pool;
/// use pool_core::{Pool, PoolExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = Bb8Pool::new("films", bb8::Pool::builder().max_size(4), Theirs);
/// let pool: Box<dyn Pool<Connection = u32>> = Box::new(pool);
/// let connection = pool.acquire().await.unwrap();
/// assert_eq!(*connection, 7);
/// connection.invalidate(); // bb8 alone could not
/// # }
/// ```
pub struct Bb8Pool<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    front: Arc<Front>,
    seen: Arc<Seen>,
    /// Until it is closed.
    pool: Mutex<Option<Theirs<M>>>,
    runtime: Handle,
}

impl<M> Bb8Pool<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    /// A pool of this name. It waits for no connection; bb8 opens `min_idle` in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime, and if `min_idle` is more than `max_size`, as bb8 does.
    pub fn new(name: impl Into<String>, builder: bb8::Builder<Invalidable<M>>, manager: M) -> Self {
        let runtime = Handle::current();
        let manager = Invalidable::new(manager);
        let seen = manager.seen.clone();
        let pool = builder.build_unchecked(manager);
        let config = pool.config();
        let front = Front::new(name, config.max_size, config.connection_timeout);
        Self { front, seen, pool: Mutex::new(Some(pool)), runtime }
    }

    fn theirs(&self) -> Option<Theirs<M>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(
        &self,
        asking: &Asking,
    ) -> Result<(PooledConnection<'static, Invalidable<M>>, Place), AcquireErrorKind> {
        let pool = self.theirs().ok_or(AcquireErrorKind::Closed)?;
        let place = asking.place().await?;
        loop {
            let got = if asking.once && pool.state().idle_connections == 0 {
                // One look is enough for bb8 to start a connect, for whoever comes next.
                let mut get = pin!(pool.get_owned());
                std::future::poll_fn(|cx| match get.as_mut().poll(cx) {
                    Poll::Ready(got) => Poll::Ready(got),
                    Poll::Pending => Poll::Ready(Err(RunError::TimedOut)),
                })
                .await
            } else {
                pool.get_owned().await
            };
            match got {
                Ok(connection) => return Ok((connection, place)),
                Err(RunError::User(_)) => return Err(AcquireErrorKind::Connect),
                Err(RunError::TimedOut) if asking.once => return Err(AcquireErrorKind::TimedOut),
                Err(RunError::TimedOut) => {} // bb8's time is up, not the caller's
            }
        }
    }

    /// Refuses everybody, and ends what is spare: how many, and how many are held.
    fn shut(&self) -> (u64, usize) {
        self.front.shut();
        self.seen.close();
        let held = self.front.held();
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(pool) = pool else { return (0, held) };
        let _inside = self.runtime.enter();
        let mut spare = Vec::new();
        for _ in 0..pool.state().idle_connections {
            // They are not tested any more, so the first look finds them. Where there is none and
            // the runtime has ended, bb8's timer panics.
            let mut get = pin!(pool.get());
            let look = || get.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let looked = catch_unwind(AssertUnwindSafe(look));
            let Ok(Poll::Ready(Ok(connection))) = looked else { break };
            spare.push(connection);
        }
        let ended = spare.len() as u64;
        for connection in spare {
            // Found broken, now that the pool is closed.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
        }
        (ended, held)
    }
}

impl<M> Pool for Bb8Pool<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    type Connection = M::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<M::Connection>, AcquireError>> {
        Box::pin(async move {
            let asking = self.front.ask(request);
            match asking.limited(self.serve(&asking)).await {
                Ok((connection, place)) => Ok(PoolGuard::new(Bb8Guard {
                    connection: Some(connection),
                    runtime: self.runtime.clone(),
                    _held: asking.served(place),
                })),
                Err(kind) => Err(asking.refused(kind, || self.snapshot(), self.seen.last_error())),
            }
        })
    }

    /// The counts are the front's and bb8's; what bb8 does not tell stays zero. bb8's figures are
    /// not read under one lock with the rest.
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.front.snapshot();
        let (created, failed) = self.seen.connects();
        (snapshot.counts.created, snapshot.counts.connect_transient) = (created, failed);
        snapshot.connecting = self.seen.connecting();
        if let Some(pool) = self.theirs() {
            let state = pool.state();
            snapshot.idle = state.idle_connections;
            snapshot.in_use = state.connections.saturating_sub(state.idle_connections);
            // Read apart: one that was just opened is in both figures.
            let room = snapshot.max_size.saturating_sub(state.connections);
            snapshot.connecting = snapshot.connecting.min(room);
            snapshot.min_idle = pool.config().min_idle.unwrap_or_default();
            let ended = &mut snapshot.counts.ended;
            ended.broken = state.statistics.connections_closed_broken;
            ended.validation = state.statistics.connections_closed_invalid;
            ended.lifetime = state.statistics.connections_closed_max_lifetime;
            ended.idle = state.statistics.connections_closed_idle_timeout;
        }
        snapshot
    }

    /// bb8 has no close. This refuses who asks, drops what is spare at once and what is held when
    /// it comes back, and waits for that until the deadline. It begins at once, and need not be
    /// awaited. bb8's own task looks for the end of its pool every 30 s, and ends then.
    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        let begun = Instant::now();
        let (spare, held) = self.shut();
        let front = self.front.clone();
        Box::pin(async move {
            let _ = timeout(within, front.emptied()).await;
            front.report(begun, spare, held)
        })
    }
}

impl<M> Drop for Bb8Pool<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        self.shut();
    }
}

impl<M> fmt::Debug for Bb8Pool<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bb8Pool").field(&self.snapshot()).finish()
    }
}

struct Bb8Guard<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    connection: Option<PooledConnection<'static, Invalidable<M>>>,
    runtime: Handle,
    /// Dropped last, so that the next caller finds what this one gave back.
    _held: Held,
}

impl<M> Guarded<M::Connection> for Bb8Guard<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    fn connection(&self) -> &M::Connection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }

    fn connection_mut(&mut self) -> &mut M::Connection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }

    fn invalidate(mut self: Box<Self>) {
        self.connection.as_deref_mut().map(Marked::invalidate);
    }
}

impl<M> Drop for Bb8Guard<M>
where
    M: bb8::ManageConnection,
    M::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        // bb8 may spawn here, wherever here is.
        let _inside = self.runtime.enter();
        let connection = self.connection.take();
        // A panic in its drop costs the connection only.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
    }
}
