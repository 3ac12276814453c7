//! The live page for operators: every database under watch, on one page that goes on by itself.
//!
//! ```
//! use pool_metrics::Monitor;
//! use pool_metrics::dashboard::Dashboard;
//!
//! let monitor = Monitor::new();
//! let dashboard = Dashboard::new(&monitor);
//! let app: axum::Router = dashboard.page().merge(dashboard.live());
//! // When the server is told to stop: dashboard.shutdown()
//! # let _ = app;
//! ```
//!
//! | route | what |
//! |---|---|
//! | `GET /dashboard` | the page; its scripts and style are below that |
//! | `GET /api/live` | [`Live`], once |
//! | `GET /api/live/events` | server-sent events: `history` (five minutes of points), then `live` each second |
//!
//! Nothing is loaded from elsewhere, and there is no data in the page itself: what is to be guarded
//! is [`live`](Dashboard::live). **It has no guard of its own.** Where a guard answers 401, the page
//! asks for a token and sends it as `Authorization: Bearer ..`; `/dashboard#token=..` saves the
//! asking. All addresses in the page are relative, so that the routes may be nested.
//!
//! # What it costs
//!
//! Nothing while nobody looks. Else one task reads the monitor once a second, and everybody who looks
//! gets the same bytes. Beyond [`max_streams`](Dashboard::max_streams) pages ask every few seconds
//! instead. Who reads slowly skips what is old; nothing is queued.

mod advice;
mod hub;
mod live;
mod masked;
mod reading;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::monitor::Monitor;
use hub::{Hub, Refused};

pub use advice::Condition;
pub use live::{
    Close, ConnectError, Database, LastProbe, Live, LiveEvent, LiveReason, OperationRow, Series,
    Side, Site, SlowRow, StatementRow, Times, WindowFigures,
};

const STREAMS: usize = 64;
/// When it may be worth asking again for a stream.
const RETRY_AFTER: (HeaderName, &str) = (header::RETRY_AFTER, "10");
const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
/// Nothing but what comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal, $kind:literal, $file:literal;)*) => {
        /// The page: path, type and text of each of its files.
        const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("dashboard/page/", $file)))),*];
    };
}

files! {
    "/dashboard", "text/html; charset=utf-8", "index.html";
    "/dashboard/style.css", "text/css; charset=utf-8", "style.css";
    "/dashboard/icon.svg", "image/svg+xml", "icon.svg";
    "/dashboard/main.js", "text/javascript; charset=utf-8", "main.js";
    "/dashboard/link.js", "text/javascript; charset=utf-8", "link.js";
    "/dashboard/page.js", "text/javascript; charset=utf-8", "page.js";
    "/dashboard/card.js", "text/javascript; charset=utf-8", "card.js";
    "/dashboard/chart.js", "text/javascript; charset=utf-8", "chart.js";
    "/dashboard/build.js", "text/javascript; charset=utf-8", "build.js";
    "/dashboard/words.js", "text/javascript; charset=utf-8", "words.js";
}

/// The live page's routes, and the end of them. Cheap to clone.
///
/// It does not keep the monitor: when that is gone, streams end.
#[derive(Clone, Debug)]
pub struct Dashboard(Arc<Hub>);

impl Dashboard {
    /// With at most 64 streams at once.
    pub fn new(monitor: &Monitor) -> Self {
        Self::with_max_streams(monitor, STREAMS)
    }

    /// With at most this many streams at once. Who comes beyond that gets a 503 with `Retry-After`,
    /// and the page asks for `/api/live` every few seconds instead.
    pub fn with_max_streams(monitor: &Monitor, max_streams: usize) -> Self {
        Self(Arc::new(Hub::new(monitor, max_streams)))
    }

    /// How many streams there may be at once.
    pub fn max_streams(&self) -> usize {
        self.0.max_streams()
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.0.streams()
    }

    /// The page with its scripts and style: the same for everybody, without data.
    pub fn page(&self) -> Router {
        FILES.iter().fold(Router::new(), |router, (path, kind, text)| {
            router.route(path, get(|| file(kind, text))) //
        })
    }

    /// What the page shows: to be guarded like anything that tells of a service from within.
    pub fn live(&self) -> Router {
        Router::new()
            .route("/api/live", get(document))
            .route("/api/live/events", get(events))
            .with_state(self.0.clone())
    }

    /// Ends all streams and begins no more, so that a server that waits for its connections can end.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

/// A file is asked for again each time, so that a page never goes with the script of another version.
async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}

async fn document(State(hub): State<Arc<Hub>>) -> Response {
    match hub.document() {
        Some(json) => {
            ([(header::CONTENT_TYPE, "application/json"), NO_STORE], json).into_response()
        }
        None => refused("nothing is watched any more"),
    }
}

async fn events(State(hub): State<Arc<Hub>>) -> Response {
    match hub.stream() {
        Ok(stream) => {
            // Proxies that collect what they pass on would keep a page waiting.
            let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
            let headers = [(header::CONTENT_TYPE, "text/event-stream"), NO_STORE, unbuffered];
            (headers, Body::from_stream(stream)).into_response()
        }
        Err(Refused::Full) => refused("too many look already; ask for /api/live"),
        Err(Refused::Over) => refused("nothing is watched any more"),
    }
}

fn refused(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [RETRY_AFTER, NO_STORE], why).into_response()
}
