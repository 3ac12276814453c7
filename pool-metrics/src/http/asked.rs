//! [`Asked`]: the database that a query names.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Endpoints;
use super::routes::json;
use crate::health::Probe;
use crate::watched::Report;

/// A query.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The name under which the database is watched; the first one if this is missing.
    pool: Option<String>,
}

/// The name of a database that is watched.
pub(super) struct Asked(String);

/// Why there is no answer. What was asked is not repeated: it may have been meant for a header.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// What is wrong.
    error: &'static str,
    /// The names of the databases there are.
    pools: Vec<String>,
}

impl Problem {
    fn bad(endpoints: &Endpoints) -> Self {
        let error = "the query is wrong: want ?pool= with one of these, or none";
        Self { status: StatusCode::BAD_REQUEST, error, pools: endpoints.monitor.names() }
    }

    fn unknown(endpoints: &Endpoints) -> Self {
        let error = "no database is watched under this name: want ?pool= with one of these";
        Self { status: StatusCode::NOT_FOUND, error, pools: endpoints.monitor.names() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        json(self.status, &self)
    }
}

impl FromRequestParts<Arc<Endpoints>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        endpoints: &Arc<Endpoints>,
    ) -> Result<Self, Problem> {
        let query: Result<Query<Which>, QueryRejection> =
            Query::from_request_parts(parts, endpoints).await;
        let Query(Which { pool }) = query.map_err(|_| Problem::bad(endpoints))?;
        let mut names = endpoints.monitor.names().into_iter();
        let found = match pool {
            Some(pool) => names.find(|name| *name == pool),
            None => names.next(),
        };
        found.map(Self).ok_or_else(|| Problem::unknown(endpoints))
    }
}

impl Asked {
    /// The database as it is now. It may be watched no longer.
    pub(super) fn report(&self, endpoints: &Endpoints) -> Result<Report, Problem> {
        endpoints.monitor.report(&self.0).ok_or_else(|| Problem::unknown(endpoints))
    }

    /// The same, once it has answered or not.
    pub(super) async fn check(&self, endpoints: &Endpoints) -> Result<(Report, Probe), Problem> {
        endpoints.check(&self.0).await.ok_or_else(|| Problem::unknown(endpoints))
    }
}
