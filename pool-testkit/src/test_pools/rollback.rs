//! [`RollbackPool`]: all of one test in one transaction, which is rolled back at its end.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::{
    AcquireError, BoxError, BoxFuture, Cause, CloseReport, Condition, ConnectContext, ErrorClass,
    ManagedPool, Manager, Pool, PoolGuard, Request, Snapshot, Validation,
};

/// How long the end of a test waits for connections to come back and for the rollback.
const END: Duration = Duration::from_secs(10);

/// A pool of one connection for one test: the first checkout opens a transaction, all checkouts
/// share it, in turn, and [`finish`](Self::finish) rolls it back. So tests can run side by side on
/// one database and see nothing of each other.
///
/// Between checkouts nothing is reset: what one part of the test wrote, the next one reads. A
/// checkout waits up to 5 s for the one before, unless it says otherwise; code that holds two
/// connections at once cannot be tested so.
///
/// There is no second transaction: once the connection has broken, was invalidated, or its user
/// panicked, further checkouts fail and say so, since what the test had written is gone.
///
/// ```
/// use pool_core::PoolExt;
/// use pool_testkit::FakeServer;
/// use pool_testkit::test_pools::RollbackPool;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// # let server = FakeServer::new();
/// # let manager = server.manager();
/// let pool = RollbackPool::new(
///     manager,
///     |connection| {
///         Box::pin(async {
///             connection.begin(); // "begin"
///             Ok(())
///         })
///     },
///     |connection| {
///         Box::pin(async {
///             connection.commit(); // "rollback"
///             Ok(())
///         })
///     },
/// )
/// .open_while(|connection| connection.in_transaction()); // optional, see there
///
/// pool.acquire().await.unwrap().write().unwrap();
/// pool.acquire().await.unwrap().query().unwrap(); // in the same transaction
/// pool.finish().await.unwrap();
/// # assert_eq!(server.held(), 0); }
/// ```
pub struct RollbackPool<M: Manager> {
    pool: ManagedPool<InTransaction<M>>,
}

type Act<C> = Arc<dyn for<'a> Fn(&'a mut C) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync>;
type Look<C> = Arc<dyn Fn(&mut C) -> bool + Send + Sync>;

impl<M: Manager> RollbackPool<M> {
    /// A pool over a manager, with what opens a transaction and what rolls it back.
    pub fn new<B, R>(manager: M, begin: B, rollback: R) -> Self
    where
        B: for<'a> Fn(&'a mut M::Connection) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
        R: for<'a> Fn(&'a mut M::Connection) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        Self::over(InTransaction {
            real: Arc::new(manager),
            begin: Arc::new(begin),
            rollback: Arc::new(rollback),
            open_while: None,
            life: Arc::default(),
        })
    }

    /// Notices when the code under test commits or rolls back the test's transaction itself, which
    /// would let it write to the database for good: for backends whose driver knows without a
    /// round trip whether a transaction is open (SQLite's autocommit flag, the status that
    /// PostgreSQL and MySQL send with each answer).
    ///
    /// It is asked at each return and each checkout. Once it says no, further checkouts fail and
    /// so does [`finish`](Self::finish). Code that commits and begins anew within one checkout
    /// goes unnoticed; and without this, all of it does.
    #[must_use]
    pub fn open_while<F>(self, open: F) -> Self
    where
        F: Fn(&mut M::Connection) -> bool + Send + Sync + 'static,
    {
        let manager = self.pool.manager().clone();
        Self::over(InTransaction { open_while: Some(Arc::new(open)), ..manager })
    }

    fn over(manager: InTransaction<M>) -> Self {
        let pool = ManagedPool::builder(manager)
            .name("rollback pool")
            .max_size(1)
            .acquire_timeout(Duration::from_secs(5))
            .close_timeout(END)
            .idle_timeout(None)
            .max_lifetime(None)
            .validation(Validation::Never);
        Self { pool: pool.build().expect("the settings are valid") }
    }

    /// The pool as one of ours, for code that wants that.
    pub fn managed(&self) -> &ManagedPool<InTransaction<M>> {
        &self.pool
    }

    /// Ends the test: waits for the connection to come back, 10 s at most, and for the rollback.
    /// A pool that is dropped instead rolls back in the background and tells nobody how that went.
    ///
    /// # Errors
    /// If the connection is still held, if the rollback failed, or if the code under test ended
    /// the transaction itself.
    pub async fn finish(self) -> Result<(), NotRolledBack> {
        let report = self.pool.close(END + END).await;
        if !report.is_complete() {
            return Err(NotRolledBack(format!("the connection is still held: {report}")));
        }
        self.pool.manager().life().fault.take().map_or(Ok(()), |fault| Err(NotRolledBack(fault)))
    }
}

impl<M: Manager> Pool for RollbackPool<M> {
    type Connection = M::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<M::Connection>, AcquireError>> {
        self.pool.acquire_with(request)
    }

    fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        Pool::close(&self.pool, within)
    }
}

impl<M: Manager> Clone for RollbackPool<M> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone() }
    }
}

impl<M: Manager> fmt::Debug for RollbackPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollbackPool").field("pool", &self.pool).finish()
    }
}

/// Why a test's transaction was not simply rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRolledBack(String);

impl fmt::Display for NotRolledBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRolledBack {}

/// The manager behind a [`RollbackPool`]: of the one inside, one connection, in a transaction.
pub struct InTransaction<M: Manager> {
    real: Arc<M>,
    begin: Act<M::Connection>,
    rollback: Act<M::Connection>,
    open_while: Option<Look<M::Connection>>,
    life: Arc<Mutex<Life>>,
}

/// What became of the transaction.
#[derive(Debug, Default)]
struct Life {
    begun: bool,
    /// What the end of the test has to tell.
    fault: Option<String>,
}

impl<M: Manager> InTransaction<M> {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no transaction any more, if there was one.
    fn over(&self) -> Option<String> {
        let life = self.life();
        let given_up = || "its connection broke, was invalidated, or its user panicked".to_owned();
        life.begun.then(|| life.fault.clone().unwrap_or_else(given_up))
    }

    fn ended_early(&self, connection: &mut M::Connection) -> bool {
        self.open_while.as_ref().is_some_and(|open| !open(connection))
    }
}

impl<M: Manager> Manager for InTransaction<M> {
    type Connection = M::Connection;
    type Error = TransactionError<M::Error>;

    async fn connect(&self, cx: &ConnectContext) -> Result<M::Connection, Self::Error> {
        if let Some(why) = self.over() {
            return Err(TransactionError::Over(why));
        }
        let mut connection = self.real.connect(cx).await.map_err(TransactionError::Real)?;
        if let Err(error) = (self.begin)(&mut connection).await {
            self.real.close(connection).await;
            return Err(TransactionError::Begin(error));
        }
        self.life().begun = true;
        Ok(connection)
    }

    /// Nothing goes over the connection that the test did not send.
    async fn ping(&self, _: &mut M::Connection) -> Result<(), Self::Error> {
        Ok(())
    }

    fn condition(&self, connection: &mut M::Connection) -> Condition {
        if let Condition::Broken(cause) = self.real.condition(connection) {
            return Condition::Broken(cause);
        }
        if self.ended_early(connection) {
            let fault = "the code under test ended the test's transaction: what it committed stays";
            self.life().fault.get_or_insert_with(|| fault.to_owned());
            return Condition::Broken(Cause::Other("transaction ended by the code under test"));
        }
        Condition::Clean // what the test left is for the test to find
    }

    async fn close(&self, mut connection: M::Connection) {
        if !self.ended_early(&mut connection)
            && let Err(error) = (self.rollback)(&mut connection).await
        {
            let fault = format!("the rollback failed: {error}");
            self.life().fault.get_or_insert(fault);
        }
        self.real.close(connection).await;
    }

    fn classify(&self, error: &Self::Error) -> ErrorClass {
        match error {
            TransactionError::Real(error) => self.real.classify(error),
            TransactionError::Begin(_) | TransactionError::Over(_) => ErrorClass::Permanent,
        }
    }
}

impl<M: Manager> Clone for InTransaction<M> {
    fn clone(&self) -> Self {
        Self {
            real: self.real.clone(),
            begin: self.begin.clone(),
            rollback: self.rollback.clone(),
            open_while: self.open_while.clone(),
            life: self.life.clone(),
        }
    }
}

impl<M: Manager> fmt::Debug for InTransaction<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransaction").field("life", &*self.life()).finish_non_exhaustive()
    }
}

/// Why a [`RollbackPool`] has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransactionError<E> {
    /// The manager's own error.
    Real(E),
    /// The transaction could not be opened.
    Begin(BoxError),
    /// The transaction is over before the test is.
    Over(String),
}

impl<E: Into<Self>> From<TransactionError<E>> for BoxError {
    fn from(error: TransactionError<E>) -> Self {
        match error {
            TransactionError::Real(error) => error.into(),
            TransactionError::Begin(error) => {
                format!("the test's transaction could not be opened: {error}").into()
            }
            TransactionError::Over(why) => {
                format!("the test's transaction is over, and there is no second one: {why}").into()
            }
        }
    }
}
