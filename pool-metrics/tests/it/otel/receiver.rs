//! A collector for tests: takes OTLP by gRPC or HTTP, keeps all, and can go down and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status, transport::Server};

/// What has come.
#[derive(Clone, Default)]
pub(super) struct Received(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
    headers: Vec<String>,
}

impl Received {
    /// All spans so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        let kept = self.0.lock().unwrap();
        let resources = kept.traces.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    pub(super) fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The metrics of the last request.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let kept = self.0.lock().unwrap();
        let last = kept.metrics.last().expect("metrics have come");
        let scopes = last.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| scope.metrics.clone()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().metrics.len()
    }

    /// All that has come, headers too, as text.
    pub(super) fn text(&self) -> String {
        let kept = self.0.lock().unwrap();
        format!("{:?} {:?} {:?}", kept.traces, kept.metrics, kept.headers)
    }
}

/// The value of an attribute; empty, if there is none.
pub(super) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key}: {other:?}"),
    }
}

/// A collector that is up until it is dropped, on threads of its own.
pub(super) struct Receiver {
    pub(super) received: Received,
    pub(super) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Receiver {
    pub(super) fn grpc() -> Self {
        Self::grpc_at(([127, 0, 0, 1], 0).into(), Received::default())
    }

    pub(super) fn grpc_at(address: SocketAddr, received: Received) -> Self {
        let (runtime, listener) = bind(address);
        let address = listener.local_addr().unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .add_service(MetricsServiceServer::new(received.clone()))
            .serve_with_incoming(incoming);
        runtime.spawn(server);
        Self { received, address, runtime: Some(runtime) }
    }

    pub(super) fn http() -> Self {
        let (runtime, listener) = bind(([127, 0, 0, 1], 0).into());
        let (address, received) = (listener.local_addr().unwrap(), Received::default());
        let to = received.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(take_http(socket, to.clone()));
            }
        });
        Self { received, address, runtime: Some(runtime) }
    }

    /// Takes connections and says nothing.
    pub(super) fn silent() -> Self {
        let (runtime, listener) = bind(([127, 0, 0, 1], 0).into());
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let mut open = Vec::new();
            while let Ok((socket, _)) = listener.accept().await {
                open.push(socket);
            }
        });
        Self { received: Received::default(), address, runtime: Some(runtime) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A collector that went down has left its port a moment ago, or is about to.
fn bind(address: SocketAddr) -> (Runtime, TcpListener) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let bound = async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let listener =
        std::thread::scope(|scope| scope.spawn(|| runtime.block_on(bound)).join().expect("binds"));
    (runtime, listener)
}

async fn take_http(socket: TcpStream, to: Received) {
    let mut socket = BufReader::new(socket);
    loop {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_owned();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().unwrap();
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        {
            let mut kept = to.0.lock().unwrap();
            match head[0].as_str() {
                "POST /v1/traces HTTP/1.1" => {
                    kept.traces.push(ExportTraceServiceRequest::decode(&*body).unwrap());
                }
                "POST /v1/metrics HTTP/1.1" => {
                    kept.metrics.push(ExportMetricsServiceRequest::decode(&*body).unwrap());
                }
                other => panic!("{other}"),
            }
            kept.headers.extend(head);
        }
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if socket.write_all(answer).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        kept.headers.push(format!("{:?}", request.metadata()));
        kept.traces.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        kept.headers.push(format!("{:?}", request.metadata()));
        kept.metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}
