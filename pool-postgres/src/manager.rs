//! [`PgManager`]: how the pool makes, checks, resets and closes PostgreSQL connections.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use pool_core::{
    BoxError, Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, PoolConfig, Reset,
};
use pool_sql::Secret;

use crate::common::{Common, Profile};
use crate::connection::PgConnection;
use crate::error::{PgError, PgErrorKind};
use crate::front::{Login, Notified};
use crate::server::{PgServer, PgShortage};

/// Who connects, and by what password; see [`PgBuilder::credentials`](crate::PgBuilder::credentials).
#[derive(Clone)]
pub struct PgCredentials {
    user: Option<String>,
    password: Secret,
}

impl PgCredentials {
    /// A password for the user that the options name.
    pub fn password(password: impl Into<String>) -> Self {
        Self { user: None, password: Secret::from(password.into()) }
    }

    /// Another user.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }
}

impl fmt::Debug for PgCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

pub(crate) type AskCredentials = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<PgCredentials, BoxError>> + Send>> + Send + Sync,
>;
/// Is told what is worth a warning.
pub(crate) type Warn = Arc<dyn Fn(&PgShortage) + Send + Sync>;

/// Makes, checks, resets and closes PostgreSQL connections. Behind a [`PgPool`](crate::PgPool) is
/// one; one of your own comes from [`PgBuilder::manager`](crate::PgBuilder::manager).
pub struct PgManager {
    pub(crate) common: Arc<Common>,
    pub(crate) credentials: Option<AskCredentials>,
    pub(crate) warn: Option<Warn>,
    pub(crate) seen: Mutex<Seen>,
}

/// What is reckoned with: the pool's size, what the server said last, and what was warned of.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) max_size: u32,
    pub(crate) server: Option<PgServer>,
    pub(crate) warned: Option<PgShortage>,
}

impl PgManager {
    /// What is between here and the server.
    pub fn profile(&self) -> Profile {
        self.common.profile
    }

    /// Opens a connection, for the pool or for somebody who is told of notifications.
    pub(crate) async fn connect_for(
        &self,
        cx: &ConnectContext,
        notified: Notified,
    ) -> Result<PgConnection, PgError> {
        let login = self.login().await?;
        let connected = self.common.front.connect(&login, cx.deadline(), &notified).await;
        let connected = connected.map_err(|error| self.common.explain(error))?;
        self.note(&connected.server);
        Ok(PgConnection::new(connected, self.common.clone(), cx.activity().clone()))
    }

    async fn login(&self) -> Result<Login, PgError> {
        let options = &self.common.front.options;
        let Some(ask) = &self.credentials else {
            return Ok(Login { user: options.user.clone(), password: options.password.clone() });
        };
        let given = ask().await.map_err(|error| {
            // Not its text: whoever made it may have put the secret in.
            let text = format!("no credentials: the callback failed ({})", kind_of(&*error));
            PgError::text(PgErrorKind::Unreachable, text)
        })?;
        let user = given.user.or_else(|| options.user.clone());
        Ok(Login { user, password: Some(given.password) })
    }

    fn note(&self, server: &PgServer) {
        self.reckon(|seen| seen.server = Some(server.clone()));
    }

    /// Notes what has changed; warns, once for each arithmetic.
    fn reckon(&self, change: impl FnOnce(&mut Seen)) {
        let (is_new, shortage) = {
            let Ok(mut seen) = self.seen.lock() else { return };
            change(&mut seen);
            let shortage = seen.server.as_ref().and_then(|server| server.shortage(seen.max_size));
            let is_new = shortage.is_some() && seen.warned != shortage;
            seen.warned.clone_from(&shortage);
            (is_new, shortage)
        };
        if let (true, Some(warn), Some(shortage)) = (is_new, &self.warn, shortage) {
            warn(&shortage);
        }
    }

    /// The pool is larger than what the server has room for.
    pub(crate) fn shortage(&self) -> Option<PgShortage> {
        self.seen.lock().ok()?.warned.clone()
    }

    pub(crate) fn server(&self) -> Option<PgServer> {
        self.seen.lock().ok()?.server.clone()
    }
}

impl Manager for PgManager {
    type Connection = PgConnection;
    type Error = PgError;

    async fn connect(&self, cx: &ConnectContext) -> Result<PgConnection, PgError> {
        self.connect_for(cx, None).await
    }

    async fn ping(&self, connection: &mut PgConnection) -> Result<(), PgError> {
        connection.ping().await
    }

    fn condition(&self, connection: &mut PgConnection) -> Condition {
        connection.condition()
    }

    fn reconfigured(&self, config: &PoolConfig) {
        self.reckon(|seen| seen.max_size = config.max_size);
    }

    fn adopt(&self, connection: &mut PgConnection) {
        connection.session.wire.adopt_state();
        connection.is_raw = false;
        connection.session.is_used.store(false, Ordering::Relaxed);
    }

    async fn reset(&self, connection: &mut PgConnection, _: Cause) -> Result<Reset, PgError> {
        connection.reset().await
    }

    async fn close(&self, connection: PgConnection) {
        connection.close().await;
    }

    fn classify(&self, error: &PgError) -> ErrorClass {
        error.class()
    }

    fn limits(&self, connection: &PgConnection) -> Limits {
        match connection.server().idle_session_timeout {
            Some(idle) => Limits::none().idle(idle),
            None => Limits::none(),
        }
    }
}

impl fmt::Debug for PgManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgManager")
            .field("server", &self.common.front.name)
            .field("profile", &self.common.profile)
            .field("reset", &self.common.reset)
            .finish_non_exhaustive()
    }
}

/// The first words of an error's debug form: the type's name, without what it holds.
fn kind_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> &'static str {
    if error.is::<std::io::Error>() { "an I/O error" } else { "an error of its own" }
}
