//! deadpool: managed pools, with what its own managers do when they recycle.

use std::time::Duration;

use deadpool::managed::{
    Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use pool_core::{Condition, Manager as _, PoolConfig, PoolGuard, Reset, Reuse, Validation};
use pool_testkit::conformance::{Cannot, Feature};

use crate::peer::{Calls, Connection, Derefs, Error, Gauges, Kind, Manager, Peer, Refused};

pub(crate) struct Deadpool {
    pool: deadpool::managed::Pool<Managed>,
    config: PoolConfig,
}

/// Our manager in deadpool.
pub(crate) struct Managed {
    calls: Calls,
    validation: Validation,
}

impl deadpool::managed::Manager for Managed {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        self.calls.connect().await
    }

    /// Looks at the connection, cleans it, and pings it when that is due.
    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Error> {
        match self.calls.condition(connection) {
            Condition::Clean => {}
            Condition::Dirty(cause) => {
                let reset = self.calls.manager().reset(connection, cause).await;
                if reset.map_err(RecycleError::Backend)? == Reset::Discard {
                    return Err(RecycleError::message("not worth a reset"));
                }
            }
            Condition::Broken(cause) => return Err(RecycleError::message(cause.to_string())),
        }
        let due = match self.validation {
            Validation::Always => true,
            Validation::IfIdleFor(time) => metrics.last_used() >= time,
            _ => false,
        };
        if due {
            self.calls.ping(connection).await.map_err(RecycleError::Backend)?;
        }
        Ok(())
    }
}

impl Deadpool {
    /// deadpool has a limit for each step, and none for the whole: each gets that of the whole at
    /// most.
    fn timeouts(&self, limit: Option<Duration>) -> Timeouts {
        let config = &self.config;
        let most = limit.unwrap_or(Duration::MAX);
        Timeouts {
            wait: limit,
            create: Some(config.connect_timeout.min(most)),
            recycle: Some(config.ping_timeout.min(config.reset_timeout).min(most)),
        }
    }
}

impl Kind for Deadpool {
    fn lacks(feature: Feature) -> Option<&'static str> {
        Some(match feature {
            Feature::Minimums | Feature::MinSize | Feature::MinIdle => "deadpool has no minimum",
            Feature::MaxIdle => "deadpool has no max_idle",
            Feature::Lifetime => "deadpool has no max_lifetime (deadpool #359)",
            Feature::IdleTimeout => "deadpool has no idle_timeout: users call retain",
            Feature::Counts => "deadpool counts for each object, not for the pool",
            Feature::BackgroundConnects => "deadpool connects in its callers, by design",
            Feature::MaxConnecting => "deadpool has no limit on connects at once",
            Feature::Retries => "deadpool tells errors to the caller at once, by design",
            Feature::ErrorClasses => "deadpool has no classes of errors",
            Feature::ResetAtReturn => {
                "deadpool recycles when a connection is next taken, by design"
            }
            _ => return None,
        })
    }

    fn make(manager: Manager, config: &PoolConfig) -> Result<Self, Cannot> {
        let managed = Managed { calls: Calls::new(manager), validation: config.validation };
        let builder = deadpool::managed::Pool::builder(managed)
            .max_size(config.max_size as usize)
            .queue_mode(match config.reuse {
                Reuse::Fifo => QueueMode::Fifo,
                _ => QueueMode::Lifo,
            })
            .runtime(deadpool::Runtime::Tokio1);
        let pool = builder.build().map_err(|error| Cannot(error.to_string()))?;
        Ok(Self { pool, config: config.clone() })
    }
}

impl Peer for Deadpool {
    type Connection = Connection;

    async fn get(
        &self,
        within: Option<Option<Duration>>,
    ) -> Result<PoolGuard<Connection>, Refused> {
        let limit = within.unwrap_or(self.config.acquire_timeout);
        match self.pool.timeout_get(&self.timeouts(limit)).await {
            Ok(guard) => Ok(Derefs::guard(guard, |guard| drop(Object::take(guard)))),
            Err(PoolError::Backend(error)) => Err(Refused::connect(error)),
            Err(PoolError::Closed) => Err(Refused::closed()),
            Err(PoolError::Timeout(TimeoutType::Wait | TimeoutType::Recycle)) => {
                Err(Refused::timed_out())
            }
            Err(PoolError::Timeout(TimeoutType::Create)) => Err(Refused::timed_out()),
            Err(error) => Err(Refused::connect(error.to_string())),
        }
    }

    fn gauges(&self) -> Gauges {
        let status = self.pool.status();
        Gauges {
            max_size: self.config.max_size,
            idle: status.available as u64,
            in_use: status.size.saturating_sub(status.available) as u64,
        }
    }

    /// deadpool's close waits for nobody; who closes sees by the size when all have come back.
    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        self.pool.close();
        let pool = self.pool.clone();
        async move {
            while pool.status().size > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
