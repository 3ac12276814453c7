//! [`Server`]: the endpoints on a port of their own.
//!
//! It shares file descriptors and memory with what it tells of, so it has few connections, and none
//! that asks for nothing. Each is a task that owns its place. At the end they are told, and waited for a
//! while; one that does not read its answer may outlive the server.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Endpoints;

/// Connections at once; who comes then waits to be accepted.
const CONNECTIONS: usize = 128;
/// How long a connection may take to ask, or lie idle.
const SILENCE: Duration = Duration::from_secs(30);
/// How long requests may take that are under way at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the next attempt, when nothing can be accepted: no file descriptor is left, say.
const PAUSE: Duration = Duration::from_millis(200);

/// The endpoints, bound and not running yet.
#[derive(Debug)]
#[must_use]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    endpoints: Endpoints,
}

impl Endpoints {
    /// Whether these may be served there: at loopback, or with a token. For an application that has
    /// them nested, before it binds.
    ///
    /// # Errors
    /// If the address is not loopback and there is no token.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), ServeError> {
        let may = address.ip().is_loopback() || self.has_token();
        if may { Ok(()) } else { Err(ServeError::NeedsToken(address)) }
    }

    /// Binds to an address; port 0 is any that is free.
    ///
    /// # Errors
    /// If the address is not loopback and there is no token, or it cannot be bound.
    pub async fn bind(self, address: SocketAddr) -> Result<Server, ServeError> {
        self.check_address(address)?;
        let listener = TcpListener::bind(address).await.map_err(ServeError::Io)?;
        let address = listener.local_addr().map_err(ServeError::Io)?;
        Ok(Server { listener, address, endpoints: self.apart() })
    }

    /// Binds to an address and serves until `shutdown` ends: [`bind`](Self::bind), then
    /// [`run`](Server::run).
    ///
    /// # Errors
    /// As of [`bind`](Self::bind).
    pub async fn serve(
        self,
        address: SocketAddr,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        self.bind(address).await?.run(shutdown).await;
        Ok(())
    }
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, and takes the monitor's samples meanwhile. Then it waits for
    /// requests under way, 5 s at most; whoever takes longer is left to its connection.
    ///
    /// It has at most 128 connections at once, others wait to be accepted; one that asks for nothing
    /// for 30 s is closed.
    ///
    /// # Cancel safety
    /// Dropped, it accepts nothing any more and ends the streams of the live page; other requests
    /// under way are answered.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Self { listener, endpoints, .. } = self;
        let mut sampling = JoinSet::new(); // ends with this
        sampling.spawn(endpoints.monitor.run());
        let open = GracefulShutdown::new(); // dropped, it tells the connections too
        let streams = EndOfStreams(endpoints.clone());
        tokio::select! {
            () = shutdown => {}
            never = accept(&listener, endpoints, &open) => match never {},
        }
        drop((listener, streams));
        let _ = timeout(PATIENCE, open.shutdown()).await;
    }
}

/// Serves each connection in a task of its own, while there is room.
async fn accept(
    listener: &TcpListener,
    endpoints: Endpoints,
    open: &GracefulShutdown,
) -> Infallible {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENCE);
    let site = TowerToHyperService::new(endpoints.site());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = room.clone().acquire_owned().await.expect("it is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), site.clone()));
        tokio::spawn(async move {
            let _ = connection.await; // how it ended is the client's affair
            drop(place);
        });
    }
}

/// Ends the streams of the live page when it is dropped.
struct EndOfStreams(Endpoints);

impl Drop for EndOfStreams {
    fn drop(&mut self) {
        self.0.end_streams();
    }
}

/// Why the endpoints are not served.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// This address can be reached from elsewhere, and there is no token.
    NeedsToken(SocketAddr),
    /// The address cannot be bound.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsToken(address) => {
                let (loopback, port) = (std::net::Ipv4Addr::LOCALHOST, address.port());
                write!(
                    f,
                    "{address} can be reached from elsewhere: give the endpoints a token \
                     (Token::from_env, Token::from_file), or listen on {loopback}:{port}"
                )
            }
            Self::Io(error) => write!(f, "cannot listen: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NeedsToken(_) => None,
            Self::Io(error) => Some(error),
        }
    }
}
