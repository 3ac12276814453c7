//! [`AssertingPool`]: panics where a connection is asked for while one is held.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::{
    AcquireError, BoxFuture, CloseReport, Guarded, Pool, PoolGuard, Request, Snapshot,
};

/// Finds code that asks for a second connection while it holds one: with a pool of `n` connections
/// and `n` such callers, each waits for the others for ever.
///
/// The second checkout panics in the task that asks, and the message names both places. It counts
/// the checkouts of the whole pool, whoever makes them and from the moment they are asked for, so
/// that it also finds a second one behind a `spawn`; a test of code that uses several connections
/// at once says how many with [`at_most`](Self::at_most).
///
/// ```should_panic
/// use std::sync::Arc;
/// use pool_core::{ManagedPool, Pool, PoolExt};
/// use pool_testkit::test_pools::AssertingPool;
/// use pool_testkit::{FakeConnection, FakeServer};
///
/// async fn names(pool: &dyn Pool<Connection = FakeConnection>) {
///     let mut connection = pool.acquire().await.unwrap();
///     connection.query().unwrap();
///     details(pool).await; // should pass `&mut connection` on
/// }
///
/// async fn details(pool: &dyn Pool<Connection = FakeConnection>) {
///     pool.acquire().await.unwrap().query().unwrap();
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let pool = ManagedPool::new(FakeServer::new().manager());
/// names(&AssertingPool::new(Arc::new(pool))).await; // panics in `details`
/// # }
/// ```
pub struct AssertingPool<C> {
    pool: Arc<dyn Pool<Connection = C>>,
    most: usize,
    held: Held,
}

/// Who holds connections: a number for each checkout, and where it was made.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<BTreeMap<u64, &'static Location<'static>>>>);

impl Held {
    fn sites(&self) -> MutexGuard<'_, BTreeMap<u64, &'static Location<'static>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a checkout, or says why there is no room for it.
    fn note(&self, most: usize, site: &'static Location<'static>) -> Result<u64, String> {
        let mut sites = self.sites();
        if sites.len() >= most {
            let count = sites.len();
            let are = if count == 1 { "one is".to_owned() } else { format!("{count} are") };
            let taken: Vec<String> = sites.values().map(ToString::to_string).collect();
            return Err(format!(
                "a connection is asked for at {site} while {are} held, asked for at {}. Use that one, \
                 or give it back before; if several may be held at once, say so with `at_most`.",
                taken.join(", ")
            ));
        }
        let number = sites.last_key_value().map_or(0, |(last, _)| last + 1);
        sites.insert(number, site);
        Ok(number)
    }
}

impl<C: Send + 'static> AssertingPool<C> {
    /// A pool of which one connection may be held at a time.
    pub fn new(pool: Arc<dyn Pool<Connection = C>>) -> Self {
        Self { pool, most: 1, held: Held::default() }
    }

    /// Allows this many to be held at a time.
    #[must_use]
    pub fn at_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }
}

impl<C: Send + 'static> Pool for AssertingPool<C> {
    type Connection = C;

    /// Takes a connection as the request says.
    ///
    /// # Panics
    /// If as many are held as may be.
    fn acquire_with(&self, request: Request) -> BoxFuture<'_, Result<PoolGuard<C>, AcquireError>> {
        Box::pin(async move {
            // Noted before it is there: a pool of one connection would wait for ever.
            let number = self.held.note(self.most, request.site());
            let number = number.unwrap_or_else(|second| panic!("{second}"));
            let mut counted = Counted { guard: None, number, held: self.held.clone() };
            counted.guard = Some(self.pool.acquire_with(request).await?);
            Ok(PoolGuard::new(counted))
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        self.pool.close(within)
    }
}

impl<C> Clone for AssertingPool<C> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), most: self.most, held: self.held.clone() }
    }
}

impl<C> fmt::Debug for AssertingPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.sites();
        f.debug_struct("AssertingPool").field("most", &self.most).field("held", &held).finish()
    }
}

/// A connection whose checkout is counted until it is given back.
struct Counted<C> {
    /// There until it is given back.
    guard: Option<PoolGuard<C>>,
    number: u64,
    held: Held,
}

impl<C: Send + 'static> Guarded<C> for Counted<C> {
    fn connection(&self) -> &C {
        self.guard.as_ref().expect("it is there until it is given back")
    }

    fn connection_mut(&mut self) -> &mut C {
        self.guard.as_mut().expect("it is there until it is given back")
    }

    fn invalidate(mut self: Box<Self>) {
        if let Some(guard) = self.guard.take() {
            guard.invalidate();
        }
    }
}

impl<C> Drop for Counted<C> {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.held.sites().remove(&self.number);
    }
}
