//! [`Otlp`]: providers that export by OTLP, made from the environment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::time::timeout;

use super::runtime::{Runtime, apart};

/// A tracer's and a meter's provider that export to a collector by OTLP.
///
/// All of it goes on apart from the application: a thread of its own with a small runtime holds the
/// connections to the collector, two of the SDK's collect and send. So if the collector is down, or
/// slow, nobody waits: what cannot be sent is retried for a while, then dropped (spans), or sent with
/// the next collection (metrics, whose values are cumulative).
///
/// Dropped, it sends what there is left in the background, for as long as the process lives, and ends.
/// To wait for that: [`shutdown`](Self::shutdown).
///
/// ```no_run
/// use pool_metrics::{Monitor, otel};
/// use std::time::Duration;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = Monitor::new();
/// let otlp = otel::Otlp::from_env()?;
/// if let Some(otlp) = &otlp {
///     opentelemetry::global::set_tracer_provider(otlp.tracer_provider());
///     opentelemetry::global::set_meter_provider(otlp.meter_provider());
///     otel::export_metrics(&monitor, &opentelemetry::global::meter("shop"));
/// }
/// // .. the application; and in the end
/// if let Some(otlp) = otlp {
///     otlp.shutdown(Duration::from_secs(3)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it exports nothing more"]
pub struct Otlp {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
    /// Until it is shut down.
    runtime: Option<Runtime>,
}

/// How to speak to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    HttpProtobuf,
}

impl Otlp {
    /// To where `OTEL_EXPORTER_OTLP_ENDPOINT` says; `None`, and nothing is done, where that is not set
    /// or empty, or `OTEL_SDK_DISABLED` is `true`.
    ///
    /// | variable | is |
    /// |---|---|
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT` | where the collector is: `http://collector:4317` |
    /// | `OTEL_EXPORTER_OTLP_PROTOCOL` | `grpc` or `http/protobuf`; not set, it is `grpc` if the endpoint's port is 4317, else `http/protobuf` |
    /// | `OTEL_EXPORTER_OTLP_HEADERS` | `key=value,..` for each request, such as a token |
    /// | `OTEL_EXPORTER_OTLP_TIMEOUT` | how long a request may take, in ms (10000) |
    /// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | who exports |
    /// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces (`parentbased_always_on`) |
    /// | `OTEL_BSP_..` | how many spans wait for how long before they are sent |
    /// | `OTEL_METRIC_EXPORT_INTERVAL` | how often metrics are sent, in ms (60000) |
    ///
    /// The SDK reads more: those of one signal, such as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, come
    /// first. `https` needs a feature for TLS of the crate `opentelemetry-otlp`, such as `tls-ring`,
    /// which your application can switch on, and speaks gRPC only.
    ///
    /// # Errors
    /// If a variable has no meaning, or a thread cannot be made. Not if the collector does not answer.
    pub fn from_env() -> Result<Option<Self>, OtlpError> {
        let endpoint = var("OTEL_EXPORTER_OTLP_ENDPOINT");
        let disabled = var("OTEL_SDK_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true"));
        match endpoint {
            Some(endpoint) if !disabled => Self::build(Where::Environment { endpoint }).map(Some),
            _ => Ok(None),
        }
    }

    /// To this collector: `http://collector:4317`. All else as the environment says, see
    /// [`from_env`](Self::from_env).
    ///
    /// # Errors
    /// As of [`from_env`](Self::from_env).
    pub fn to(endpoint: &str, protocol: Protocol) -> Result<Self, OtlpError> {
        Self::build(Where::Here { endpoint: endpoint.trim_end_matches('/').to_owned(), protocol })
    }

    /// Gives tracers. Cheap to clone: it is the same one.
    pub fn tracer_provider(&self) -> SdkTracerProvider {
        self.tracers.clone()
    }

    /// Gives meters. Cheap to clone: it is the same one.
    pub fn meter_provider(&self) -> SdkMeterProvider {
        self.meters.clone()
    }

    /// Sends what there is left, for so long at most, and ends.
    ///
    /// # Errors
    /// If not all was sent in time, or the collector did not take it.
    ///
    /// # Cancel safety
    /// It goes on in the background, as it does for some seconds after an error.
    pub async fn shutdown(mut self, within: Duration) -> Result<(), OtlpError> {
        let Some(runtime) = self.runtime.take().map(Arc::new) else { return Ok(()) };
        let (tracers, meters) = (self.tracers.clone(), self.meters.clone());
        // The runtime is there until both have ended, which the SDK lets last some seconds at most; what
        // is still under way then fails at once, and so its thread ends.
        let (for_tracers, for_meters) = (runtime.clone(), runtime);
        let ends = [
            apart(move || (tracers.shutdown_with_timeout(within), for_tracers).0)?,
            apart(move || (meters.shutdown_with_timeout(within), for_meters).0)?,
        ];
        let end = async {
            let mut ended = Ok(());
            for end in ends {
                let end = end.await.map_err(|_| OtlpError("the SDK panicked".into()))?;
                ended = ended.and_then(|()| end.map_err(|error| OtlpError(error.to_string())));
            }
            ended
        };
        let late = |_| Err(OtlpError(format!("not all was sent within {within:?}")));
        timeout(within, end).await.unwrap_or_else(late)
    }

    fn build(place: Where) -> Result<Self, OtlpError> {
        let runtime = Runtime::start()?;
        let in_it = runtime.enter();
        let spans = match place.of("TRACES") {
            (endpoint, Protocol::Grpc) => {
                let exporter = SpanExporter::builder().with_tonic();
                set(exporter, endpoint).build()
            }
            (endpoint, Protocol::HttpProtobuf) => {
                let exporter = SpanExporter::builder().with_http();
                let exporter = exporter.with_http_client(runtime.client("TRACES"));
                set(exporter, endpoint.map(|url| url + "/v1/traces")).build()
            }
        };
        let metrics = match place.of("METRICS") {
            (endpoint, Protocol::Grpc) => {
                let exporter = MetricExporter::builder().with_tonic();
                set(exporter, endpoint).build()
            }
            (endpoint, Protocol::HttpProtobuf) => {
                let exporter = MetricExporter::builder().with_http();
                let exporter = exporter.with_http_client(runtime.client("METRICS"));
                set(exporter, endpoint.map(|url| url + "/v1/metrics")).build()
            }
        };
        drop(in_it);
        // What the SDK says may have the endpoint in it, with its password.
        let wrong = |_: opentelemetry_otlp::ExporterBuildError| {
            OtlpError(
                "no exporter can be made: is the endpoint a URL (http://host:4317)?".to_owned(),
            )
        };
        let (spans, metrics) = (spans.map_err(wrong)?, metrics.map_err(wrong)?);
        let resource = Resource::builder().build();
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(spans)
            .build();
        let meters = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(metrics)
            .build();
        Ok(Self { tracers, meters, runtime: Some(runtime) })
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            let (tracers, meters) = (self.tracers.clone(), self.meters.clone());
            // The SDK waits for the collector for some seconds, so not here. Without a thread there is
            // nothing to be done.
            let _ = apart(move || {
                let _ = (tracers.shutdown(), meters.shutdown());
                drop(runtime);
            });
        }
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").finish_non_exhaustive()
    }
}

/// The exporter could not be made, or could not send all. What it says names no token.
#[derive(Debug)]
pub struct OtlpError(pub(super) String);

impl fmt::Display for OtlpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "export by OTLP: {}", self.0)
    }
}

impl std::error::Error for OtlpError {}

enum Where {
    Environment { endpoint: String },
    Here { endpoint: String, protocol: Protocol },
}

impl Where {
    /// For this signal: where, unless the SDK finds it in the environment; and how.
    fn of(&self, signal: &str) -> (Option<String>, Protocol) {
        match self {
            Self::Here { endpoint, protocol } => (Some(endpoint.clone()), *protocol),
            Self::Environment { endpoint } => {
                let own = var(&format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"));
                let all = || var("OTEL_EXPORTER_OTLP_PROTOCOL");
                let endpoint = var(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
                    .unwrap_or_else(|| endpoint.clone());
                (None, protocol(own.or_else(all).as_deref(), &endpoint))
            }
        }
    }
}

fn protocol(named: Option<&str>, endpoint: &str) -> Protocol {
    match named {
        Some("grpc") => Protocol::Grpc,
        Some(_) => Protocol::HttpProtobuf,
        None if endpoint.trim_end_matches('/').ends_with(":4317") => Protocol::Grpc,
        None => Protocol::HttpProtobuf,
    }
}

fn set<E: WithExportConfig>(exporter: E, endpoint: Option<String>) -> E {
    match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    }
}

pub(super) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_tells_the_protocol_unless_it_is_named() {
        assert_eq!(protocol(None, "http://host:4317/"), Protocol::Grpc);
        assert_eq!(protocol(None, "http://host:4318"), Protocol::HttpProtobuf);
        assert_eq!(protocol(Some("grpc"), "http://host:4318"), Protocol::Grpc);
        assert_eq!(protocol(Some("http/protobuf"), "http://host:4317"), Protocol::HttpProtobuf);
    }
}
