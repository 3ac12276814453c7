//! Spans are where they belong, say what they may, and are not made for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::trace::{FutureExt, SpanKind, TraceContextExt, TraceId, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, metrics::MeterProvider};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanData,
};
use pool_core::{ConnectContext, ErrorClass, ManagedPool, Manager};
use pool_metrics::Monitor;
use pool_metrics::otel::{self, Otlp, Spans};
use pool_sql::{ErrorCode, Outcome, Statement, StatementObserver};
use pool_sqlite::SqliteBuilder;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use super::receiver::{Receiver, attribute};
use super::{flush, to};
use crate::support::{ms, rounds, watched};

/// Is in values, in texts and in messages of errors, and comes out nowhere.
const CANARY: &str = "canary-4711";

fn spans_of(otlp: &Otlp) -> Arc<Spans> {
    Arc::new(Spans::new(otlp.tracer_provider().tracer("pool")))
}

/// Runs this within a span `request`.
async fn in_request<T>(otlp: &Otlp, run: impl Future<Output = T>) -> T {
    let request = otlp.tracer_provider().tracer("application").start("request");
    run.with_context(Context::current_with_span(request)).await
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn says(span: &Span, key: &str) -> String {
    attribute(&span.attributes, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_sqlite_is_one_trace_and_has_nobodys_values() {
    let (receiver, monitor) = (Receiver::grpc(), Monitor::new());
    let otlp = to(&receiver);
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let spans = Arc::new(Spans::clone(&spans_of(&otlp)).with_query_text());
    let builder = SqliteBuilder::in_shared_memory().max_size(2);
    let builder = builder.metrics(monitor.metrics()).observer(monitor.statements_observer());
    let pool = builder.metrics(spans.clone()).observer(spans).build().await.unwrap();
    monitor.watch("plots", pool.views());

    in_request(&otlp, async {
        let mut conn = pool.write().operation("save_plot").await.unwrap();
        conn.call(|c| c.execute_batch("CREATE TABLE plots (name TEXT)")).await.unwrap();
        let mut transaction = conn.begin().await.unwrap();
        let insert = "INSERT INTO plots VALUES (?)";
        transaction.call(move |c| c.execute(insert, [CANARY]).map(drop)).await.unwrap();
        transaction.commit().await.unwrap();
        drop(conn.begin().await.unwrap());
        let wrong = format!("INSERT INTO plotz VALUES ('{CANARY}')");
        conn.call(move |c| c.execute(&wrong, []).map(drop)).await.unwrap_err();
    })
    .await;
    assert!(flush(&otlp).await);

    let [request] = &receiver.received.named("request")[..] else { panic!("one request") };
    let of = |name: &str| {
        let all = receiver.received.named(name);
        for span in &all {
            assert_eq!(span.trace_id, request.trace_id, "{span:?}");
            assert_eq!(span.parent_span_id, request.span_id, "{span:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            assert!(span.end_time_unix_nano <= request.end_time_unix_nano);
            assert_eq!(says(span, "db.operation.name"), "save_plot");
        }
        all
    };
    let [acquire] = &of("acquire")[..] else { panic!("one acquire") };
    assert_eq!(acquire.kind(), opentelemetry_proto::tonic::trace::v1::span::SpanKind::Internal);
    assert!(says(acquire, "code.file.path").ends_with("spans.rs"));
    assert!(says(acquire, "code.line.number").parse::<u32>().unwrap() > 0);
    assert_eq!(says(acquire, "db.client.connection.pool.name"), pool.writer().snapshot().name);

    let statements = of("save_plot");
    assert!(statements.len() >= 3, "{statements:?}");
    for statement in &statements {
        assert_eq!(statement.kind(), opentelemetry_proto::tonic::trace::v1::span::SpanKind::Client);
        assert_eq!(says(statement, "db.system.name"), "sqlite");
    }
    let failed: Vec<_> = statements.iter().filter(|statement| is_error(statement)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(says(failed[0], "error.type"), "1", "SQLITE_ERROR");
    assert_eq!(says(failed[0], "db.response.status_code"), "1");

    let ends: Vec<_> = of("transaction").iter().map(|t| says(t, "pool.transaction.end")).collect();
    assert_eq!(ends, ["committed", "rolled_back"]);
    assert!(!receiver.received.named("connect").is_empty());
    assert!(!receiver.received.text().contains("canary"), "{}", receiver.received.text());
}

/// Its server lets nobody in, and quotes the password.
struct Locked;

impl Manager for Locked {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<(), Self::Error> {
        Err(std::io::Error::other(format!("wrong password: {CANARY}")))
    }

    async fn ping(&self, (): &mut ()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn classify(&self, _: &Self::Error) -> ErrorClass {
        ErrorClass::Permanent
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_show_their_class_and_no_password() {
    let receiver = Receiver::grpc();
    let otlp = to(&receiver);
    let pool = ManagedPool::builder(Locked).metrics(spans_of(&otlp)).build().unwrap();
    in_request(&otlp, async { pool.acquire().await.unwrap_err() }).await;
    let monitor = Monitor::new();
    let (_server, busy) = watched(&monitor, 1, |builder| builder.metrics(spans_of(&otlp)));
    in_request(&otlp, async {
        let _held = busy.acquire().await.unwrap();
        busy.acquire().within(ms(30)).await.unwrap_err();
    })
    .await;
    assert!(flush(&otlp).await);

    let connect = &receiver.received.named("connect")[0];
    assert!(is_error(connect) && connect.parent_span_id.is_empty());
    assert_eq!(says(connect, "error.type"), "permanent");
    let acquires = receiver.received.named("acquire");
    let errors: Vec<_> = acquires.iter().map(|span| says(span, "error.type")).collect();
    assert_eq!(errors, ["connect", "", "timed_out"]);
    assert_eq!(acquires.iter().map(is_error).collect::<Vec<_>>(), [true, false, true]);
    let waited = acquires[2].end_time_unix_nano - acquires[2].start_time_unix_nano;
    assert!(waited >= 30_000_000, "{waited}");
    assert!(!receiver.received.text().contains("canary"), "{}", receiver.received.text());
}

/// Counts how often it is asked.
#[derive(Clone, Debug)]
struct Asked(Arc<AtomicUsize>, Sampler);

impl ShouldSample for Asked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// A provider that keeps its spans here, its sampler's count, and its spans.
fn kept(sampler: Sampler) -> (SdkTracerProvider, Arc<AtomicUsize>, InMemorySpanExporter) {
    let (asked, exporter) = (Arc::<AtomicUsize>::default(), InMemorySpanExporter::default());
    let provider = SdkTracerProvider::builder()
        .with_sampler(Asked(asked.clone(), sampler))
        .with_simple_exporter(exporter.clone())
        .build();
    (provider, asked, exporter)
}

fn all(exporter: &InMemorySpanExporter) -> Vec<SpanData> {
    exporter.get_finished_spans().unwrap()
}

#[tokio::test]
async fn what_is_not_sampled_asks_no_sampler() {
    let (provider, asked, exporter) = kept(Sampler::AlwaysOff);
    let tracer = provider.tracer("pool");
    let monitor = Monitor::new();
    let spans = Arc::new(Spans::new(provider.tracer("pool")));
    let (_server, pool) = watched(&monitor, 1, |builder| builder.metrics(spans.clone()));
    rounds(&pool, 1).await; // with the one connect, which asks
    let before = asked.load(Ordering::Relaxed);

    let request = tracer.start("request");
    rounds(&pool, 10).with_context(Context::current_with_span(request)).await;
    rounds(&pool, 10).await;
    spans.finished(&Statement::new("sqlite"), &Outcome::new(ms(1)));
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1, "the request itself");
    assert!(all(&exporter).is_empty());
}

#[tokio::test]
async fn roots_and_texts_are_there_if_they_are_wanted() {
    let (provider, _, exporter) = kept(Sampler::AlwaysOn);
    let statement = Statement::new("mysql").with_sql("SELECT name FROM plots WHERE id = ?");
    let spans = Spans::new(provider.tracer("pool"));
    spans.finished(&statement, &Outcome::new(ms(1)));
    assert!(all(&exporter).is_empty());

    let spans = spans.with_roots();
    spans.finished(&statement, &Outcome::new(ms(1)));
    let cancelled = Outcome::new(ms(1)).with_error(ErrorCode::new("cancelled"));
    spans.with_query_text().finished(&statement, &cancelled);
    let [plain, with_text] = &all(&exporter)[..] else { panic!("two spans") };
    assert_eq!((plain.name.as_ref(), with_text.name.as_ref()), ("mysql", "mysql"));
    let says = |span: &SpanData, key: &str| {
        let found = span.attributes.iter().find(|a| a.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    };
    assert_eq!(says(plain, "db.query.text"), None);
    assert_eq!(says(with_text, "db.query.text").as_deref(), statement.sql);
    assert_eq!(says(with_text, "error.type").as_deref(), Some("cancelled"));
    assert_eq!(says(with_text, "db.response.status_code"), None, "the server said nothing");
    let took = plain.end_time.duration_since(plain.start_time).unwrap();
    assert_eq!(took, ms(1));
}

#[tokio::test]
async fn spans_of_the_crate_tracing_are_parents_too() {
    let (provider, _, exporter) = kept(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("application"));
    let _on_this_thread =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let monitor = Monitor::new();
    let spans = Arc::new(Spans::new(provider.tracer("pool")));
    let (_server, pool) = watched(&monitor, 1, |builder| builder.metrics(spans));
    rounds(&pool, 1).instrument(tracing::info_span!("request")).await;

    let all = all(&exporter);
    let of = |name: &str| all.iter().find(|span| span.name == name).expect(name);
    assert_eq!(of("acquire").parent_span_id, of("request").span_context.span_id());
    assert_eq!(of("acquire").span_context.trace_id(), of("request").span_context.trace_id());
}
