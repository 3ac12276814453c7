//! bb8: a manager as its documentation has it, and its own pool.

use std::time::Duration;

use bb8::{QueueStrategy, RunError};
use pool_core::{PoolConfig, PoolGuard, Reuse, Validation};
use pool_testkit::conformance::{Cannot, Feature};

use crate::peer::{Calls, Connection, Derefs, Error, FAR, Gauges, Kind, Manager, Peer, Refused};

pub(crate) struct Bb8(bb8::Pool<Managed>);

/// Our manager in bb8.
pub(crate) struct Managed(Calls);

impl bb8::ManageConnection for Managed {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        self.0.connect().await
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        self.0.ping(connection).await
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.0.is_unfit(connection)
    }
}

impl Kind for Bb8 {
    fn lacks(feature: Feature) -> Option<&'static str> {
        Some(match feature {
            Feature::TimeoutPerAcquire => "bb8 has one timeout for the whole pool",
            Feature::MaxIdle => "bb8 has no max_idle",
            Feature::MinSize => "bb8 has min_idle only",
            Feature::Reset | Feature::ResetAtReturn => "bb8 has no reset: what is dirty has broken",
            Feature::Close => "bb8 has no close (bb8 #249)",
            Feature::Invalidate => "bb8 cannot give up a connection that is in use",
            Feature::Counts => {
                "bb8 counts other things: not who gave up, nor why all of them ended"
            }
            Feature::MaxConnecting => "bb8 has no limit on connects at once",
            Feature::ErrorClasses => "bb8 has no classes of errors",
            Feature::LastError => "bb8 tells errors to an ErrorSink, not to callers",
            Feature::ValidationByIdleTime => "bb8 tests each time or never",
            Feature::FreeCheck => "bb8 looks at has_broken when a connection comes back only",
            _ => return None,
        })
    }

    fn make(manager: Manager, config: &PoolConfig) -> Result<Self, Cannot> {
        let limit = config.acquire_timeout.unwrap_or(FAR);
        if limit.is_zero() {
            return Err(Cannot("bb8 refuses a timeout of zero when it is built".into()));
        }
        let mut builder = bb8::Pool::builder()
            .max_size(config.max_size)
            .min_idle(config.min_idle)
            .test_on_check_out(config.validation != Validation::Never)
            .max_lifetime(config.max_lifetime)
            .idle_timeout(config.idle_timeout)
            .connection_timeout(limit)
            .queue_strategy(match config.reuse {
                Reuse::Fifo => QueueStrategy::Fifo,
                _ => QueueStrategy::Lifo,
            });
        // It looks every 30 s unless told otherwise: too seldom for a case.
        let shortest = config.max_lifetime.into_iter().chain(config.idle_timeout).min();
        if let Some(shortest) = shortest.filter(|shortest| *shortest < Duration::from_secs(30)) {
            builder = builder.reaper_rate((shortest / 4).max(Duration::from_millis(5)));
        }
        Ok(Self(builder.build_unchecked(Managed(Calls::new(manager)))))
    }
}

impl Peer for Bb8 {
    type Connection = Connection;

    async fn get(&self, _: Option<Option<Duration>>) -> Result<PoolGuard<Connection>, Refused> {
        match self.0.get_owned().await {
            Ok(guard) => Ok(Derefs::guard(guard, |_| unreachable!("bb8 lacks it"))),
            Err(RunError::TimedOut) => Err(Refused::timed_out()),
            Err(RunError::User(error)) => Err(Refused::connect(error)),
        }
    }

    fn gauges(&self) -> Gauges {
        let state = self.0.state();
        Gauges {
            max_size: self.0.config().max_size,
            idle: state.idle_connections.into(),
            in_use: state.connections.saturating_sub(state.idle_connections).into(),
        }
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::ready(())
    }
}
