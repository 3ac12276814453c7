//! [`Spans`]: acquires, connects, statements and transactions as spans.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use pool_core::{AcquireFailed, Acquired, ConnectFailed, Connected, Metrics};
use pool_sql::{Outcome, Statement, StatementObserver, TransactionEnd, TransactionEnded};

use super::{ERROR_TYPE, OPERATION, POOL_NAME, SYSTEM};

/// Makes spans of what a pool and its connections tell: for the `metrics` and the `observer` of a
/// pool's builder. Cheap to clone.
///
/// | span | kind | from, until |
/// |---|---|---|
/// | `acquire` | internal | the acquire began to wait, it got a connection or none |
/// | `connect` | client | the pool began to connect, the connection was ready or not |
/// | the operation's name, or the database's | client | the statement was sent, it was answered or given up |
/// | `transaction` | internal | its begin was sent, it had ended or was dropped |
///
/// Each is made when its thing has ended, as a child of the span that is current then
/// ([`Context::current`]). So a statement within a transaction is not its child but its sibling. A
/// transaction that was rolled back is no error, one whose end nobody knows is: `lost`. If no
/// span is current that is sampled, none is made, which is found out in 5 ns; but for connects, which
/// the pool does for itself and for nobody's request: they begin traces of their own, as the sampler
/// likes.
///
/// What is current is what the application has attached, or `FutureExt::with_context` has. With spans
/// of the crate `tracing` it is theirs, if they are bridged by a `tracing-opentelemetry` that activates
/// them as it does by default: 0.34 does, the one for this version of OpenTelemetry.
///
/// Nobody's values are in a span, nor messages of errors, as these may quote values or passwords; only
/// their codes and classes. The text of a statement, with its placeholders, is, if you want that:
/// [`with_query_text`](Self::with_query_text).
#[derive(Clone)]
pub struct Spans {
    make: Arc<Make>,
    roots: bool,
    query_text: bool,
}

type Make = dyn Fn(SpanBuilder, &Context, Status, SystemTime) + Send + Sync;

impl Spans {
    /// By this tracer: `opentelemetry::global::tracer("..")`, or one of a provider's.
    pub fn new<T: Tracer + Send + Sync + 'static>(tracer: T) -> Self {
        let make = move |builder: SpanBuilder, parent: &Context, status, end| {
            let mut span = tracer.build_with_context(builder, parent);
            span.set_status(status);
            span.end_with_timestamp(end);
        };
        Self { make: Arc::new(make), roots: false, query_text: false }
    }

    /// Also where no span is current: these begin traces of their own, as the sampler likes.
    #[must_use]
    pub fn with_roots(self) -> Self {
        Self { roots: true, ..self }
    }

    /// With the text of statements, its placeholders unfilled, as `db.query.text`, where the backend
    /// tells it. A text into which the application has written values has them.
    #[must_use]
    pub fn with_query_text(self) -> Self {
        Self { query_text: true, ..self }
    }

    #[inline]
    fn is_wanted(&self) -> bool {
        Context::map_current(|current| match current.has_active_span() {
            true => current.span().span_context().is_sampled(),
            false => self.roots,
        })
    }

    /// A span that ends now, of this length.
    fn make(&self, name: impl Into<Cow<'static, str>>, made: Made) {
        let Made { kind, took, mut attributes, error } = made;
        let end = SystemTime::now();
        let status = match &error {
            None => Status::Unset,
            Some(error) => Status::error(error.clone()),
        };
        attributes.extend(error.map(|error| KeyValue::new(ERROR_TYPE, error)));
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes(attributes);
        (self.make)(builder, &Context::current(), status, end);
    }

    fn acquire(
        &self,
        pool: &str,
        (operation, site): (Option<&'static str>, &'static Location<'static>),
        waited: Duration,
        error: Option<&'static str>,
    ) {
        let mut attributes = vec![
            KeyValue::new(POOL_NAME, pool.to_owned()),
            KeyValue::new("code.file.path", site.file()),
            KeyValue::new("code.line.number", i64::from(site.line())),
        ];
        attributes.extend(operation.map(|name| KeyValue::new(OPERATION, name)));
        let (kind, error) = (SpanKind::Internal, error.map(Cow::Borrowed));
        self.make("acquire", Made { kind, took: waited, attributes, error });
    }

    fn connect(&self, pool: &str, took: Duration, error: Option<&'static str>) {
        let attributes = vec![KeyValue::new(POOL_NAME, pool.to_owned())];
        let (kind, error) = (SpanKind::Client, error.map(Cow::Borrowed));
        self.make("connect", Made { kind, took, attributes, error });
    }
}

struct Made {
    kind: SpanKind,
    took: Duration,
    attributes: Vec<KeyValue>,
    error: Option<Cow<'static, str>>,
}

impl Metrics for Spans {
    fn connected(&self, event: &Connected<'_>) {
        self.connect(event.pool, event.took, None);
    }

    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        self.connect(event.pool, event.took, Some(event.class.as_str()));
    }

    fn acquired(&self, event: &Acquired<'_>) {
        if self.is_wanted() {
            self.acquire(event.pool, (event.operation, event.site), event.waited, None);
        }
    }

    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        if self.is_wanted() {
            let error = Some(event.kind.as_str());
            self.acquire(event.pool, (event.operation, event.site), event.waited, error);
        }
    }
}

impl StatementObserver for Spans {
    fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        if !self.is_wanted() {
            return;
        }
        let mut attributes = named(statement.backend, statement.operation);
        if let (true, Some(sql)) = (self.query_text, statement.sql) {
            attributes.push(KeyValue::new("db.query.text", sql.to_owned()));
        }
        let error = outcome.error.as_ref().map(ToString::to_string);
        // What databases say has numbers in it; what backends say of their own are words.
        if let Some(code) = error.as_ref().filter(|code| code.contains(|c: char| c.is_numeric())) {
            attributes.push(KeyValue::new("db.response.status_code", code.clone()));
        }
        let error = error.map(Cow::Owned);
        let (kind, took) = (SpanKind::Client, outcome.took);
        let name = statement.operation.unwrap_or(statement.backend);
        self.make(name, Made { kind, took, attributes, error });
    }

    fn transaction_ended(&self, transaction: &TransactionEnded) {
        if !self.is_wanted() {
            return;
        }
        let mut attributes = named(transaction.backend, transaction.operation);
        attributes.push(KeyValue::new("pool.transaction.end", transaction.end.as_str()));
        let lost = transaction.end == TransactionEnd::Lost;
        let error = lost.then(|| transaction.end.as_str().into());
        let (kind, took) = (SpanKind::Internal, transaction.took);
        self.make("transaction", Made { kind, took, attributes, error });
    }
}

fn named(system: &'static str, operation: Option<&'static str>) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(SYSTEM, system)];
    attributes.extend(operation.map(|name| KeyValue::new(OPERATION, name)));
    attributes
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans")
            .field("roots", &self.roots)
            .field("query_text", &self.query_text)
            .finish_non_exhaustive()
    }
}
