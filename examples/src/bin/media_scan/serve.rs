//! The page that shows the pool while a scan runs, and after it: `--serve`.

use std::net::SocketAddr;

use pool_metrics::Monitor;
use pool_metrics::http::{Endpoints, Token};
use tokio::task::JoinHandle;

use crate::fault::Fault;
use crate::say;
use crate::stop::Stop;

/// Who may look from elsewhere than this machine has this token.
const TOKEN: &str = "MEDIA_SCAN_TOKEN";

/// The server, until it is ended.
pub(crate) struct Serving {
    pub(crate) monitor: Monitor,
    over: Stop,
    server: JoinHandle<()>,
}

impl Serving {
    /// Listens, and says where.
    ///
    /// # Errors
    /// The address is taken, or is for everybody and there is no token.
    pub(crate) async fn begin(address: SocketAddr) -> Result<Self, Fault> {
        let monitor = Monitor::new();
        let mut endpoints = Endpoints::new(monitor.clone());
        if std::env::var_os(TOKEN).is_some() {
            let token = Token::from_env(TOKEN).map_err(|error| Fault::new(error.to_string()))?;
            endpoints = endpoints.token(token);
        }
        let server = endpoints.bind(address).await;
        let server = server.map_err(|error| {
            Fault::new(format!("--serve {address}: {error} (a token is taken from {TOKEN})"))
        })?;
        say(&format!("Serving: http://{}/", server.address()));
        let over = Stop::new();
        let told = over.clone();
        let server = tokio::spawn(server.run(async move { told.wait().await }));
        Ok(Self { monitor, over, server })
    }

    /// Goes on until Ctrl-C.
    pub(crate) async fn until(&self, stop: &Stop) {
        say("The scan is done; the page stays until Ctrl-C.");
        stop.wait().await;
    }

    /// Ends, with all who look.
    pub(crate) async fn end(self) {
        self.over.interrupt();
        let _ = self.server.await;
    }
}
