//! [`AnyBuilder`]: from settings to a pool; the one place where a backend's builder is made.

use std::sync::Arc;

use pool_config::{Backend, Database, Loaded, Loader, Setting, Source, SslMode};
use pool_core::{Metrics, PoolConfig};
use pool_sql::StatementObserver;

use crate::error::AnyError;
use crate::pool::AnyPool;

one_of! {
    #[derive(Debug)]
    Making { pool_sqlite::SqliteBuilder, pool_postgres::PgBuilder, pool_mysql::MySqlBuilder }
}

/// An [`AnyPool`] in the making, by settings from everywhere: see [`Loader`].
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use pool_any::{AnyBuilder, Loader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pool_any::AnyError> {
/// let loader = Loader::new().env_from([
///     ("DATABASE_URL", "sqlite::memory:"),
///     ("DB_POOL_ACQUIRE_TIMEOUT", "5s"),
/// ]);
/// let builder = AnyBuilder::new(loader)?;
/// println!("{}", builder.loaded()); // every setting and where it comes from
/// let pool = builder.build().await?;
/// # pool.close(std::time::Duration::from_secs(5)).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is opened until it is built"]
pub struct AnyBuilder {
    making: Making,
    loaded: Loaded,
    #[cfg(feature = "metrics")]
    monitor: Option<pool_metrics::Monitor>,
}

impl AnyBuilder {
    /// By settings, over what the backend of the database that they name has by itself.
    ///
    /// `ssl_mode` counts over what the URL says of TLS if its source does. MySQL has no word for
    /// `allow`, which is `preferred` there; an SQLite file has no use for it.
    ///
    /// # Errors
    /// [`Config`](crate::AnyErrorKind::Config): all that makes no sense, at once; that no database is
    /// named, or one whose feature is off.
    pub fn new(loader: Loader) -> Result<Self, AnyError> {
        let mut begun = None;
        let loaded = loader.load_onto(|database| {
            let (making, base) = match database.map(begin) {
                Some(Ok((making, base))) => (Ok(making), base),
                Some(Err(error)) => (Err(error), PoolConfig::default()),
                None => return PoolConfig::default(),
            };
            begun = Some(making);
            base
        })?;
        // What is odd may be why no database is named.
        let making = begun.unwrap_or_else(|| {
            let why = loaded.warnings.join("; ");
            Err(AnyError::config(format!("{NO_DATABASE}; {why}").trim_end_matches("; ")))
        })?;
        let making = match loaded.ssl_mode() {
            Some(mode) if !matches!(loaded.source(Setting::SslMode), Source::Url(_)) => {
                with_ssl_mode(making, mode)?
            }
            _ => making,
        };
        let config = loaded.config.clone();
        let making = each_into!(Making, making, it => Making(it.config(|_| config)));
        let builder = Self {
            making,
            loaded,
            #[cfg(feature = "metrics")]
            monitor: None,
        };
        #[cfg(feature = "metrics")]
        let builder = builder.logged();
        Ok(builder)
    }

    /// All settings, where each comes from, and what is odd about them.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Which database it is for.
    pub fn backend(&self) -> Backend {
        self.loaded.database.as_ref().map_or(Backend::Sqlite, |database| database.backend)
    }

    /// Changes what only SQLite has, if it is that.
    #[cfg(feature = "sqlite")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
    pub fn sqlite(
        mut self,
        change: impl FnOnce(pool_sqlite::SqliteBuilder) -> pool_sqlite::SqliteBuilder,
    ) -> Self {
        #[allow(irrefutable_let_patterns)]
        if let Making::Sqlite(builder) = self.making {
            self.making = Making::Sqlite(change(builder));
        }
        self
    }

    /// Changes what only PostgreSQL has, if it is that.
    #[cfg(feature = "postgres")]
    #[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
    pub fn postgres(
        mut self,
        change: impl FnOnce(pool_postgres::PgBuilder) -> pool_postgres::PgBuilder,
    ) -> Self {
        #[allow(irrefutable_let_patterns)]
        if let Making::Postgres(builder) = self.making {
            self.making = Making::Postgres(change(builder));
        }
        self
    }

    /// Changes what only MySQL has, if it is that.
    #[cfg(feature = "mysql")]
    #[cfg_attr(docsrs, doc(cfg(feature = "mysql")))]
    pub fn mysql(
        mut self,
        change: impl FnOnce(pool_mysql::MySqlBuilder) -> pool_mysql::MySqlBuilder,
    ) -> Self {
        #[allow(irrefutable_let_patterns)]
        if let Making::MySql(builder) = self.making {
            self.making = Making::MySql(change(builder));
        }
        self
    }

    /// Is told what happens in the pool. There may be several.
    pub fn metrics(self, metrics: Arc<dyn Metrics>) -> Self {
        let making = each_into!(Making, self.making, it => Making(it.metrics(metrics)));
        Self { making, ..self }
    }

    /// Is told of every statement, and of the end of every transaction.
    pub fn observer(self, observer: Arc<dyn StatementObserver>) -> Self {
        let making = each_into!(Making, self.making, it => Making(it.observer(observer)));
        Self { making, ..self }
    }

    /// Lets a monitor watch the pool, under the pool's name, and be told of it and its statements;
    /// unless the settings say that no metrics are wanted.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn monitor(self, monitor: &pool_metrics::Monitor) -> Self {
        if !self.loaded.metrics() {
            return self;
        }
        let builder = self.metrics(monitor.metrics()).observer(monitor.statements_observer());
        Self { monitor: Some(monitor.clone()), ..builder }
    }

    /// With the log that the settings ask for, if they do.
    #[cfg(feature = "metrics")]
    fn logged(self) -> Self {
        use pool_config::LogLevel;
        use tracing::Level;

        let of_statements = match self.loaded.log_level() {
            None | Some(LogLevel::Silent) => None,
            Some(LogLevel::Error) => Some(Level::ERROR),
            Some(LogLevel::Warn) => Some(Level::WARN),
            Some(LogLevel::Info) => Some(Level::INFO),
            Some(_) => Some(Level::DEBUG),
        };
        let of_events = if self.loaded.log_events() { Some(Level::DEBUG) } else { of_statements };
        let log = |level| Arc::new(pool_metrics::Log::up_to(level));
        let builder = match of_events {
            Some(level) => self.metrics(log(level)),
            None => self,
        };
        match of_statements {
            Some(level) => builder.observer(log(level)),
            None => builder,
        }
    }

    /// Makes the pool and waits until it is ready: its minimums are open, or one connection if there
    /// are none.
    ///
    /// # Errors
    /// If no connection can be opened within the `acquire_timeout` (if that is zero, the
    /// `connect_timeout`).
    pub async fn build(self) -> Result<AnyPool, AnyError> {
        let pool: AnyPool = each!(Making, self.making, builder => builder.build().await?.into());
        #[cfg(feature = "metrics")]
        if let Some(monitor) = self.monitor {
            monitor.watch(&self.loaded.config.name, pool.views());
        }
        Ok(pool)
    }
}

const NO_DATABASE: &str = "no database is named: set DATABASE_URL to a URL that begins with sqlite:, \
    postgres: or mysql:";

/// The backend's builder, and its own settings.
fn begin(database: &Database) -> Result<(Making, PoolConfig), AnyError> {
    let url = database.url.expose();
    let making = match database.backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => Making::Sqlite(pool_sqlite::SqliteBuilder::url(url)?),
        #[cfg(feature = "postgres")]
        Backend::Postgres if database.is_supabase => {
            Making::Postgres(pool_postgres::PgBuilder::supabase(url)?)
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres => Making::Postgres(pool_postgres::PgBuilder::url(url)?),
        #[cfg(feature = "mysql")]
        Backend::MySql => Making::MySql(pool_mysql::MySqlBuilder::url(url)?),
        #[allow(unreachable_patterns)]
        backend => return Err(AnyError::config(no_such_feature(backend))),
    };
    let mut own = PoolConfig::default();
    let look = |config: PoolConfig| {
        own = config.clone();
        config
    };
    let making = each_into!(Making, making, it => Making(it.config(look)));
    Ok((making, own))
}

fn no_such_feature(backend: Backend) -> String {
    format!(
        "the database URL is for {backend}, and that is not compiled in; add the feature: \
         pool-any = {{ features = [\"{backend}\"] }}"
    )
}

fn with_ssl_mode(making: Making, mode: SslMode) -> Result<Making, AnyError> {
    let word = mode.as_str();
    Ok(match making {
        #[cfg(feature = "sqlite")]
        Making::Sqlite(builder) => {
            let _ = word; // it is a file
            Making::Sqlite(builder)
        }
        #[cfg(feature = "postgres")]
        Making::Postgres(builder) => {
            let mode = word.parse::<pool_postgres::SslMode>()?;
            Making::Postgres(builder.options(|options| options.sslmode(mode)))
        }
        #[cfg(feature = "mysql")]
        Making::MySql(builder) => {
            let mode = word.parse::<pool_mysql::SslMode>()?;
            Making::MySql(builder.options(|options| options.ssl_mode(mode)))
        }
        #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
        Making::Never(never, _) => match never {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_is_off_says_how_to_turn_it_on() {
        let text = no_such_feature(Backend::MySql);
        assert_eq!(
            text,
            "the database URL is for mysql, and that is not compiled in; add the feature: \
             pool-any = { features = [\"mysql\"] }"
        );
    }

    /// Of this build: with all features, with one, with none.
    #[tokio::test]
    async fn a_backend_connects_or_names_its_feature() {
        for (url, is_there) in [
            (":memory:", cfg!(feature = "sqlite")),
            (
                "postgres://me:secret@127.0.0.1:1/db?connect_timeout=nonsense",
                cfg!(feature = "postgres"),
            ),
            ("mysql://me:secret@127.0.0.1:1/db?nonsense=1", cfg!(feature = "mysql")),
        ] {
            let text = match AnyPool::connect(url).await {
                Ok(pool) => {
                    assert!(is_there && url == ":memory:");
                    pool.close(std::time::Duration::from_secs(5)).await;
                    continue;
                }
                Err(error) => format!("{error} {error:?}"),
            };
            assert_eq!(text.contains("add the feature"), !is_there, "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
