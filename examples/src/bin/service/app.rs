//! The application itself: visits, counted.

use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pool_core::AcquireError;
use pool_metrics::http::Unavailable;
use pool_sql::Queries as _;
use pool_sqlite::{SqliteError, SqlitePool};
use serde::Serialize;

/// Why a request cannot be served.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is no connection.
    Acquire(AcquireError),
    /// The database says no.
    Sql(SqliteError),
}

impl From<AcquireError> for Fault {
    fn from(error: AcquireError) -> Self {
        Self::Acquire(error)
    }
}

impl From<SqliteError> for Fault {
    fn from(error: SqliteError) -> Self {
        Self::Sql(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire(error) => error.fmt(f),
            Self::Sql(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        // The diagnosis is for whoever runs the service, not for its client.
        eprintln!("{self}");
        match self {
            Self::Acquire(error) => Unavailable(error).into_response(),
            Self::Sql(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[derive(Serialize)]
struct Visits {
    visits: u64,
}

pub(crate) async fn prepare(pool: &SqlitePool) -> Result<(), Fault> {
    let table = "CREATE TABLE IF NOT EXISTS visit (at INTEGER NOT NULL DEFAULT (unixepoch()))";
    pool.write().operation("prepare").await?.execute_values(table, &[]).await?;
    Ok(())
}

pub(crate) fn router(pool: SqlitePool) -> Router {
    Router::new().route("/visits", get(list).post(add)).with_state(pool)
}

async fn list(State(pool): State<SqlitePool>) -> Result<Json<Visits>, Fault> {
    Ok(Json(Visits { visits: visits(&pool).await? }))
}

async fn add(State(pool): State<SqlitePool>) -> Result<StatusCode, Fault> {
    let mut connection = pool.write().operation("add_visit").await?;
    connection.execute_values("INSERT INTO visit DEFAULT VALUES", &[]).await?;
    Ok(StatusCode::CREATED)
}

/// How many there are.
pub(crate) async fn visits(pool: &SqlitePool) -> Result<u64, Fault> {
    let mut connection = pool.read().operation("count_visits").await?;
    let count = "SELECT count(*) FROM visit";
    let count: u32 = connection.inline(|c| c.query_row(count, [], |row| row.get(0))).await?;
    Ok(count.into())
}
