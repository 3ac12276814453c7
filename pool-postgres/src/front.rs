//! [`Front`]: connecting. Hosts in their order, TLS as the mode says, until a server is what was
//! asked for.
//!
//! Everything is tried as libpq does, so that a URL means here what it means to `psql`:
//!
//! | sslmode | first | then |
//! |---|---|---|
//! | `disable`, and unix sockets | plain | |
//! | `allow` | plain | TLS, if `pg_hba.conf` rejects plain |
//! | `prefer` | TLS | plain, if the server has no TLS, the handshake fails or TLS is rejected |
//! | `require`, `verify-ca`, `verify-full` | TLS | |
//!
//! Other than with libpq, a wrong password is not said again in the other way.
//!
//! A host that cannot be reached, or is not what `target_session_attrs` wants, makes way for the
//! next. A wrong password does not: it would be wrong everywhere, and the other servers need not hear
//! it. Of the time that the pool gives to a connect each address gets its share, unless
//! `connect_timeout` says how much; it covers TCP, TLS and authentication.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pool_core::ErrorClass;
use pool_sql::Secret;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{self, SslMode as DriverSslMode};
use tokio_postgres::{CancelToken, Client, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::driver::Driver;
use crate::error::{PgError, PgErrorKind};
use crate::options::{Address, ChannelBinding, PgHost, PgOptions, SslMode, TargetSessionAttrs};
use crate::server::PgServer;
use crate::tls;
use crate::transport::{Done, OneRequest, Secured, Transport};
use crate::wire::{Wire, WireStatus};

/// How long a host gets at least, however many there are.
const LEAST_SHARE: Duration = Duration::from_millis(500);

/// Connects to what the options say.
pub(crate) struct Front {
    pub(crate) options: PgOptions,
    tls: Option<MakeRustlsConnect>,
    /// The options in a word, for errors.
    pub(crate) name: Arc<str>,
    /// A pooler is in between: what the server says of itself is not about our connections.
    is_pooled: bool,
}

/// Who connects.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    /// `None`: what the file of passwords says.
    pub(crate) password: Option<Secret>,
}

/// A new connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) status: Arc<WireStatus>,
    pub(crate) driver: Driver,
    pub(crate) server: PgServer,
    pub(crate) way: Way,
}

/// How the same server is reached once more.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    to: Endpoint,
    /// The name for its certificate, if TLS is spoken with it.
    tls: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Whom to tell of notifications.
pub(crate) type Notified = Option<UnboundedSender<Notification>>;

impl Front {
    pub(crate) fn new(options: PgOptions, is_pooled: bool) -> Result<Self, PgError> {
        let tls = tls::client_config(&options)?;
        let tls = tls.map(|config| MakeRustlsConnect::new((*config).clone()));
        Ok(Self { name: options.name().into(), tls, options, is_pooled })
    }

    /// Connects, by the deadline if it can be.
    pub(crate) async fn connect(
        &self,
        login: &Login,
        deadline: Instant,
        notified: &Notified,
    ) -> Result<Connected, PgError> {
        let mut hosts = self.options.hosts.clone();
        if self.options.load_balance_hosts {
            fastrand::shuffle(&mut hosts);
        }
        let wanted = self.options.target_session_attrs;
        let connected = if wanted == TargetSessionAttrs::PreferStandby {
            // Half of the time, so that some is left for who would do.
            let now = Instant::now();
            let half = now + deadline.saturating_duration_since(now) / 2;
            match self.first(&hosts, TargetSessionAttrs::Standby, login, half, notified).await {
                Err(error) if !is_final(&error) => {
                    self.first(&hosts, TargetSessionAttrs::Any, login, deadline, notified).await
                }
                done => done,
            }
        } else {
            self.first(&hosts, wanted, login, deadline, notified).await
        };
        connected.map_err(|error| error.of(&self.name))
    }

    /// The first of the hosts that is as wanted.
    async fn first(
        &self,
        hosts: &[PgHost],
        wanted: TargetSessionAttrs,
        login: &Login,
        deadline: Instant,
        notified: &Notified,
    ) -> Result<Connected, PgError> {
        let mut faults: Vec<(String, PgError)> = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            let behind = hosts.len() - at - 1;
            let patience = self.patience(deadline, 1 + behind);
            let found = timeout(patience, self.endpoints(host)).await;
            let found = found.unwrap_or_else(|_| {
                Err(io::Error::other(format!("its name is not found within {patience:?}")))
            });
            let endpoints = match found {
                Ok(endpoints) => endpoints,
                Err(error) => {
                    faults.push((host.to_string(), unreachable(error)));
                    continue;
                }
            };
            let count = endpoints.len();
            for (nth, endpoint) in endpoints.into_iter().enumerate() {
                let patience = self.patience(deadline, count - nth + behind);
                let attempt = self.attempt(host, &endpoint, login, notified);
                let fault = match timeout(patience, attempt).await {
                    Ok(Ok(connected)) if connected.server.is(wanted) => return Ok(connected),
                    Ok(Ok(connected)) => PgError::text(
                        PgErrorKind::NoSuchRole,
                        format!("is {}, not {}", connected.server.role(), wanted.as_str()),
                    ),
                    Ok(Err(error)) if is_final(&error) => return Err(error),
                    Ok(Err(error)) => error,
                    Err(_) => PgError::text(
                        PgErrorKind::Unreachable,
                        format!("does not answer within {patience:?}"),
                    ),
                };
                faults.push((host.to_string(), fault));
            }
        }
        let Some((_, last)) = faults.last() else {
            return Err(PgError::text(PgErrorKind::Config, "there is no host to connect to"));
        };
        if faults.len() == 1 {
            return Err(last.clone());
        }
        // As good as the best of them: one that will not help is none of the others' business.
        let kinds = || faults.iter().rev().map(|(_, fault)| fault.kind());
        let saturated = kinds().find(|kind| *kind == PgErrorKind::Saturated);
        let passing = || {
            let fault = faults.iter().rev().find(|(_, it)| it.class() != ErrorClass::Permanent);
            fault.map(|(_, fault)| fault.kind())
        };
        let kind = saturated.or_else(passing).unwrap_or_else(|| last.kind());
        let text: Vec<_> = faults.iter().map(|(host, fault)| format!("{host}: {fault}")).collect();
        Err(PgError::text(kind, text.join("; ")))
    }

    async fn endpoints(&self, host: &PgHost) -> io::Result<Vec<Endpoint>> {
        if let Some(path) = host.socket() {
            return Ok(vec![Endpoint::Unix(path)]);
        }
        let port = host.port;
        match &host.address {
            Address::Unix(_) => Ok(Vec::new()), // that was it
            Address::Tcp { ip: Some(ip), .. } => Ok(vec![Endpoint::Tcp((*ip, port).into())]),
            Address::Tcp { name, ip: None } => {
                let name = name.as_deref().unwrap_or("localhost");
                let mut found: Vec<_> = lookup_host((name, port)).await?.collect();
                if self.options.load_balance_hosts {
                    fastrand::shuffle(&mut found);
                }
                if found.is_empty() {
                    return Err(io::Error::other(format!("the name {name} has no address")));
                }
                Ok(found.into_iter().map(Endpoint::Tcp).collect())
            }
        }
    }

    /// How long an address gets with so many to try, this one included.
    fn patience(&self, deadline: Instant, left: usize) -> Duration {
        let share = || {
            let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
            (deadline.saturating_duration_since(Instant::now()) / left).max(LEAST_SHARE)
        };
        self.options.connect_timeout.unwrap_or_else(share)
    }

    /// Connects to one address in the ways that the sslmode has.
    async fn attempt(
        &self,
        host: &PgHost,
        endpoint: &Endpoint,
        login: &Login,
        notified: &Notified,
    ) -> Result<Connected, PgError> {
        let to = match endpoint {
            Endpoint::Tcp(to) => *to,
            Endpoint::Unix(path) => {
                let stream = Transport::unix(path).await.map_err(unreachable)?;
                return self.log_in(host, stream, endpoint, None, login, notified).await;
            }
        };
        let name: Arc<str> = tls::server_name(host).into();
        let plain = async || {
            let stream = Transport::tcp(to, &self.options).await.map_err(unreachable)?;
            let stream = Transport::Tcp(stream);
            self.log_in(host, stream, endpoint, None, login, notified).await
        };
        let secured = async || {
            let stream = Transport::tcp(to, &self.options).await.map_err(unreachable)?;
            self.secure(stream, &name).await
        };
        let encrypted = async |stream| {
            self.log_in(host, stream, endpoint, Some(name.clone()), login, notified).await
        };
        match self.options.sslmode {
            SslMode::Disable => plain().await,
            SslMode::Allow => match plain().await {
                Err(rejected) if is_rejected(&rejected) => match secured().await? {
                    Secured::Tls(stream) => encrypted(stream).await,
                    Secured::Refused(_) => Err(rejected),
                },
                done => done,
            },
            SslMode::Prefer => match secured().await {
                Ok(Secured::Tls(stream)) => match encrypted(stream).await {
                    Err(rejected) if is_rejected(&rejected) => {
                        plain().await.map_err(|error| worse(rejected, error))
                    }
                    done => done,
                },
                Ok(Secured::Refused(stream)) => {
                    let stream = Transport::Tcp(stream);
                    self.log_in(host, stream, endpoint, None, login, notified).await
                }
                Err(failed) if failed.kind() == PgErrorKind::Tls => {
                    plain().await.map_err(|error| worse(failed, error))
                }
                Err(error) => Err(error),
            },
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => match secured().await? {
                Secured::Tls(stream) => encrypted(stream).await,
                Secured::Refused(_) => Err(PgError::text(
                    PgErrorKind::Tls,
                    format!(
                        "the server has no TLS, and sslmode={} wants it: turn on ssl in \
                         postgresql.conf, or use sslmode=prefer to go without",
                        self.options.sslmode.as_str()
                    ),
                )),
            },
        }
    }

    async fn secure(&self, stream: TcpStream, name: &str) -> Result<Secured, PgError> {
        let Some(tls) = &self.tls else { return Ok(Secured::Refused(stream)) };
        Transport::secure(stream, name, &self.options, tls).await.map_err(|error| {
            match is_tls(&error) {
                true => PgError::text(PgErrorKind::Tls, format!("the TLS handshake: {error}")),
                false => unreachable(error),
            }
        })
    }

    /// Starts to speak the protocol.
    async fn log_in(
        &self,
        host: &PgHost,
        stream: Transport,
        endpoint: &Endpoint,
        tls: Option<Arc<str>>,
        login: &Login,
        notified: &Notified,
    ) -> Result<Connected, PgError> {
        let is_encrypted = stream.is_encrypted();
        let wire = Wire::new(stream);
        let status = wire.status();
        let config = self.driver_config(host, login, is_encrypted);
        let (client, connection) = config
            .connect_raw(wire, Done)
            .await
            .map_err(|error| self.refusal(error, config.get_password().is_some()))?;
        let driver = Driver::spawn(connection, status.clone(), notified.clone());
        let server = match self.is_pooled {
            true => PgServer::default(),
            false => PgServer::ask(&client).await?,
        };
        let way = Way { to: endpoint.clone(), tls };
        Ok(Connected { client, status, driver, server, way })
    }

    /// What a failed login is about.
    fn refusal(&self, error: tokio_postgres::Error, has_password: bool) -> PgError {
        // With TLS 1.3 a server that refuses our certificate says so only after the handshake.
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        if cause.is_some_and(is_tls) {
            return PgError::driver(PgErrorKind::Tls, error);
        }
        // In the driver's words it is the configuration that lacks a password.
        if has_password || !error.to_string().starts_with("invalid configuration") {
            return error.into();
        }
        let fault = self.options.passfile_fault().unwrap_or_else(|| "want one".into());
        PgError::text(PgErrorKind::Authentication, format!("it asks for a password; {fault}"))
    }

    fn driver_config(
        &self,
        host: &PgHost,
        login: &Login,
        is_encrypted: bool,
    ) -> tokio_postgres::Config {
        let options = &self.options;
        let mut config = tokio_postgres::Config::new();
        if let Some(user) = &login.user {
            config.user(user);
        }
        let user = login.user.as_deref().unwrap_or_default();
        let database = options.dbname.as_deref().unwrap_or(user);
        let kept = || options.password_for(host, user, database);
        if let Some(password) = login.password.clone().or_else(kept) {
            config.password(password.expose());
        }
        if let Some(dbname) = &options.dbname {
            config.dbname(dbname);
        }
        if let Some(name) = &options.application_name {
            config.application_name(name);
        }
        if let Some(words) = &options.options {
            config.options(words);
        }
        config.channel_binding(match options.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        if is_encrypted {
            // The stream is encrypted already: the driver is to take it as it is, and to know.
            config.ssl_mode(DriverSslMode::Require);
            config.ssl_negotiation(config::SslNegotiation::Direct);
        } else {
            config.ssl_mode(DriverSslMode::Disable);
        }
        config
    }

    /// Asks the server to cancel what a connection runs. When this returns it has been asked: the
    /// end of the stream, which comes after, was read.
    pub(crate) async fn cancel(&self, way: &Way, token: &CancelToken) -> Result<(), PgError> {
        let mut stream = match (&way.to, &way.tls) {
            (Endpoint::Unix(path), _) => Transport::unix(path).await.map_err(unreachable)?,
            (Endpoint::Tcp(to), None) => {
                Transport::Tcp(Transport::tcp(*to, &self.options).await.map_err(unreachable)?)
            }
            (Endpoint::Tcp(to), Some(name)) => {
                let stream = Transport::tcp(*to, &self.options).await.map_err(unreachable)?;
                match self.secure(stream, name).await? {
                    Secured::Tls(stream) => stream,
                    Secured::Refused(_) => {
                        let text = "the server had TLS, and has it no more";
                        return Err(PgError::text(PgErrorKind::Tls, text));
                    }
                }
            }
        };
        token.cancel_query_raw(OneRequest(&mut stream), Done).await?;
        stream.end().await.map_err(unreachable)
    }
}

/// Whether no other host would answer otherwise.
fn is_final(error: &PgError) -> bool {
    matches!(
        error.kind(),
        PgErrorKind::Authentication | PgErrorKind::Database | PgErrorKind::Denied
    )
}

/// Whether `pg_hba.conf` has no line for a connection of this kind.
fn is_rejected(error: &PgError) -> bool {
    error.code().is_some_and(|code| code.code() == "28000")
}

/// Of what went wrong with TLS, then without, what is to be told: where `pg_hba.conf` rejects a
/// connection without it, TLS was the way to go.
fn worse(with: PgError, without: PgError) -> PgError {
    match with.kind() {
        _ if !is_rejected(&without) => without,
        PgErrorKind::Tls => {
            PgError::text(PgErrorKind::Tls, format!("{with}; and without TLS, {without}"))
        }
        _ => with,
    }
}

/// Whether it is about TLS, not about the network below.
fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
}

fn unreachable(error: io::Error) -> PgError {
    PgError::io(PgErrorKind::Unreachable, error)
}
