//! [`PoolView`]: a pool as one looks at it from outside.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::managed::shared::Shared;
use crate::snapshot::{Snapshot, Statistics};
use crate::sync::Arc;
use crate::{Holder, Manager, PoolConfig};

/// Reads a pool, whatever its manager: for those who watch several. Cheap to clone.
///
/// It is no handle: it does not keep the pool open, and takes no connection. Of a pool whose last
/// handle is gone it tells what it was in the end.
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
/// drop(pool);
/// assert!(seen[0].snapshot().closed);
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
}

impl fmt::Debug for PoolView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolView").field(&self.name()).finish()
    }
}

/// What there is to see of a pool without knowing its manager.
trait Seen: Send + Sync {
    fn name(&self) -> &str;
    fn snapshot(&self) -> Snapshot;
    fn statistics(&self) -> Statistics;
    fn holders(&self) -> Vec<Holder>;
    fn config(&self) -> Arc<PoolConfig>;
    fn last_connect_error(&self) -> Option<(Duration, Arc<dyn Error + Send + Sync>)>;
}

impl<M: Manager> Seen for Shared<M> {
    fn name(&self) -> &str {
        &self.name
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
}
