//! [`Unavailable`]: what an application answers when it got no connection.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pool_core::{AcquireError, AcquireErrorKind};

/// An [`AcquireError`] as an answer: 503 with `Retry-After`.
///
/// The body says only which kind it was. The diagnosis, with call sites and what the database said,
/// is for the log, not for a client.
///
/// ```
/// # use pool_core::{ConnectContext, ManagedPool, Manager};
/// # struct Numbers;
/// # impl Manager for Numbers {
/// #     type Connection = u64;
/// #     type Error = std::io::Error;
/// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
/// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// use axum::extract::State;
/// use pool_metrics::http::Unavailable;
///
/// async fn next(State(pool): State<ManagedPool<Numbers>>) -> Result<String, Unavailable> {
///     Ok(pool.acquire().await?.to_string())
/// }
/// # let _: axum::Router<ManagedPool<Numbers>> =
/// axum::Router::new().route("/next", axum::routing::get(next));
/// ```
#[derive(Clone, Debug)]
pub struct Unavailable(pub AcquireError);

impl From<AcquireError> for Unavailable {
    fn from(error: AcquireError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        let kind = self.0.kind();
        // These two are errors of the program: trying again is no use.
        if matches!(kind, AcquireErrorKind::NoRuntime | AcquireErrorKind::WouldBlockAsync) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let body = format!(r#"{{"error":"no database connection","kind":"{}"}}"#, kind.as_str());
        let headers = [(header::RETRY_AFTER, "1"), (header::CONTENT_TYPE, "application/json")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
    }
}
