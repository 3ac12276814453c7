//! [`Server`]: the endpoints on a port of their own.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Endpoints;

/// How long requests may take that are under way at the end.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// # Cancel safety
    /// Dropped, it accepts nothing any more and ends the streams of the live page; other requests
    /// under way are answered.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let mut sampling = JoinSet::new(); // ends with this
        sampling.spawn(self.endpoints.monitor.run());
        let ending = Arc::new(Notify::new());
        let told = ending.clone();
        // axum waits for the end in a task of its own, which has to end with this future too.
        let (_dropped, cancelled) = oneshot::channel::<()>();
        let ended = self.endpoints.clone();
        let shutdown = async move {
            tokio::select! {
                () = shutdown => {}
                _ = cancelled => {}
            }
            ended.end_streams();
            told.notify_one();
        };
        let serving =
            axum::serve(self.listener, self.endpoints.site()).with_graceful_shutdown(shutdown);
        tokio::select! {
            _ = serving.into_future() => {} // it fails on nothing
            () = async { ending.notified().await; sleep(PATIENCE).await } => {}
        }
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
