//! How a foreign pool calls one of our managers: numbered, under a deadline, panics contained.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::{Cause, Condition, ConnectContext, Manager};

use crate::AdapterError;
use crate::contain::{contained, contained_async};

/// Our manager, as the adapters call it.
#[derive(Debug)]
pub(crate) struct Calls<M> {
    pub(crate) manager: M,
    pub(crate) connect_timeout: Duration,
    pub(crate) ping_timeout: Duration,
    ids: AtomicU64,
}

impl<M: Manager> Calls<M> {
    pub(crate) fn new(manager: M) -> Self {
        // The defaults of `pool_core::PoolConfig`.
        let (connect_timeout, ping_timeout) = (Duration::from_secs(10), Duration::from_secs(2));
        Self { manager, connect_timeout, ping_timeout, ids: AtomicU64::new(1) }
    }

    pub(crate) async fn connect(&self) -> Result<M::Connection, AdapterError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let cx = &ConnectContext::new(id, self.connect_timeout);
        let connect = async { self.manager.connect(cx).await.map_err(AdapterError::manager) };
        limited(self.connect_timeout, connect).await
    }

    /// Proves by a round trip that nothing is wrong with the connection, nor left behind on it.
    pub(crate) async fn prove(&self, connection: &mut M::Connection) -> Result<(), AdapterError> {
        match self.condition(connection) {
            Condition::Clean => {}
            unfit => return Err(AdapterError::Unfit(unfit)),
        }
        let ping = async { self.manager.ping(connection).await.map_err(AdapterError::manager) };
        limited(self.ping_timeout, ping).await
    }

    /// Whether it must not be used again. A foreign pool cannot reset, so dirty is as bad as
    /// broken.
    pub(crate) fn is_unfit(&self, connection: &mut M::Connection) -> bool {
        self.condition(connection) != Condition::Clean
    }

    fn condition(&self, connection: &mut M::Connection) -> Condition {
        match contained(|| Ok(self.manager.condition(connection))) {
            Ok(Condition::Dirty(Cause::Upkeep)) => Condition::Clean, // nothing is wrong with it
            Ok(condition) => condition,
            Err(_) => Condition::Broken(Cause::Panicked),
        }
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, AdapterError>>,
) -> Result<T, AdapterError> {
    match tokio::time::timeout(limit, contained_async(call)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(AdapterError::TimedOut(limit)),
    }
}
