//! sqlx, over SQLite: the suite's faults go into its hooks.
//!
//! sqlx takes no manager, so each SQLite connection gets a twin, a connection of the suite's: it is
//! made in `after_connect`, looked at and pinged in `before_acquire`, looked at and reset in
//! `after_release`, and it ends when SQLite's own connection does, since that owns it (by way of a
//! progress handler that never runs).

use std::collections::HashMap;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use pool_core::{
    BoxError, Builder, Condition, ConnectContext, Guarded, Manager, PoolConfig, PoolGuard, Reset,
    Validation,
};
use pool_testkit::conformance::{Cannot, Feature, Harness, Needs, SharedPool};
use pool_testkit::{FaultyConnection, FaultyManager};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use tempfile::TempDir;

use crate::peer::{Adapted, FAR, Gauges, OURS_ONLY, Peer, Refused, unmet};

/// What the suite holds of a connection.
#[derive(Debug, Default)]
pub(crate) struct Twin(Option<PoolConnection<Sqlite>>);

/// Makes twins. All else is sqlx's.
#[derive(Clone, Debug)]
pub(crate) struct Twins;

impl Manager for Twins {
    type Connection = Twin;
    type Error = BoxError;

    async fn connect(&self, _: &ConnectContext) -> Result<Twin, BoxError> {
        Ok(Twin::default())
    }

    async fn ping(&self, _: &mut Twin) -> Result<(), BoxError> {
        Ok(())
    }
}

type Connection = FaultyConnection<Twin>;
type Slot = Mutex<Option<Connection>>;

/// Where the twins are while nobody uses them.
struct Nursery {
    manager: FaultyManager<Twins>,
    validation: Validation,
    slots: Mutex<HashMap<usize, Weak<Slot>>>,
    ids: AtomicU64,
}

impl Nursery {
    async fn after_connect(&self, real: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let twin = self.manager.connect(&ConnectContext::new(id, FAR)).await;
        let slot = Arc::new(Slot::new(Some(twin.map_err(wrapped)?)));
        let mut handle = real.lock_handle().await?;
        let key = handle.as_raw_handle().as_ptr().addr();
        lock(&self.slots).insert(key, Arc::downgrade(&slot));
        handle.set_progress_handler(i32::MAX, move || {
            let _owned = &slot;
            true
        });
        Ok(())
    }

    async fn before_acquire(
        &self,
        real: &mut SqliteConnection,
        idle_for: Duration,
    ) -> Result<bool, sqlx::Error> {
        let mut twin = self.take(real).await?;
        if self.manager.condition(&mut twin) != Condition::Clean {
            return Ok(false);
        }
        let due = match self.validation {
            Validation::Always => true,
            Validation::IfIdleFor(time) => idle_for >= time,
            _ => false,
        };
        if due {
            self.manager.ping(&mut twin).await.map_err(wrapped)?;
        }
        Ok(true)
    }

    async fn after_release(&self, real: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let mut twin = self.take(real).await?;
        match self.manager.condition(&mut twin) {
            Condition::Clean => Ok(true),
            Condition::Broken(_) => Ok(false),
            Condition::Dirty(cause) => {
                let reset = self.manager.reset(&mut twin, cause).await.map_err(wrapped)?;
                Ok(reset != Reset::Discard)
            }
        }
    }

    async fn take(&self, real: &mut SqliteConnection) -> Result<Taken, sqlx::Error> {
        let key = real.lock_handle().await?.as_raw_handle().as_ptr().addr();
        let slot = lock(&self.slots).get(&key).and_then(Weak::upgrade);
        let slot = slot.expect("each connection has a twin");
        let twin = lock(&slot).take();
        Ok(Taken { twin, slot })
    }
}

/// A twin in use. It goes back where it was.
struct Taken {
    twin: Option<Connection>,
    slot: Arc<Slot>,
}

impl Deref for Taken {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.twin.as_ref().expect("it is in use once at a time")
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut Connection {
        self.twin.as_mut().expect("it is in use once at a time")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *lock(&self.slot) = self.twin.take();
    }
}

struct Guard(Option<Taken>);

impl Guard {
    /// Puts the twin back, and returns the connection, to be dropped.
    fn part(&mut self) -> Option<PoolConnection<Sqlite>> {
        self.0.take().and_then(|mut taken| taken.0.take())
    }
}

impl Guarded<Connection> for Guard {
    fn connection(&self) -> &Connection {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    fn connection_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("it is there until it is dropped")
    }

    fn invalidate(mut self: Box<Self>) {
        if let Some(mut real) = self.part() {
            real.close_on_drop();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.part());
    }
}

struct Sqlx {
    pool: SqlitePool,
    nursery: Arc<Nursery>,
    max_size: u32,
}

impl Peer for Sqlx {
    type Connection = Connection;

    async fn get(&self, _: Option<Option<Duration>>) -> Result<PoolGuard<Connection>, Refused> {
        let mut real = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => Refused::timed_out(),
            sqlx::Error::PoolClosed => Refused::closed(),
            error => Refused::connect(error),
        })?;
        let mut taken = self.nursery.take(&mut real).await.map_err(Refused::connect)?;
        taken.0 = Some(real);
        Ok(PoolGuard::new(Guard(Some(taken))))
    }

    fn gauges(&self) -> Gauges {
        let (size, idle) = (u64::from(self.pool.size()), self.pool.num_idle() as u64);
        Gauges { max_size: self.max_size, idle, in_use: size.saturating_sub(idle) }
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        let pool = self.pool.clone();
        async move { pool.close().await }
    }
}

/// The suite's harness: a database file for each case.
pub(crate) struct OnSqlite(TempDir);

impl Harness for OnSqlite {
    type Manager = Twins;

    async fn new() -> Self {
        Self(TempDir::new().expect("there is room for a file"))
    }

    fn manager(&self) -> Twins {
        Twins
    }

    async fn query(&self, twin: &mut Twin) -> Result<(), BoxError> {
        let real = twin.0.as_mut().expect("it is in use");
        sqlx::query("SELECT 1").execute(&mut **real).await?;
        Ok(())
    }

    /// How often this process has the file open.
    async fn open_connections(&self) -> usize {
        let files = std::fs::read_dir("/proc/self/fd").expect("there is such a folder");
        let open = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        open.filter(|path| *path == self.file()).count()
    }

    fn managed(&self, _: FaultyManager<Twins>) -> Result<Builder<FaultyManager<Twins>>, Cannot> {
        Err(Cannot(OURS_ONLY.into()))
    }

    async fn pool(
        &self,
        manager: FaultyManager<Twins>,
        config: PoolConfig,
    ) -> Result<SharedPool<Self>, Cannot> {
        unmet(&config, lacks)?;
        let nursery = Arc::new(Nursery {
            manager,
            validation: config.validation,
            slots: Mutex::default(),
            ids: AtomicU64::new(1),
        });
        let [connect, acquire, release] = [nursery.clone(), nursery.clone(), nursery.clone()];
        let pool = SqlitePoolOptions::new()
            .max_connections(config.max_size)
            .min_connections(config.min_size)
            .acquire_timeout(config.acquire_timeout.unwrap_or(FAR))
            .max_lifetime(config.max_lifetime)
            .idle_timeout(config.idle_timeout)
            .test_before_acquire(config.validation == Validation::Always)
            .after_connect(move |real, _| {
                let nursery = connect.clone();
                Box::pin(async move { nursery.after_connect(real).await })
            })
            .before_acquire(move |real, meta| {
                let nursery = acquire.clone();
                Box::pin(async move { nursery.before_acquire(real, meta.idle_for).await })
            })
            .after_release(move |real, _| {
                let nursery = release.clone();
                Box::pin(async move { nursery.after_release(real).await })
            });
        let file = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        let pool = if config.min_size > 0 {
            // A lazy pool opens its minimum some day only.
            let pool = pool.connect_with(file).await;
            pool.map_err(|error| Cannot(error.to_string()))?
        } else {
            pool.connect_lazy_with(file)
        };
        Ok(Adapted::shared(Sqlx { pool, nursery, max_size: config.max_size }))
    }

    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        lacks(feature)
    }
}

impl OnSqlite {
    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("test.db")
    }
}

/// What the harness cannot do: groups of cases.
pub(crate) fn group(needs: Needs) -> Option<&'static str> {
    match needs {
        Needs::BreakConnection => Some("the adapter cannot cut a connection to a file"),
        Needs::Transactions => {
            Some("the adapter cannot hold sqlx's Transaction, which rolls back when it is dropped")
        }
        Needs::SessionState => Some("sqlx does not promise to clear session state"),
        _ => None,
    }
}

fn lacks(feature: Feature) -> Option<&'static str> {
    Some(match feature {
        Feature::TimeoutPerAcquire => "sqlx has one timeout for the whole pool",
        Feature::MinIdle => "sqlx has min_connections only, which counts those in use (sqlx #1472)",
        Feature::MaxIdle => "sqlx has no max_idle",
        Feature::Counts => "sqlx has gauges, no counts (sqlx #1860)",
        Feature::BackgroundConnects => "sqlx connects in its callers (sqlx #3132)",
        Feature::MaxConnecting => "sqlx has no limit on connects at once",
        Feature::ErrorClasses => {
            "the adapter's connect errors come from after_connect, and sqlx tries all those again"
        }
        Feature::LastError => "sqlx says PoolTimedOut and no cause (sqlx #3808)",
        Feature::Lifo => "sqlx reuses the connection first that came back first",
        _ => return None,
    })
}

fn wrapped(error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Configuration(error.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
