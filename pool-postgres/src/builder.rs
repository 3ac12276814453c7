//! [`PgBuilder`]: the settings of a pool.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{BoxError, ManagedPool, Metrics, PoolConfig, Validation};
use pool_sql::{Observers, StatementObserver};

use crate::common::{Common, Profile, ResetLevel, StatementCounts};
use crate::error::{PgError, PgErrorKind};
use crate::front::Front;
use crate::manager::{AskCredentials, PgCredentials, PgManager, Seen, Warn};
use crate::options::{PgOptions, SslMode};
use crate::pool::PgPool;
use crate::server::PgShortage;

/// Statements that a connection keeps prepared.
const STATEMENT_CACHE: usize = 256;
/// Supabase's port for its pooler in transaction mode.
const SUPABASE_POOLER_PORT: u16 = 6543;

type Change =
    Box<dyn FnOnce(pool_core::Builder<PgManager>) -> pool_core::Builder<PgManager> + Send>;

/// A [`PgPool`] in the making.
#[must_use = "nothing is opened until it is built"]
pub struct PgBuilder {
    config: PoolConfig,
    options: PgOptions,
    profile: Profile,
    reset: ResetLevel,
    statement_cache: usize,
    credentials: Option<AskCredentials>,
    warn: Option<Warn>,
    metrics: Vec<Arc<dyn Metrics>>,
    changes: Vec<Change>,
    observers: Observers,
}

impl PgBuilder {
    /// By URL or key-value string, with parameters: see [`crate::url`].
    ///
    /// # Errors
    /// All parameters that make no sense, with what would be right.
    pub fn url(url: &str) -> Result<Self, PgError> {
        Ok(Self::new(crate::url::parse(url)?))
    }

    /// By options.
    pub fn new(options: PgOptions) -> Self {
        Self {
            config: PoolConfig::new().name("postgres"),
            options: PgOptions::default(),
            profile: Profile::Direct,
            reset: ResetLevel::default(),
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
    fn take(mut self, options: PgOptions) -> Self {
        let (max_size, pooler) = (options.max_size, options.pooler);
        self.statement_cache = options.statement_cache.unwrap_or(self.statement_cache);
        self.options = options;
        if let Some(max_size) = max_size {
            self = self.max_size(max_size);
        }
        match pooler {
            Some(true) => self.profile(Profile::Pooler),
            Some(false) => self.profile(Profile::Direct),
            None => self,
        }
    }

    /// For a database at Supabase: TLS is required, 2 to 8 connections, and by the port the
    /// profile: 6543 is its pooler in transaction mode.
    ///
    /// # Errors
    /// As [`url`](Self::url).
    pub fn supabase(url: &str) -> Result<Self, PgError> {
        let mut options = crate::url::parse(url)?;
        if matches!(options.sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) {
            options = options.sslmode(SslMode::Require);
        }
        let pooler = options.hosts.iter().any(|host| host.port == SUPABASE_POOLER_PORT);
        let (profile, max_size) = (options.pooler.unwrap_or(pooler), options.max_size.unwrap_or(8));
        let profile = if profile { Profile::Pooler } else { Profile::Direct };
        let builder = Self::new(options).profile(profile);
        Ok(builder.config(|config| config.min_size(2).max_size(max_size)))
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
    pub fn options(mut self, change: impl FnOnce(PgOptions) -> PgOptions) -> Self {
        // What they said before was taken.
        let mut options = std::mem::take(&mut self.options);
        (options.max_size, options.statement_cache, options.pooler) = (None, None, None);
        self.take(change(options))
    }

    /// What is between here and the server. Default: nothing; `pgbouncer=true` in the URL is
    /// [`Profile::Pooler`], which also keeps no connections open that nobody uses for long.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        match profile {
            // The pooler keeps them; to open one to it takes a fraction of a millisecond.
            Profile::Pooler => self.config(|config| config.idle_timeout(Duration::from_secs(30))),
            Profile::Direct => self,
        }
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

    /// How many statements each connection keeps prepared. Default: 256; 0 keeps none.
    pub fn statement_cache(mut self, statements: usize) -> Self {
        self.statement_cache = statements;
        self
    }

    /// Asks for credentials at each connect: for tokens that expire, for passwords that rotate.
    /// What fails is tried again like any other connect; its text is not repeated, since it may hold
    /// the secret.
    pub fn credentials<F, C>(mut self, ask: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<PgCredentials, BoxError>> + Send + 'static,
    {
        self.credentials = Some(Arc::new(move || Box::pin(ask())));
        self
    }

    /// Is told, with the arithmetic, when the server turns out to have no room for the whole pool;
    /// once, and again when the limits change. [`PgPool::shortage`] tells it too.
    pub fn on_shortage<F>(mut self, warn: F) -> Self
    where
        F: Fn(&PgShortage) + Send + Sync + 'static,
    {
        self.warn = Some(Arc::new(warn));
        self
    }

    /// Changes how the pool itself is made: with hooks, or on another runtime. What a hook does to a
    /// session is no user's leavings, and a reset does it again. (Behind a pooler in transaction mode it
    /// is the next session's a transaction later.)
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pool_postgres::PgPool;
    ///
    /// let pool = PgPool::builder("postgres://app@localhost/media")?
    ///     .pool(|pool| {
    ///         pool.after_connect_async(|connection| {
    ///             Box::pin(async { Ok(connection.batch_execute("SET search_path TO media").await?) })
    ///         })
    ///     })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn pool<F>(mut self, change: F) -> Self
    where
        F: FnOnce(pool_core::Builder<PgManager>) -> pool_core::Builder<PgManager> + Send + 'static,
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
    pub async fn build(self) -> Result<PgPool, PgError> {
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
    pub fn build_unchecked(mut self) -> Result<PgPool, PgError> {
        let config = std::mem::replace(&mut self.config, PoolConfig::new());
        let metrics = std::mem::take(&mut self.metrics);
        let changes = std::mem::take(&mut self.changes);
        config.validate()?;
        let manager = self.max_size(config.max_size).manager()?;
        let builder = ManagedPool::builder(manager).config(config);
        let builder = changes.into_iter().fold(builder, |builder, change| change(builder));
        let inner = metrics.into_iter().fold(builder, pool_core::Builder::metrics).build()?;
        Ok(PgPool { inner })
    }

    /// The manager alone: for a pool of your own over PostgreSQL connections. Of what is set here
    /// all that is about connections counts, and `max_size`, for the warning.
    ///
    /// # Errors
    /// If the settings make no sense, or a file with certificates cannot be read.
    pub fn manager(self) -> Result<PgManager, PgError> {
        let is_pooled = self.profile == Profile::Pooler;
        if is_pooled && self.options.options.is_some() {
            let text = "a pooler in transaction mode takes no `options`: the settings would be \
                        somebody else's a transaction later; set them for the role, by ALTER ROLE \
                        .. SET ..";
            return Err(PgError::text(PgErrorKind::Config, text));
        }
        let common = Common {
            front: Front::new(self.options, is_pooled)?,
            observers: self.observers,
            profile: self.profile,
            reset: self.reset,
            statement_cache: self.statement_cache,
            statements: StatementCounts::default(),
        };
        Ok(PgManager {
            common: Arc::new(common),
            credentials: self.credentials,
            warn: self.warn,
            seen: Mutex::new(Seen { max_size: self.config.max_size, ..Seen::default() }),
        })
    }
}

impl std::fmt::Debug for PgBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgBuilder")
            .field("config", &self.config)
            .field("options", &self.options)
            .field("profile", &self.profile)
            .field("reset", &self.reset)
            .finish_non_exhaustive()
    }
}
