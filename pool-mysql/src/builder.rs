//! [`MySqlBuilder`]: the settings of a pool.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{BoxError, ManagedPool, Metrics, PoolConfig, Validation};
use pool_sql::{Observers, StatementObserver};
use tokio::sync::Semaphore;

use crate::common::{Common, ResetLevel, SIDE_CONNECTIONS, StatementCounts};
use crate::error::MySqlError;
use crate::front::Front;
use crate::manager::{AskCredentials, MySqlCredentials, MySqlManager, Seen, Warn};
use crate::options::MySqlOptions;
use crate::pool::MySqlPool;
use crate::server::{MySqlWarning, Wishes};

/// Statements that a connection keeps prepared.
const STATEMENT_CACHE: usize = 256;

type Change =
    Box<dyn FnOnce(pool_core::Builder<MySqlManager>) -> pool_core::Builder<MySqlManager> + Send>;

/// A [`MySqlPool`] in the making.
#[must_use = "nothing is opened until it is built"]
pub struct MySqlBuilder {
    config: PoolConfig,
    options: MySqlOptions,
    reset: ResetLevel,
    kills: bool,
    statement_cache: usize,
    credentials: Option<AskCredentials>,
    warn: Option<Warn>,
    metrics: Vec<Arc<dyn Metrics>>,
    changes: Vec<Change>,
    observers: Observers,
}

impl MySqlBuilder {
    /// By URL, with parameters: see [`crate::url`].
    ///
    /// # Errors
    /// All parameters that make no sense, with what would be right.
    pub fn url(url: &str) -> Result<Self, MySqlError> {
        Ok(Self::new(crate::url::parse(url)?))
    }

    /// By options.
    pub fn new(options: MySqlOptions) -> Self {
        Self {
            config: PoolConfig::new().name("mysql"),
            options: MySqlOptions::default(),
            reset: ResetLevel::default(),
            kills: true,
            statement_cache: STATEMENT_CACHE,
            credentials: None,
            warn: None,
            metrics: Vec::new(),
            changes: Vec::new(),
            observers: Observers::default(),
        }
        .take(options)
    }

    /// What the options say about the pool counts from here on, as if it were set here.
    fn take(mut self, options: MySqlOptions) -> Self {
        let max_size = options.max_size;
        self.statement_cache = options.statement_cache.unwrap_or(self.statement_cache);
        self.options = options;
        match max_size {
            Some(max_size) => self.max_size(max_size),
            None => self,
        }
    }

    /// How many connections there are at most. Default: 10.
    pub fn max_size(self, max_size: u32) -> Self {
        self.config(|config| config.max_size(max_size))
    }

    /// How long an acquire takes at most. Default: 30 s.
    pub fn acquire_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.acquire_timeout(timeout))
    }

    /// Changes any setting of the pool.
    pub fn config(mut self, change: impl FnOnce(PoolConfig) -> PoolConfig) -> Self {
        self.config = change(self.config);
        self
    }

    /// Changes how connections are made.
    pub fn options(mut self, change: impl FnOnce(MySqlOptions) -> MySqlOptions) -> Self {
        // What they said before was taken.
        let mut options = std::mem::take(&mut self.options);
        (options.max_size, options.statement_cache) = (None, None);
        self.take(change(options))
    }

    /// What is cleared when a connection comes back. Default: [`ResetLevel::Verified`].
    /// [`Fast`](ResetLevel::Fast) also turns the ping of idle connections off, as
    /// [`Validation::Never`] does.
    pub fn reset_level(mut self, reset: ResetLevel) -> Self {
        self.reset = reset;
        match reset {
            ResetLevel::Fast => self.config(|config| config.validation(Validation::Never)),
            _ => self,
        }
    }

    /// How many statements each connection keeps prepared, at least one. Default: 256, or fewer if
    /// those of all connections would be more than the server keeps (`max_prepared_stmt_count`).
    pub fn statement_cache(mut self, statements: usize) -> Self {
        self.statement_cache = statements;
        self
    }

    /// Whether a statement whose future was dropped is ended on the server, by `KILL` through a side
    /// connection, of which there are at most two at once. Default: yes. If not, it runs on until the
    /// server finds out that nobody waits, with what it has locked. The same where the server has no
    /// room for a side connection. Nothing is killed on another server than its own, to which a
    /// balancer may lead.
    pub fn kill_abandoned(mut self, on: bool) -> Self {
        self.kills = on;
        self
    }

    /// Asks for credentials at each connect: for tokens that expire, for passwords that rotate.
    /// What fails is tried again like any other connect; its text is not repeated, since it may hold
    /// the secret.
    pub fn credentials<F, C>(mut self, ask: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<MySqlCredentials, BoxError>> + Send + 'static,
    {
        self.credentials = Some(Arc::new(move || Box::pin(ask())));
        self
    }

    /// Is told, with the arithmetic, when the server turns out not to go together with the pool: too
    /// few connections, a `wait_timeout` below the pool's own times, too few prepared statements.
    /// Once, and again when the limits change. [`MySqlPool::warnings`] tells it too.
    pub fn on_warning<F>(mut self, warn: F) -> Self
    where
        F: Fn(&MySqlWarning) + Send + Sync + 'static,
    {
        self.warn = Some(Arc::new(warn));
        self
    }

    /// Changes how the pool itself is made: with hooks, or on another runtime. What a hook does to a
    /// session is no user's leavings, and a reset does it again.
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pool_mysql::MySqlPool;
    ///
    /// let pool = MySqlPool::builder("mysql://app@localhost/media")?
    ///     .pool(|pool| {
    ///         pool.after_connect_async(|connection| {
    ///             Box::pin(async { Ok(connection.query_drop("SET NAMES latin1").await?) })
    ///         })
    ///     })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn pool<F>(mut self, change: F) -> Self
    where
        F: FnOnce(pool_core::Builder<MySqlManager>) -> pool_core::Builder<MySqlManager>
            + Send
            + 'static,
    {
        self.changes.push(Box::new(change));
        self
    }

    /// Is told what happens in the pool. There may be several.
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics.push(metrics);
        self
    }

    /// Is told of every statement, and of the end of every transaction.
    pub fn observer(mut self, observer: Arc<dyn StatementObserver>) -> Self {
        self.observers = self.observers.with(observer);
        self
    }

    /// Makes the pool and waits until it is ready: its minimums are open, or one connection if there
    /// are none.
    ///
    /// # Errors
    /// If the settings make no sense, or no connection can be opened within the `acquire_timeout`
    /// (if that is zero, the `connect_timeout`).
    pub async fn build(self) -> Result<MySqlPool, MySqlError> {
        let pool = self.build_unchecked()?;
        pool.ready().await?;
        if pool.snapshot().open() == 0 {
            let (config, first) = (pool.config(), pool.acquire().operation("first connection"));
            drop(match config.acquire_timeout {
                Some(Duration::ZERO) => first.within(config.connect_timeout).await?,
                _ => first.await?,
            });
        }
        Ok(pool)
    }

    /// Makes the pool without opening anything: whether the server is there is found out by the
    /// first acquire.
    ///
    /// # Errors
    /// If the settings make no sense.
    pub fn build_unchecked(mut self) -> Result<MySqlPool, MySqlError> {
        let metrics = std::mem::take(&mut self.metrics);
        let changes = std::mem::take(&mut self.changes);
        let config = self.config.clone();
        config.validate()?;
        let builder = ManagedPool::builder(self.manager()?).config(config);
        let builder = changes.into_iter().fold(builder, |builder, change| change(builder));
        let inner = metrics.into_iter().fold(builder, pool_core::Builder::metrics).build()?;
        Ok(MySqlPool { inner })
    }

    /// The manager alone: for a pool of your own over MySQL connections. Of what is set here all
    /// that is about connections counts, and of the pool's settings what the server may warn of.
    ///
    /// # Errors
    /// If the settings make no sense, or a file with certificates cannot be read.
    pub fn manager(self) -> Result<MySqlManager, MySqlError> {
        let wishes = Wishes::new(&self.config, self.statement_cache);
        let set_up = self.options.set_up_statements();
        let common = Common {
            front: Front::new(self.options)?,
            observers: self.observers,
            set_up,
            reset: self.reset,
            kills: self.kills,
            side: Semaphore::new(SIDE_CONNECTIONS),
            statements: StatementCounts::default(),
        };
        Ok(MySqlManager {
            common: Arc::new(common),
            credentials: self.credentials,
            warn: self.warn,
            seen: Mutex::new(Seen { wishes, server: None, warnings: Vec::new() }),
        })
    }
}

impl std::fmt::Debug for MySqlBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MySqlBuilder")
            .field("config", &self.config)
            .field("options", &self.options)
            .field("reset", &self.reset)
            .field("kill_abandoned", &self.kills)
            .finish_non_exhaustive()
    }
}
