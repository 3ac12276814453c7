//! [`AnyPool`]: a pool for whichever database its URL names.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pool_config::{Backend, Loader};
use pool_core::{PoolConfig, PoolView, Reconfigured};
use pool_sql::Dialect;

use crate::acquire::{AnyAcquire, Asking};
use crate::builder::AnyBuilder;
use crate::error::AnyError;
use crate::snapshot::{AnyCloseReport, AnySnapshot, Side};

one_of! {
    #[derive(Clone, Debug)]
    Pool { pool_sqlite::SqlitePool, pool_postgres::PgPool, pool_mysql::MySqlPool }
}

/// A pool for whichever database its URL names. Cheap to clone.
///
/// One with settings beyond those of a URL is made by an [`AnyBuilder`], or by the backend's own
/// builder, and then `.into()`.
#[derive(Clone)]
pub struct AnyPool(Pool);

impl AnyPool {
    /// Makes a pool by URL, and waits until a connection is open. The scheme says which database:
    /// `sqlite:`, `file:` or `:memory:`; `postgres:` or `postgresql:`; `mysql:` or `mariadb:`. The
    /// pool's own parameters are known on all of them (`?max_size=20&idle_timeout=5m`, see
    /// [`pool_config`]); the others are the backend's.
    ///
    /// # Errors
    /// [`Config`](crate::AnyErrorKind::Config) for a scheme that is not known, or whose feature is
    /// off; all parameters that make no sense; or that no connection can be opened within the
    /// `acquire_timeout`. The URL is never part of it.
    pub async fn connect(url: &str) -> Result<Self, AnyError> {
        AnyBuilder::new(Loader::new().url(url))?.build().await
    }

    /// Makes a pool by what the environment says: `DATABASE_URL`, or `SQLITE_DB_PATH`, or whichever
    /// of them `DATABASE_MODE` chooses, and every setting of the pool: see [`pool_config`]. For
    /// other sources, and to see where each setting comes from, there is [`AnyBuilder`].
    ///
    /// # Errors
    /// As [`connect`](Self::connect); and that no database is named.
    pub async fn from_env() -> Result<Self, AnyError> {
        AnyBuilder::new(Loader::new().env())?.build().await
    }

    /// Takes a connection that may write. On SQLite that is the one writer.
    #[track_caller]
    pub fn acquire(&self) -> AnyAcquire<'_> {
        self.write()
    }

    /// Takes a connection that reads: on SQLite one of those that only do, elsewhere any.
    #[track_caller]
    pub fn read(&self) -> AnyAcquire<'_> {
        #[cfg(feature = "sqlite")]
        #[allow(irrefutable_let_patterns)]
        if let Pool::Sqlite(pool) = &self.0 {
            return AnyAcquire(Asking::Sqlite(pool.read()));
        }
        self.write()
    }

    /// Takes a connection that writes: as [`acquire`](Self::acquire).
    #[track_caller]
    pub fn write(&self) -> AnyAcquire<'_> {
        AnyAcquire(match &self.0 {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(pool) => Asking::Sqlite(pool.write()),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => Asking::Postgres(pool.acquire()),
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => Asking::MySql(pool.acquire()),
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Pool::Never(never, _) => match *never {},
        })
    }

    /// The pool at this moment, side by side.
    pub fn snapshot(&self) -> AnySnapshot {
        let sides = match &self.0 {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(pool) => {
                let both = pool.snapshot();
                match both.read {
                    Some(read) => vec![(Side::Write, both.write), (Side::Read, read)],
                    None => vec![(Side::Both, both.write)],
                }
            }
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => vec![(Side::Both, pool.snapshot())],
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => vec![(Side::Both, pool.snapshot())],
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Pool::Never(never, _) => match *never {},
        };
        AnySnapshot { backend: self.backend().as_str(), sides }
    }

    /// The pool's sides as others look at them, without holding it open: those of
    /// [`snapshot`](Self::snapshot), in that order.
    pub fn views(&self) -> Vec<PoolView> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(pool) => pool.views(),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => vec![pool.view()],
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => vec![pool.view()],
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Pool::Never(never, _) => match *never {},
        }
    }

    /// How hard the pool is pressed, 0 to 1; of two sides the harder pressed. See
    /// [`Snapshot::pressure`](pool_core::Snapshot::pressure).
    pub fn pressure(&self) -> f64 {
        each!(Pool, &self.0, pool => pool.pressure())
    }

    /// The settings by which the pool goes now; on SQLite those of both sides together.
    pub fn config(&self) -> Arc<PoolConfig> {
        each!(Pool, &self.0, pool => pool.config())
    }

    /// Goes by other settings from now on, as far as that can be done without building the pool
    /// anew, and says what changed and what needs a restart.
    ///
    /// # Errors
    /// If settings make no sense; then nothing is changed.
    pub fn reconfigure(&self, new: &PoolConfig) -> Result<Reconfigured, AnyError> {
        each!(Pool, &self.0, pool => Ok(pool.reconfigure(new)?))
    }

    /// Closes the pool: acquires fail from this call on, spare connections close, and the future
    /// waits at most this long for those in use. It need not be awaited.
    pub fn close(&self, within: Duration) -> impl Future<Output = AnyCloseReport> + Send + use<> {
        type Closing = Pin<Box<dyn Future<Output = AnyCloseReport> + Send>>;
        let closing: Closing = match &self.0 {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(pool) => {
                let closing = pool.close(within);
                Box::pin(async move {
                    let both = closing.await;
                    AnyCloseReport::new(match both.read {
                        Some(read) => vec![(Side::Write, both.write), (Side::Read, read)],
                        None => vec![(Side::Both, both.write)],
                    })
                })
            }
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => {
                let closing = pool.close(within);
                Box::pin(async move { AnyCloseReport::new(vec![(Side::Both, closing.await)]) })
            }
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => {
                let closing = pool.close(within);
                Box::pin(async move { AnyCloseReport::new(vec![(Side::Both, closing.await)]) })
            }
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Pool::Never(never, _) => match *never {},
        };
        closing
    }

    /// Which database it is for.
    pub fn backend(&self) -> Backend {
        match self.dialect() {
            Dialect::Sqlite => Backend::Sqlite,
            Dialect::MySql => Backend::MySql,
            _ => Backend::Postgres,
        }
    }

    /// The SQL that it speaks.
    pub fn dialect(&self) -> Dialect {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Pool::Postgres(_) => Dialect::Postgres,
            #[cfg(feature = "mysql")]
            Pool::MySql(_) => Dialect::MySql,
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Pool::Never(never, _) => match *never {},
        }
    }

    downcasts! {
        /// The backend's own pool, if it is that.
        Pool, pool_sqlite::SqlitePool, pool_postgres::PgPool, pool_mysql::MySqlPool
    }
}

#[cfg(feature = "sqlite")]
impl From<pool_sqlite::SqlitePool> for AnyPool {
    fn from(pool: pool_sqlite::SqlitePool) -> Self {
        Self(Pool::Sqlite(pool))
    }
}

#[cfg(feature = "postgres")]
impl From<pool_postgres::PgPool> for AnyPool {
    fn from(pool: pool_postgres::PgPool) -> Self {
        Self(Pool::Postgres(pool))
    }
}

#[cfg(feature = "mysql")]
impl From<pool_mysql::MySqlPool> for AnyPool {
    fn from(pool: pool_mysql::MySqlPool) -> Self {
        Self(Pool::MySql(pool))
    }
}

impl fmt::Debug for AnyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(Pool, &self.0, pool => f.debug_tuple("AnyPool").field(pool).finish())
    }
}
