//! [`R2d2Pool`]: r2d2's pool behind our trait, waited for without blocking a worker.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::{
    AcquireError, AcquireErrorKind, BoxFuture, CloseReport, Guarded, Pool, PoolGuard, Request,
    Snapshot,
};
use r2d2::{ManageConnection, PooledConnection};
use tokio::time::{Instant, timeout, timeout_at};

use crate::front::{Asking, Front, Held, Place};
use crate::invalidable::Seen;
use crate::thread::Threads;
use crate::{Invalidable, Marked};

type Theirs<M> = r2d2::Pool<Invalidable<M>>;

/// How long r2d2 is asked for a connection in one go: so long a caller who has gone, or a pool
/// that was closed, may keep a thread.
const SLICE: Duration = Duration::from_secs(1);

/// A pool of r2d2's, used as a [`Pool`]. Dropping it closes it.
///
/// r2d2 opens, tests, keeps and discards connections. In front of it stands a queue, so that callers
/// are served in the order in which they came, each within its own deadline, and hear at once when
/// the pool is closed.
///
/// r2d2 blocks its caller, so each acquire runs on a plain thread of its own: at most `max_size` of
/// them, since the queue comes first, and none at all where a connection is there and the pool was
/// built with `test_on_check_out(false)`. An acquire that is dropped gives back what its thread
/// gets; a test that hangs keeps its thread, and its place, until the driver returns.
///
/// **What users do with a connection blocks**, and so may giving back one that is broken, since r2d2
/// drops it there; one that is [invalidated](PoolGuard::invalidate) is dropped on a thread. A
/// deadline of zero waits for nobody and for no connect, but lets r2d2 test the connection it takes.
///
/// ```
/// # struct Theirs;
/// # impl r2d2::ManageConnection for Theirs {
/// #     type Connection = u32; type Error = std::io::Error;
/// #     fn connect(&self) -> Result<u32, Self::Error> { Ok(7) }
/// #     fn is_valid(&self, _: &mut u32) -> Result<(), Self::Error> { Ok(()) }
/// #     fn has_broken(&self, _: &mut u32) -> bool { false }
/// # }
/// use pool_adapters::R2d2Pool;
/// use pool_core::{Pool, PoolExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = R2d2Pool::new("films", r2d2::Pool::builder().max_size(4), Theirs);
/// let pool: Box<dyn Pool<Connection = u32>> = Box::new(pool);
/// let connection = pool.acquire().await.unwrap();
/// assert_eq!(*connection, 7);
/// connection.invalidate(); // r2d2 alone could not
/// # }
/// ```
pub struct R2d2Pool<M: ManageConnection> {
    front: Arc<Front>,
    seen: Arc<Seen>,
    /// Until it is closed.
    pool: Mutex<Option<Theirs<M>>>,
    threads: Threads,
}

impl<M: ManageConnection> R2d2Pool<M> {
    /// A pool of this name. It waits for no connection; r2d2 opens `min_idle` (if that is not set:
    /// `max_size`) on threads of its own.
    ///
    /// # Panics
    /// If `min_idle` is more than `max_size`, as r2d2 does.
    pub fn new(
        name: impl Into<String>,
        builder: r2d2::Builder<Invalidable<M>>,
        manager: M,
    ) -> Self {
        let manager = Invalidable::new(manager);
        let seen = manager.seen.clone();
        let pool = builder.build_unchecked(manager);
        let front = Front::new(name, pool.max_size(), pool.connection_timeout());
        Self { front, seen, pool: Mutex::new(Some(pool)), threads: Threads::default() }
    }

    /// How many threads acquire for callers now, those of callers who have gone among them, or drop
    /// what was invalidated.
    pub fn threads(&self) -> usize {
        self.threads.running()
    }

    fn theirs(&self) -> Option<Theirs<M>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(
        &self,
        asking: &Asking,
    ) -> Result<(PooledConnection<Invalidable<M>>, Place), AcquireErrorKind> {
        let pool = self.theirs().ok_or(AcquireErrorKind::Closed)?;
        let place = asking.place().await?;
        if !pool.test_on_check_out()
            && let Some(connection) = pool.try_get()
        {
            return Ok((connection, place));
        }
        let gone = Gone::default();
        let (nobody, once, deadline) = (gone.0.clone(), asking.once, asking.deadline);
        // The place goes along: it is taken for as long as the thread may take a connection.
        let get = move || fetch(&pool, once, deadline, &nobody).map(|got| (got, place));
        match self.threads.run(get).await {
            Ok(got) => got.ok_or(AcquireErrorKind::TimedOut),
            Err(_no_thread) => Err(AcquireErrorKind::Connect),
        }
    }

    /// Refuses everybody, and ends what is spare on a thread: who is told how many, and how many
    /// are held.
    fn shut(&self) -> (tokio::sync::oneshot::Receiver<u64>, usize) {
        self.front.shut();
        self.seen.close();
        let held = self.front.held();
        let (tell, told) = tokio::sync::oneshot::channel();
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = move || {
            let mut spare = Vec::new();
            if let Some(pool) = &pool {
                // They are not tested any more.
                spare.extend(std::iter::from_fn(|| pool.try_get()));
            }
            let ended = spare.len() as u64;
            for connection in spare {
                // Found broken, now that the pool is closed.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
            }
            drop(pool);
            let _ = tell.send(ended);
        };
        // Without a thread the spare connections end here, with the pool.
        let _ = std::thread::Builder::new().name("pool-r2d2".into()).spawn(end);
        (told, held)
    }
}

/// Set when the caller has gone.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks r2d2 for a connection, until the deadline or until nobody wants it.
fn fetch<M: ManageConnection>(
    pool: &Theirs<M>,
    once: bool,
    deadline: Option<Instant>,
    nobody: &AtomicBool,
) -> Option<PooledConnection<Invalidable<M>>> {
    loop {
        let left = match deadline {
            // It takes what is there, and starts a connect for whoever comes next.
            _ if once => Duration::ZERO,
            Some(deadline) => deadline.saturating_duration_since(Instant::now()).min(SLICE),
            None => SLICE,
        };
        match pool.get_timeout(left) {
            Ok(connection) => return Some(connection),
            Err(_) if left.is_zero() || nobody.load(Ordering::Relaxed) => return None,
            Err(_) => {}
        }
    }
}

impl<M: ManageConnection> Pool for R2d2Pool<M> {
    type Connection = M::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<M::Connection>, AcquireError>> {
        Box::pin(async move {
            let asking = self.front.ask(request);
            match asking.limited(self.serve(&asking)).await {
                Ok((connection, place)) => Ok(PoolGuard::new(R2d2Guard {
                    connection: Some(connection),
                    held: Some(asking.served(place)),
                    threads: self.threads.clone(),
                })),
                Err(kind) => Err(asking.refused(kind, || self.snapshot(), self.seen.last_error())),
            }
        })
    }

    /// The counts are the front's; r2d2 does not say why connections end, so those stay zero. r2d2's
    /// figures are not read under one lock with the rest.
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
            snapshot.min_idle = pool.min_idle().unwrap_or_else(|| pool.max_size());
        }
        snapshot
    }

    /// r2d2 has no close. This refuses who asks, drops what is spare at once and what is held when
    /// it comes back, and waits for that, and for threads that acquire (a second, unless a test
    /// hangs), until the deadline. It begins at once, and need not be awaited. r2d2's own threads go when nobody holds a connection any more;
    /// with `idle_timeout` or `max_lifetime` set, as they are by default, up to 30 s later.
    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        let begun = Instant::now();
        let (told, held) = self.shut();
        let front = self.front.clone();
        Box::pin(async move {
            let deadline = begun.checked_add(within);
            let spare = match deadline {
                None => told.await,
                Some(deadline) => timeout_at(deadline, told).await.unwrap_or(Ok(0)),
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let _ = timeout(left.unwrap_or(within), front.emptied()).await;
            front.report(begun, spare.unwrap_or(0), held)
        })
    }
}

impl<M: ManageConnection> Drop for R2d2Pool<M> {
    fn drop(&mut self) {
        self.shut();
    }
}

impl<M: ManageConnection> fmt::Debug for R2d2Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("R2d2Pool").field(&self.snapshot()).finish()
    }
}

struct R2d2Guard<M: ManageConnection> {
    connection: Option<PooledConnection<Invalidable<M>>>,
    /// Goes after the connection, so that the next caller finds what this one gave back.
    held: Option<Held>,
    threads: Threads,
}

impl<M: ManageConnection> Guarded<M::Connection> for R2d2Guard<M> {
    fn connection(&self) -> &M::Connection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }

    fn connection_mut(&mut self) -> &mut M::Connection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }

    fn invalidate(mut self: Box<Self>) {
        self.connection.as_deref_mut().map(Marked::invalidate);
        // A tuple drops in order: the connection, and then its place.
        self.threads.drop_aside((self.connection.take(), self.held.take()));
    }
}

impl<M: ManageConnection> Drop for R2d2Guard<M> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        // A panic in its drop costs the connection only.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
    }
}
