//! The routes: what is asked of the monitor, and with which status it is answered.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;

use super::accept::prefers;
use super::asked::{Asked, Problem, Which};
use super::{Endpoints, openapi};
use crate::health::Status;
use crate::json::{
    AdminHealth, Config, ConnectionPool, DatabaseHealth, DraftHealth, HealthCheck,
    PerformanceSummary, PoolHealth, PoolMetrics,
};
use crate::prometheus;

type Shared = State<Arc<Endpoints>>;

const HEALTH_JSON: &str = "application/health+json";

/// All of them.
pub(super) fn table() -> [(&'static str, MethodRouter<Arc<Endpoints>>); 13] {
    [
        ("/livez", get(livez)),
        ("/readyz", get(readyz)),
        ("/metrics", get(metrics)),
        ("/api/connection-pool", get(connection_pool)),
        ("/api/db-health", get(db_health)),
        ("/api/v1/health", get(health)),
        ("/metrics/database/pool", get(pool_metrics)),
        ("/metrics/database/health", get(pool_health)),
        ("/metrics/database/config", get(config)),
        ("/metrics/performance/summary", get(summary)),
        ("/api/admin/database-health", get(admin)),
        ("/metrics/database/reset", post(reset)),
        ("/openapi.json", get(document)),
    ]
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    typed(status, "application/json", body)
}

fn typed(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("structs with names for keys");
    (status, [(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// Degraded is no reason to send requests elsewhere.
fn code(status: Status) -> StatusCode {
    match status {
        Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        Status::Healthy | Status::Degraded => StatusCode::OK,
    }
}

/// Health, in the draft's form where it is asked for.
fn healthy(
    headers: &HeaderMap,
    status: Status,
    draft: impl FnOnce() -> DraftHealth,
    plain: &impl Serialize,
) -> Response {
    if prefers(headers, HEALTH_JSON, "application/json") {
        return typed(code(status), HEALTH_JSON, &draft());
    }
    json(code(status), plain)
}

type Answer = Result<Response, Problem>;

/// Whether this process answers. Looks at no database.
#[utoipa::path(get, path = "/livez", security(()), responses(
    (status = 200, description = "It does.", body = String, content_type = "text/plain"),
))]
pub(super) async fn livez() -> &'static str {
    "alive"
}

/// Whether this process can serve requests: a status word, from what all its pools know.
#[utoipa::path(get, path = "/readyz", security(()), responses(
    (status = 200, description = "It can.", body = String, content_type = "text/plain"),
    (status = 503, description = "It cannot.", body = String, content_type = "text/plain"),
))]
pub(super) async fn readyz(State(endpoints): Shared) -> Response {
    let status = endpoints.monitor.health().status;
    (code(status), status.as_str()).into_response()
}

/// All metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "All metrics.", content(
        (String = "text/plain"), (String = "application/openmetrics-text"),
    )),
    openapi::Refused,
))]
pub(super) async fn metrics(State(endpoints): Shared, headers: HeaderMap) -> Response {
    let (media_type, body) = if prefers(&headers, "application/openmetrics-text", "text/plain") {
        (prometheus::OPENMETRICS, prometheus::openmetrics(&endpoints.monitor))
    } else {
        (prometheus::TEXT, prometheus::text(&endpoints.monitor))
    };
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// A pool in the words of Go's `database/sql`.
#[utoipa::path(get, path = "/api/connection-pool", params(Which), responses(
    (status = 200, description = "The pool as it is now.", body = ConnectionPool),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn connection_pool(State(endpoints): Shared, asked: Asked) -> Answer {
    Ok(json(StatusCode::OK, &ConnectionPool::of(&asked.report(&endpoints)?)))
}

/// Whether the database answers, and what may be wrong with its pool.
#[utoipa::path(get, path = "/api/db-health", params(Which), responses(
    (status = 200, description = "Healthy or degraded.", content(
        (DatabaseHealth = "application/json"), (DraftHealth = "application/health+json"),
    )),
    (status = 503, description = "Unhealthy.", content(
        (DatabaseHealth = "application/json"), (DraftHealth = "application/health+json"),
    )),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn db_health(
    State(endpoints): Shared,
    asked: Asked,
    headers: HeaderMap,
) -> Answer {
    let (report, probe) = asked.check(&endpoints).await?;
    let health = DatabaseHealth::of(&report, &probe);
    let draft = || DraftHealth::of(&report, Some(&probe));
    Ok(healthy(&headers, health.status, draft, &health))
}

/// Whether the database answers, and how soon.
#[utoipa::path(get, path = "/api/v1/health", params(Which), responses(
    (status = 200, description = "Healthy or degraded.", content(
        (HealthCheck = "application/json"), (DraftHealth = "application/health+json"),
    )),
    (status = 503, description = "Unhealthy.", content(
        (HealthCheck = "application/json"), (DraftHealth = "application/health+json"),
    )),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn health(State(endpoints): Shared, asked: Asked, headers: HeaderMap) -> Answer {
    let (report, probe) = asked.check(&endpoints).await?;
    let health = HealthCheck::of(&report, &probe);
    let draft = || DraftHealth::of(&report, Some(&probe));
    Ok(healthy(&headers, health.status, draft, &health))
}

/// A pool's figures.
#[utoipa::path(get, path = "/metrics/database/pool", params(Which), responses(
    (status = 200, description = "The pool as it is now.", body = PoolMetrics),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn pool_metrics(State(endpoints): Shared, asked: Asked) -> Answer {
    Ok(json(StatusCode::OK, &PoolMetrics::of(&asked.report(&endpoints)?)))
}

/// How a database is, from what its pool knows.
#[utoipa::path(get, path = "/metrics/database/health", params(Which), responses(
    (status = 200, description = "Healthy or degraded.", content(
        (PoolHealth = "application/json"), (DraftHealth = "application/health+json"),
    )),
    (status = 503, description = "Unhealthy.", content(
        (PoolHealth = "application/json"), (DraftHealth = "application/health+json"),
    )),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn pool_health(
    State(endpoints): Shared,
    asked: Asked,
    headers: HeaderMap,
) -> Answer {
    let report = asked.report(&endpoints)?;
    let health = PoolHealth::of(&report);
    Ok(healthy(&headers, health.status, || DraftHealth::of(&report, None), &health))
}

/// The settings by which a database's pools go now.
#[utoipa::path(get, path = "/metrics/database/config", params(Which), responses(
    (status = 200, description = "The settings.", body = Config),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn config(State(endpoints): Shared, asked: Asked) -> Answer {
    Ok(json(StatusCode::OK, &Config::of(&asked.report(&endpoints)?)))
}

/// The figures to look at first.
#[utoipa::path(get, path = "/metrics/performance/summary", params(Which), responses(
    (status = 200, description = "The figures.", body = PerformanceSummary),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn summary(State(endpoints): Shared, asked: Asked) -> Answer {
    let report = asked.report(&endpoints)?;
    Ok(json(StatusCode::OK, &PerformanceSummary::of(&report, &endpoints.monitor)))
}

/// Everything about a database, with the application's counts. Not there without a token.
#[utoipa::path(get, path = "/api/admin/database-health", params(Which), responses(
    (status = 200, description = "Healthy or degraded.", body = AdminHealth),
    (status = 503, description = "Unhealthy.", body = AdminHealth),
    openapi::WrongQuery, openapi::Refused,
))]
pub(super) async fn admin(State(endpoints): Shared, asked: Result<Asked, Problem>) -> Answer {
    if !endpoints.has_token() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let asked = asked?;
    let (checked, counts) = tokio::join!(asked.check(&endpoints), endpoints.count());
    let (report, probe) = checked?;
    let health = AdminHealth::of(&report, &probe, counts);
    Ok(json(code(health.status), &health))
}

/// Lets the figures of all databases begin anew, but for `/metrics`. Not there without a token.
#[utoipa::path(post, path = "/metrics/database/reset", responses(
    (status = 204, description = "They did."),
    (status = 404, description = "There is no token."),
    openapi::Refused,
))]
pub(super) async fn reset(State(endpoints): Shared) -> StatusCode {
    if !endpoints.has_token() {
        return StatusCode::NOT_FOUND;
    }
    endpoints.monitor.reset();
    StatusCode::NO_CONTENT
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses(
    (status = 200, description = "This document.", body = Object),
    openapi::Refused,
))]
pub(super) async fn document(OriginalUri(uri): OriginalUri) -> Response {
    // Where the application has nested the routes.
    let nested = uri.path().strip_suffix("/openapi.json").unwrap_or_default();
    json(StatusCode::OK, &openapi::document(nested))
}
