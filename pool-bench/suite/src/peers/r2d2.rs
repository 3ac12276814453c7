//! r2d2: a blocking pool, each acquire on a thread of its own.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;
use std::time::Duration;

use pool_core::{PoolConfig, PoolGuard, Validation};
use pool_testkit::conformance::{Cannot, Feature};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::peer::{Calls, Connection, Derefs, Error, FAR, Gauges, Kind, Manager, Peer, Refused};

pub(crate) struct R2d2 {
    pool: r2d2::Pool<Managed>,
    limit: Duration,
}

/// Our manager in r2d2.
pub(crate) struct Managed(Calls);

/// Our manager's error, as r2d2 wants it.
#[derive(Debug)]
pub(crate) struct Told(Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {}

/// Where our manager's calls wait, whatever becomes of the runtime of a case.
static CALLS: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime can be made")
});

impl r2d2::ManageConnection for Managed {
    type Connection = Connection;
    type Error = Told;

    fn connect(&self) -> Result<Connection, Told> {
        CALLS.block_on(self.0.connect()).map_err(Told)
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), Told> {
        CALLS.block_on(self.0.ping(connection)).map_err(Told)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.0.is_unfit(connection)
    }
}

impl Kind for R2d2 {
    fn lacks(feature: Feature) -> Option<&'static str> {
        Some(match feature {
            Feature::MaxIdle => "r2d2 has no max_idle",
            Feature::MinSize => "r2d2 has min_idle only",
            Feature::Lifetime | Feature::IdleTimeout => {
                "r2d2 looks every 30 s and cannot be told otherwise: longer than a case may take"
            }
            Feature::Reset | Feature::ResetAtReturn => {
                "r2d2 has no reset: what is dirty has broken"
            }
            Feature::Close => "r2d2 has no close (r2d2 #99)",
            Feature::Invalidate => "r2d2 cannot give up a connection that is in use (r2d2 #121)",
            Feature::Counts => "r2d2 has events and gauges, no counts",
            Feature::MaxConnecting => {
                "r2d2 connects on as many threads as it has, which do its other work too"
            }
            Feature::ErrorClasses => "r2d2 has no classes of errors",
            Feature::ValidationByIdleTime => "r2d2 tests each time or never",
            Feature::FreeCheck => "r2d2 looks at has_broken when a connection comes back only",
            _ => return None,
        })
    }

    fn make(manager: Manager, config: &PoolConfig) -> Result<Self, Cannot> {
        let limit = config.acquire_timeout.unwrap_or(FAR);
        if limit.is_zero() {
            return Err(Cannot("r2d2 refuses a timeout of zero when it is built".into()));
        }
        let pool = r2d2::Pool::builder()
            .max_size(config.max_size)
            // Its default is max_size: all are opened at the start. Few want that.
            .min_idle(Some(config.min_idle))
            .test_on_check_out(config.validation != Validation::Never)
            .max_lifetime(config.max_lifetime)
            .idle_timeout(config.idle_timeout)
            .connection_timeout(limit)
            .build_unchecked(Managed(Calls::new(manager)));
        Ok(Self { pool, limit })
    }
}

impl Peer for R2d2 {
    type Connection = Connection;

    async fn get(
        &self,
        within: Option<Option<Duration>>,
    ) -> Result<PoolGuard<Connection>, Refused> {
        let limit = within.unwrap_or(Some(self.limit)).unwrap_or(FAR);
        let (give, take) = oneshot::channel();
        let pool = self.pool.clone();
        let get = move || {
            let got = catch_unwind(AssertUnwindSafe(|| pool.get_timeout(limit)));
            drop(pool);
            // Nobody is there who gave up; then it goes back.
            let _ = give.send(got);
        };
        std::thread::Builder::new().name("r2d2".into()).spawn(get).expect("there is a thread");
        match take.await.expect("the thread answers") {
            Ok(Ok(guard)) => Ok(Derefs::guard(guard, |_| unreachable!("r2d2 lacks it"))),
            Ok(Err(error)) => {
                let mut refused = Refused::timed_out();
                refused.1 = Some(Box::new(error));
                Err(refused)
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    fn gauges(&self) -> Gauges {
        let state = self.pool.state();
        Gauges {
            max_size: self.pool.max_size(),
            idle: state.idle_connections.into(),
            in_use: state.connections.saturating_sub(state.idle_connections).into(),
        }
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::ready(())
    }
}
