//! [`Front`]: connecting, with or without TLS as the mode says.
//!
//! | `ssl-mode` | first | then |
//! |---|---|---|
//! | `disabled`, and Unix sockets | plain | |
//! | `preferred` | TLS | plain, if the server has no TLS |
//! | `required`, `verify-ca`, `verify-identity` | TLS | |
//!
//! As with the servers' own clients, `preferred` does not go on without TLS where the server has it
//! and the handshake fails. That a server has none counts for a minute, so that not each connect
//! costs two: those that end in the middle of the handshake are what a server blocks a host for
//! (`max_connect_errors`).
//!
//! What [`tls`] verifies is verified on the very connection that is used. Where it is the chain
//! without the name, the server is first called by its name all the same, as a proxy that serves
//! several may need it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysql_async::{Compression, Conn, DriverError, Error, Opts, OptsBuilder, SslOpts};
use pool_sql::Secret;
use tokio::time::{Instant, timeout};

use crate::error::{MySqlError, MySqlErrorKind};
use crate::options::{MySqlOptions, SslMode};
use crate::tls;

/// How long it counts that a server has no TLS.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Connects to what the options say.
pub(crate) struct Front {
    pub(crate) options: MySqlOptions,
    /// The options in a word, for errors.
    pub(crate) name: Arc<str>,
    mode: SslMode,
    // They have no user and no password: the driver's `Debug` would show those.
    plain: Opts,
    /// `None`: never.
    secured: Option<Secured>,
    /// When the server was found to have no TLS.
    lacks_tls: Mutex<Option<Instant>>,
}

struct Secured {
    named: Opts,
    unnamed: Option<Opts>,
    /// The server's certificate was for another name when last seen, and that is no matter.
    other_name: AtomicBool,
}

impl Front {
    /// Checks the options, and reads the files for TLS.
    pub(crate) fn new(options: MySqlOptions) -> Result<Self, MySqlError> {
        options.check()?;
        let plain = driver_options(&options);
        let opts = |tls: SslOpts| Opts::from(OptsBuilder::from_opts(plain.clone()).ssl_opts(tls));
        let secured = tls::settings(&options)?.map(|tls| Secured {
            named: opts(tls.named),
            unnamed: tls.unnamed.map(opts),
            other_name: AtomicBool::new(false),
        });
        let (name, mode) = (options.name().into(), options.effective_ssl_mode());
        Ok(Self { options, name, mode, plain, secured, lacks_tls: Mutex::new(None) })
    }

    /// Connects as that user, else as the one of the options; likewise the password. The session is
    /// not set up yet.
    pub(crate) async fn connect(
        &self,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Result<Conn, MySqlError> {
        let own = || self.options.password.as_ref().map(Secret::expose);
        let login =
            Login { user: user.or(self.options.user.as_deref()), password: password.or_else(own) };
        let connected = match self.options.connect_timeout {
            None => self.open(login).await,
            Some(limit) => timeout(limit, self.open(login)).await.unwrap_or_else(|_| {
                let text = format!("it does not answer within {limit:?} (connect-timeout)");
                Err(MySqlError::text(MySqlErrorKind::Unreachable, text))
            }),
        };
        connected.map_err(|error| error.of(&self.name))
    }

    async fn open(&self, login: Login<'_>) -> Result<Conn, MySqlError> {
        let is_optional = self.mode == SslMode::Preferred;
        let secured = match &self.secured {
            Some(secured) if !(is_optional && self.lacked_tls()) => secured,
            _ => return login.connect(&self.plain).await.map_err(MySqlError::connecting),
        };
        tls::provide();
        match secured.connect(login).await {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if is_optional => {
                self.remember(Instant::now());
                login.connect(&self.plain).await.map_err(MySqlError::connecting)
            }
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) => Err(MySqlError::text(
                MySqlErrorKind::Tls,
                format!(
                    "the server has no TLS, and ssl-mode={} wants it: give the server ssl_cert and \
                     ssl_key, or use ssl-mode=preferred to go without",
                    self.mode.as_str()
                ),
            )),
            Err(error) => {
                let tls = tls::failure(&error, self.mode);
                Err(tls.unwrap_or_else(|| MySqlError::connecting(error)))
            }
            Ok(connection) => Ok(connection),
        }
    }

    /// Whether the server had no TLS a moment ago.
    fn lacked_tls(&self) -> bool {
        let found = *self.lacks_tls.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|found| found.elapsed() < REMEMBERED)
    }

    fn remember(&self, found: Instant) {
        *self.lacks_tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}

impl Secured {
    async fn connect(&self, login: Login<'_>) -> Result<Conn, Error> {
        let Some(unnamed) = &self.unnamed else {
            return login.connect(&self.named).await;
        };
        if !self.other_name.load(Ordering::Relaxed) {
            match login.connect(&self.named).await {
                Err(error) if tls::is_other_name(&error) => {
                    self.other_name.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        login.connect(unnamed).await
    }
}

/// Who connects.
#[derive(Clone, Copy)]
struct Login<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
}

impl Login<'_> {
    async fn connect(self, opts: &Opts) -> Result<Conn, Error> {
        let opts = OptsBuilder::from_opts(opts.clone()).user(self.user).pass(self.password);
        Conn::new(opts).await
    }
}

/// All but user, password and TLS, as the driver has it.
fn driver_options(options: &MySqlOptions) -> Opts {
    let socket = options.socket.as_ref().map(|path| path.to_string_lossy());
    let builder = OptsBuilder::default()
        .ip_or_hostname(&options.host)
        .tcp_port(options.port)
        .socket(socket)
        // It would connect twice wherever the server is on this machine.
        .prefer_socket(false)
        .db_name(options.database.as_deref())
        .tcp_keepalive(options.tcp_keepalive)
        .tcp_nodelay(options.tcp_nodelay)
        .client_found_rows(options.found_rows)
        .compression(options.compression.then(Compression::default))
        // Statements are kept by the pool.
        .stmt_cache_size(0);
    match &options.application_name {
        Some(name) => builder.connect_attribute("program_name", name).into(),
        None => builder.into(),
    }
}

#[cfg(test)]
mod live;
