//! [`MySqlManager`]: how the pool makes, checks, resets and closes MySQL connections.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use pool_core::{
    BoxError, Cause, Condition, ConnectContext, ErrorClass, Limits, Manager, PoolConfig, Reset,
};
use pool_sql::Secret;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::common::Common;
use crate::connection::MySqlConnection;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::link::{Link, State};
use crate::server::{MySqlServer, MySqlWarning, Wishes};

/// How long it may take to reach the server to end a given-up statement, and to end it: together less
/// than the pool gives to a close. The connection is closed in any case.
const KILL_WITHIN: Duration = Duration::from_millis(450);
/// How long an interrupted statement may take to say so.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// Who connects, and by what password; see
/// [`MySqlBuilder::credentials`](crate::MySqlBuilder::credentials).
#[derive(Clone)]
pub struct MySqlCredentials {
    user: Option<String>,
    password: Secret,
}

impl MySqlCredentials {
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

impl fmt::Debug for MySqlCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

pub(crate) type AskCredentials = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<MySqlCredentials, BoxError>> + Send>>
        + Send
        + Sync,
>;
/// Is told what is worth a warning.
pub(crate) type Warn = Arc<dyn Fn(&MySqlWarning) + Send + Sync>;

/// Makes, checks, resets and closes MySQL connections. Behind a [`MySqlPool`](crate::MySqlPool) is
/// one; one of your own comes from [`MySqlBuilder::manager`](crate::MySqlBuilder::manager).
pub struct MySqlManager {
    pub(crate) common: Arc<Common>,
    pub(crate) credentials: Option<AskCredentials>,
    pub(crate) warn: Option<Warn>,
    pub(crate) seen: Mutex<Seen>,
}

/// What is reckoned with: the pool's wishes, what the server said last, and what was warned of.
pub(crate) struct Seen {
    pub(crate) wishes: Wishes,
    pub(crate) server: Option<Arc<MySqlServer>>,
    pub(crate) warnings: Vec<MySqlWarning>,
}

impl MySqlManager {
    /// A connection beside all others, by the options' or the callback's credentials.
    async fn open(&self) -> Result<Conn, MySqlError> {
        let Some(ask) = &self.credentials else {
            return self.common.front.connect(None, None).await;
        };
        let given = ask().await.map_err(|error| {
            // Not its text: whoever made it may have put the secret in.
            let kind = if error.is::<std::io::Error>() { "an I/O error" } else { "its own error" };
            let text = format!("no credentials: the callback failed ({kind})");
            MySqlError::text(MySqlErrorKind::Unreachable, text)
        })?;
        self.common.front.connect(given.user.as_deref(), Some(given.password.expose())).await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what has changed; warns, once for each arithmetic.
    fn reckon(&self, change: impl FnOnce(&mut Seen)) {
        let new: Vec<_> = {
            let mut seen = self.seen();
            change(&mut seen);
            let Some(server) = &seen.server else { return };
            let warnings = server.warnings(&seen.wishes);
            let is_new = |warning: &&MySqlWarning| !seen.warnings.contains(warning);
            let new = warnings.iter().filter(is_new).cloned().collect();
            seen.warnings = warnings;
            new
        };
        if let Some(warn) = &self.warn {
            new.iter().for_each(|warning| warn(warning));
        }
    }

    pub(crate) fn warnings(&self) -> Vec<MySqlWarning> {
        self.seen().warnings.clone()
    }

    pub(crate) fn server(&self) -> Option<Arc<MySqlServer>> {
        self.seen().server.clone()
    }

    /// A connection beside the pool's to the same server. A server gives no number to two connections
    /// while it runs, so nobody else is hit by a `KILL`. But behind a balancer this one may lead to
    /// another server, or the server has been restarted, and the numbers are other connections'.
    async fn beside(
        &self,
        server: &MySqlServer,
        age: Duration,
    ) -> Result<Option<Side<'_>>, MySqlError> {
        let Ok(permit) = self.common.side.acquire().await else { return Ok(None) };
        let mut link = Link::new(self.open().await?);
        let asked = MySqlServer::ask(link.begin().await?).await;
        let same = link.end(asked)?.identity;
        let uptime = "SHOW GLOBAL STATUS LIKE 'Uptime'";
        let uptime = link.begin().await?.query_first::<(String, u64), _>(uptime).await;
        let uptime = link.end(uptime)?.map_or(0, |(_, seconds)| seconds);
        let is_same = same.is_some() && same == server.identity && uptime >= age.as_secs();
        if is_same {
            return Ok(Some(Side { link, _permit: permit }));
        }
        link.goodbye().await;
        Ok(None)
    }
}

/// A connection beside the pool's.
struct Side<'p> {
    link: Link,
    _permit: SemaphorePermit<'p>,
}

impl Side<'_> {
    /// Ends a given-up statement, and its connection. What is killed outright the server counts as
    /// aborted; so first it is only interrupted, which lets the goodbye be heard. But that misses a
    /// statement that has not begun, and the next one of several: whatever is left is killed.
    async fn end(mut self, mut given_up: Link) {
        let id = given_up.conn().id();
        self.tell(&format!("KILL QUERY {id}")).await;
        if timeout(ANSWER_WITHIN, given_up.read_out()).await.is_ok() {
            drop(timeout(ANSWER_WITHIN, given_up.goodbye()).await);
        }
        self.tell(&format!("KILL {id}")).await;
        self.link.goodbye().await;
    }

    async fn tell(&mut self, sql: &str) {
        if let Ok(conn) = self.link.begin().await {
            let told = conn.query_drop(sql).await;
            let _ = self.link.end(told); // an error says that it is gone already
        }
    }
}

impl Manager for MySqlManager {
    type Connection = MySqlConnection;
    type Error = MySqlError;

    async fn connect(&self, cx: &ConnectContext) -> Result<MySqlConnection, MySqlError> {
        let common = self.common.clone();
        let named = |error: MySqlError| error.of(&self.common.front.name);
        let conn = self.open().await.map_err(named)?;
        let activity = cx.activity().clone();
        let link = Link::new(conn);
        let mut connection = MySqlConnection::new(link, common, activity);
        let wishes = self.seen().wishes;
        connection.begin_session(&wishes).await.map_err(named)?;
        self.reckon(|seen| seen.server = Some(connection.shared_server().clone()));
        Ok(connection)
    }

    async fn ping(&self, connection: &mut MySqlConnection) -> Result<(), MySqlError> {
        let pinged = connection.link.begin().await?.ping().await;
        connection.link.end(pinged)
    }

    fn condition(&self, connection: &mut MySqlConnection) -> Condition {
        connection.condition()
    }

    fn reconfigured(&self, config: &PoolConfig) {
        self.reckon(|seen| seen.wishes = Wishes::new(config, seen.wishes.statements));
    }

    fn adopt(&self, connection: &mut MySqlConnection) {
        connection.adopt();
    }

    async fn reset(&self, connection: &mut MySqlConnection, _: Cause) -> Result<Reset, MySqlError> {
        connection.reset().await
    }

    async fn close(&self, connection: MySqlConnection) {
        let (server, age) = (connection.shared_server().clone(), connection.age());
        let mut link = connection.link;
        if link.is_given_up() && self.common.kills {
            let side = timeout(KILL_WITHIN, self.beside(&server, age)).await;
            if let Ok(Ok(Some(side))) = side {
                return drop(timeout(KILL_WITHIN, side.end(link)).await);
            }
        }
        if link.state() == State::Rows {
            // The server hears no goodbye before it has sent all rows.
            let _ = link.begin().await;
        }
        link.goodbye().await;
    }

    fn classify(&self, error: &MySqlError) -> ErrorClass {
        error.class()
    }

    fn limits(&self, connection: &MySqlConnection) -> Limits {
        match connection.server().wait_timeout {
            Some(idle) => Limits::none().idle(idle),
            None => Limits::none(),
        }
    }
}

impl fmt::Debug for MySqlManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlManager")
            .field("server", &self.common.front.name)
            .field("reset", &self.common.reset)
            .finish_non_exhaustive()
    }
}
