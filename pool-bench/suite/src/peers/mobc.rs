//! mobc: a manager as its documentation has it, and its own pool.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pool_core::{PoolConfig, PoolGuard, Validation};
use pool_testkit::conformance::{Cannot, Feature};

use crate::peer::{Calls, Connection, Derefs, Error, FAR, Gauges, Kind, Manager, Peer, Refused};

pub(crate) struct Mobc {
    pool: mobc::Pool<Managed>,
    config: PoolConfig,
    /// What it told last, for when its lock is taken.
    idle: AtomicU64,
    in_use: AtomicU64,
}

/// Our manager in mobc.
pub(crate) struct Managed(Calls);

#[mobc::async_trait]
impl mobc::Manager for Managed {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        self.0.connect().await
    }

    async fn check(&self, mut connection: Connection) -> Result<Connection, Error> {
        self.0.ping(&mut connection).await?;
        Ok(connection)
    }

    fn validate(&self, connection: &mut Connection) -> bool {
        !self.0.is_unfit(connection)
    }
}

impl Kind for Mobc {
    fn lacks(feature: Feature) -> Option<&'static str> {
        Some(match feature {
            Feature::Minimums | Feature::MinSize | Feature::MinIdle => "mobc has no minimum",
            Feature::Reset | Feature::ResetAtReturn => {
                "mobc has no reset: what is dirty is invalid"
            }
            Feature::Close => "mobc has no close",
            Feature::Counts => {
                "mobc counts other things: not who gave up, nor why all of them ended"
            }
            Feature::BackgroundConnects => "mobc connects in its callers, by design",
            Feature::MaxConnecting => "mobc has no limit on connects at once",
            Feature::Retries => "mobc tells errors to the caller at once, by design",
            Feature::ErrorClasses => "mobc has no classes of errors",
            Feature::FreeCheck => "mobc looks at validate when a connection comes back only",
            _ => return None,
        })
    }

    fn make(manager: Manager, config: &PoolConfig) -> Result<Self, Cannot> {
        if config.acquire_timeout == Some(Duration::ZERO) {
            return Err(Cannot("mobc refuses a timeout of zero when it is built".into()));
        }
        let pool = mobc::Pool::builder()
            .max_open(config.max_size.into())
            // Its default is two. All of them, as the suite has it.
            .max_idle(config.max_idle.unwrap_or(config.max_size).into())
            .test_on_check_out(config.validation != Validation::Never)
            .health_check_interval(match config.validation {
                Validation::IfIdleFor(time) => Some(time),
                _ => None,
            })
            .max_lifetime(config.max_lifetime)
            .max_idle_lifetime(config.idle_timeout)
            .get_timeout(config.acquire_timeout)
            .build(Managed(Calls::new(manager)));
        let (idle, in_use) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { pool, config: config.clone(), idle, in_use })
    }
}

impl Peer for Mobc {
    type Connection = Connection;

    async fn get(
        &self,
        within: Option<Option<Duration>>,
    ) -> Result<PoolGuard<Connection>, Refused> {
        let got = match within {
            None => self.pool.get().await,
            Some(limit) => self.pool.get_timeout(limit.unwrap_or(FAR)).await,
        };
        match got {
            Ok(guard) => Ok(Derefs::guard(guard, |guard| drop(guard.into_inner()))),
            Err(mobc::Error::Inner(error)) => Err(Refused::connect(error)),
            Err(mobc::Error::Timeout) => Err(Refused::timed_out()),
            Err(mobc::Error::PoolClosed) => Err(Refused::closed()),
            Err(mobc::Error::BadConn) => Err(Refused::connect("bad connection")),
        }
    }

    fn gauges(&self) -> Gauges {
        // Its state is behind an asynchronous lock.
        if let Poll::Ready(state) =
            pin!(self.pool.state()).poll(&mut Context::from_waker(Waker::noop()))
        {
            self.idle.store(state.idle, Ordering::Relaxed);
            self.in_use.store(state.in_use, Ordering::Relaxed);
        }
        let told = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        Gauges {
            max_size: self.config.max_size,
            idle: told(&self.idle),
            in_use: told(&self.in_use),
        }
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::ready(())
    }
}
