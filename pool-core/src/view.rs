//! [`PoolView`]: a pool as one looks at it from outside.

use std::error::Error;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::hooks::BoxFuture;
use crate::managed::ManagedPool;
use crate::managed::shared::Shared;
use crate::snapshot::{Snapshot, Statistics};
use crate::sync::Arc;
use crate::{BoxError, Holder, ManagedGuard, Manager, PoolConfig};

/// Reads a pool, whatever its manager: for those who watch several. Cheap to clone.
///
/// It is no handle: it does not keep the pool open. Of a pool whose last handle is gone it tells what
/// it was in the end.
///
/// ```
/// # use pool_core::{ConnectContext, ManagedPool, Manager, PoolView};
/// # struct Numbers;
/// # impl Manager for Numbers {
/// #     type Connection = u64;
/// #     type Error = std::io::Error;
/// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
/// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// let pool = ManagedPool::builder(Numbers).name("plots").build()?;
/// let seen: Vec<PoolView> = vec![pool.view()];
/// assert_eq!(seen[0].name(), "plots");
/// assert!(seen[0].is_same(&pool.view()));
/// drop(pool);
/// assert!(seen[0].is_gone());
/// # Ok::<(), pool_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct PoolView(Arc<dyn Seen>);

impl PoolView {
    pub(crate) fn new<M: Manager>(shared: Arc<Shared<M>>) -> Self {
        Self(shared)
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether both look at the same pool, and not at two of the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }

    /// Whether the pool's last handle is gone: nobody will ask it for a connection again.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    /// The pool at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    /// The pool at this moment, and how long things took so far.
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    /// Who holds connections now, most first.
    pub fn holders(&self) -> Vec<Holder> {
        self.0.holders()
    }

    /// The settings by which the pool goes now.
    pub fn config(&self) -> Arc<PoolConfig> {
        self.0.config()
    }

    /// The last connect error, if there was one, and how long ago. Later connects may have done well.
    pub fn last_connect_error(&self) -> Option<(Duration, Arc<dyn Error + Send + Sync>)> {
        self.0.last_connect_error()
    }

    /// Takes a connection as everybody does, in turn and as the operation `health_check`, pings the
    /// server over it, and gives it back: whether the database answers, and how long all of it took.
    ///
    /// # Errors
    /// If there was no connection in time ([`AcquireError`](crate::AcquireError)), the ping failed or
    /// did not end in time; or the pool's last handle is gone.
    ///
    /// # Cancel safety
    /// A connection whose ping was not awaited to its end is closed.
    pub async fn probe(&self, within: Duration) -> Result<Duration, BoxError> {
        self.0.clone().probe(within).await
    }
}

impl fmt::Debug for PoolView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolView").field(&self.name()).finish()
    }
}

/// What there is to see of a pool without knowing its manager.
trait Seen: Send + Sync {
    fn name(&self) -> &str;
    fn is_gone(&self) -> bool;
    fn snapshot(&self) -> Snapshot;
    fn statistics(&self) -> Statistics;
    fn holders(&self) -> Vec<Holder>;
    fn config(&self) -> Arc<PoolConfig>;
    fn last_connect_error(&self) -> Option<(Duration, Arc<dyn Error + Send + Sync>)>;
    fn probe(self: Arc<Self>, within: Duration) -> BoxFuture<'static, Result<Duration, BoxError>>;
}

impl<M: Manager> Seen for Shared<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_gone(&self) -> bool {
        self.handles.load(Ordering::Relaxed) == 0
    }

    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }

    fn statistics(&self) -> Statistics {
        Self::statistics(self)
    }

    fn holders(&self) -> Vec<Holder> {
        Self::holders(self)
    }

    fn config(&self) -> Arc<PoolConfig> {
        self.settings.present()
    }

    fn last_connect_error(&self) -> Option<(Duration, Arc<dyn Error + Send + Sync>)> {
        let (at, error) = self.last_error()?;
        Some((Duration::from_nanos(self.now().0.saturating_sub(at.0)), error))
    }

    fn probe(self: Arc<Self>, within: Duration) -> BoxFuture<'static, Result<Duration, BoxError>> {
        Box::pin(async move {
            let begun = Instant::now();
            let pool = ManagedPool::upgrade(self).ok_or("the pool is gone")?;
            let acquire = pool.acquire().within(within).operation("health_check");
            let mut proven = Unproven(Some(acquire.await?));
            let guard = proven.0.as_mut().expect("taken only below");
            let ping = pool.manager().ping(guard);
            match timeout(within.saturating_sub(begun.elapsed()), ping).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err("the ping did not end in time".into()),
            }
            drop(proven.0.take());
            Ok(begun.elapsed())
        })
    }
}

/// A connection that goes back to the pool only if it is taken out of here.
struct Unproven<M: Manager>(Option<ManagedGuard<M>>);

impl<M: Manager> Drop for Unproven<M> {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.invalidate();
        }
    }
}
