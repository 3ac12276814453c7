//! [`Endpoints`]: what the routes need to know, and the router made of it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
#[cfg(feature = "dashboard")]
use axum::{response::Redirect, routing::get};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::guard::{self, Guard};
use super::routes;
use super::token::Token;
#[cfg(feature = "dashboard")]
use crate::dashboard::Dashboard;
use crate::health::Probe;
use crate::monitor::Monitor;
use crate::watched::Report;

type Counts = BTreeMap<String, u64>;
type Counting = Pin<Box<dyn Future<Output = Option<Counts>> + Send>>;

/// The endpoints of a monitor, in the making.
#[derive(Clone)]
#[must_use]
pub struct Endpoints {
    pub(super) monitor: Monitor,
    pub(super) guard: Guard,
    patience: Duration,
    counts: Option<Arc<dyn Fn() -> Counting + Send + Sync>>,
    #[cfg(feature = "dashboard")]
    dashboard: Dashboard,
}

impl Endpoints {
    /// What this monitor tells; without a token.
    pub fn new(monitor: Monitor) -> Self {
        let patience = Duration::from_secs(2);
        Self {
            #[cfg(feature = "dashboard")]
            dashboard: Dashboard::new(&monitor),
            monitor,
            guard: Guard::default(),
            patience,
            counts: None,
        }
    }

    /// Answers only those who send this token, but for `/livez` and `/readyz`.
    pub fn token(mut self, token: Token) -> Self {
        self.guard.token = Some(token);
        self
    }

    /// Without a token: answers those too who call this machine by this name, at any port.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.guard.hosts.push(host.into());
        self
    }

    /// How long a database may take to answer, and the application to count; 2 s unless set.
    pub fn check_timeout(mut self, within: Duration) -> Self {
        self.patience = within;
        self
    }

    /// What the application adds to `/api/admin/database-health`: numbers with names. Called for
    /// each such request; if it fails, panics or takes too long, the answer says so and has the
    /// rest.
    ///
    /// What the error says does not show: it may be a database's. Log it.
    ///
    /// ```
    /// # use pool_metrics::{Monitor, http::Endpoints};
    /// # async fn count_sessions() -> Result<u64, std::io::Error> { Ok(3) }
    /// let endpoints = Endpoints::new(Monitor::new()).with_counts(async || {
    ///     Ok::<_, std::io::Error>([("sessions", count_sessions().await?)])
    /// });
    /// ```
    pub fn with_counts<F, R, N, E>(mut self, count: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<R, E>> + Send + 'static,
        R: IntoIterator<Item = (N, u64)>,
        N: Into<String>,
    {
        self.counts = Some(Arc::new(move || {
            let counting = count();
            Box::pin(async move {
                let named = |(name, number): (N, u64)| (name.into(), number);
                Some(counting.await.ok()?.into_iter().map(named).collect())
            })
        }));
        self
    }

    /// The live page and its streams. Who nests the [`router`](Self::router) and waits for open
    /// connections at the end calls its [`shutdown`](Dashboard::shutdown) then: a stream does not
    /// end by itself.
    #[cfg(feature = "dashboard")]
    #[cfg_attr(docsrs, doc(cfg(feature = "dashboard")))]
    pub fn dashboard(&self) -> Dashboard {
        self.dashboard.clone()
    }

    /// With a live page of its own, which ends alone.
    pub(super) fn apart(self) -> Self {
        Self {
            #[cfg(feature = "dashboard")]
            dashboard: Dashboard::new(&self.monitor),
            ..self
        }
    }

    pub(super) fn end_streams(&self) {
        #[cfg(feature = "dashboard")]
        self.dashboard.shutdown();
    }

    /// The routes where nothing else is: `/` leads to the live page.
    pub(super) fn site(self) -> Router {
        let root = Router::new();
        #[cfg(feature = "dashboard")]
        let root = root.route("/", get(async || Redirect::to("/dashboard")));
        root.merge(self.router())
    }

    /// The routes, to nest in an application (`Router::nest`; not to merge with it, as what is no
    /// route is theirs). Sampling is the application's: `tokio::spawn(monitor.run())`.
    ///
    /// Without a token nest it only in what listens on loopback:
    /// [`check_address`](Self::check_address).
    pub fn router(self) -> Router {
        let checks = Arc::new(self.guard.clone());
        let routes = routes::table().into_iter();
        let routes =
            routes.fold(Router::new(), |router, (path, methods)| router.route(path, methods));
        #[cfg(feature = "dashboard")]
        let dashboard = self.dashboard();
        let guarded = routes.with_state(Arc::new(self));
        #[cfg(feature = "dashboard")]
        let guarded = guarded.merge(dashboard.live());
        let guarded = guarded.layer(from_fn_with_state(checks, guard::guard));
        // The page has no data in it. What is no route stays the guarded router's.
        #[cfg(feature = "dashboard")]
        let guarded = dashboard.page().merge(guarded);
        guarded.layer(from_fn(guard::headers))
    }

    pub(super) fn has_token(&self) -> bool {
        self.guard.token.is_some()
    }

    /// Asks a database whether it answers, and how it is then; `None` if it is watched no more.
    pub(super) async fn check(&self, name: &str) -> Option<(Report, Probe)> {
        // A task of its own: whoever hangs up meanwhile cuts no ping in half, which would cost a
        // connection each time, and the next one finds the answer.
        let (monitor, watched, within) = (self.monitor.clone(), name.to_owned(), self.patience);
        let asking = tokio::spawn(async move { monitor.probe(&watched, within).await });
        let probe = match timeout(within, asking).await {
            Ok(Ok(probe)) => probe?,
            // Somebody else's check, which may take longer, is under way; or a manager panicked.
            _ => Probe { latency: within, error: Some("no answer".to_owned()) },
        };
        Some((self.monitor.report(name)?, probe))
    }

    /// What the application counts; why not, if it fails.
    pub(super) async fn count(&self) -> Result<Counts, &'static str> {
        let Some(counts) = self.counts.clone() else {
            return Ok(Counts::new());
        };
        // In a task, where a panic ends nothing else.
        let mut counting = JoinSet::new();
        counting.spawn(async move { counts().await });
        match timeout(self.patience, counting.join_next()).await {
            Ok(Some(Ok(Some(counts)))) => Ok(counts),
            Ok(Some(Ok(None))) => Err("counting failed"),
            Ok(_) => Err("counting panicked"),
            Err(_) => Err("counting did not end in time"),
        }
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("monitor", &self.monitor)
            .field("guard", &self.guard)
            .field("check_timeout", &self.patience)
            .finish_non_exhaustive()
    }
}
