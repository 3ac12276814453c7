//! Threads of its own for what goes to a collector, so that nothing of it happens on the application's.

use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

use super::otlp::{OtlpError, var};

/// Runs what blocks on a thread of its own.
pub(super) fn apart<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, OtlpError> {
    let (done, ended) = oneshot::channel();
    let run = move || drop(done.send(run()));
    match thread::Builder::new().name("pool-otlp-end".into()).spawn(run) {
        Ok(_) => Ok(ended),
        Err(error) => Err(OtlpError(error.to_string())),
    }
}

/// A runtime on a thread of its own, for the connections to the collector: the SDK sends from threads
/// that have none, and the application's may stand still, or be gone before all is sent.
pub(super) struct Runtime {
    handle: Handle,
    _until: oneshot::Sender<()>,
}

impl Runtime {
    pub(super) fn start() -> Result<Self, OtlpError> {
        let wrong = |error: std::io::Error| OtlpError(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(wrong)?;
        let handle = runtime.handle().clone();
        let (until, dropped) = oneshot::channel::<()>();
        let run = move || {
            let _ = runtime.block_on(dropped);
        };
        thread::Builder::new().name("pool-otlp".into()).spawn(run).map_err(wrong)?;
        Ok(Self { handle, _until: until })
    }

    /// What is made until the guard is dropped lives on this runtime.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Sends what is of this signal, `TRACES` or `METRICS`.
    pub(super) fn client(&self, signal: &str) -> Client {
        let own = var(&format!("OTEL_EXPORTER_OTLP_{signal}_TIMEOUT"));
        let millis = own.or_else(|| var("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let millis = millis.and_then(|text| text.trim().parse().ok()).unwrap_or(10_000);
        let client = HyperClient::with_default_connector(Duration::from_millis(millis), None);
        Client { handle: self.handle.clone(), client }
    }
}

/// Sends from threads that have no runtime.
#[derive(Debug)]
pub(super) struct Client {
    handle: Handle,
    client: HyperClient,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.handle.spawn(async move { client.send_bytes(request).await }).await?
    }
}
