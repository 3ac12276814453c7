//! The endpoints, for axum: [`Endpoints`], to nest in an application or to serve on a port of their own.
//!
//! ```no_run
//! # async fn shutdown() {}
//! # async fn example(monitor: pool_metrics::Monitor) -> Result<(), Box<dyn std::error::Error>> {
//! use pool_metrics::http::{Endpoints, Token};
//!
//! let endpoints = Endpoints::new(monitor).token(Token::from_env("OPS_TOKEN")?);
//! // In an application:
//! let app: axum::Router = axum::Router::new().nest("/ops", endpoints.clone().router());
//! // Or alone:
//! endpoints.serve("0.0.0.0:9187".parse()?, shutdown()).await?;
//! # Ok(()) }
//! ```
//!
//! | route | what it says | asks the database |
//! |---|---|---|
//! | `GET /livez` | `alive`, as long as the runtime answers | no |
//! | `GET /readyz` | a status word, of all databases together; 503 if unhealthy | no |
//! | `GET /metrics` | all metrics as text, or as OpenMetrics if asked for | no |
//! | `GET /api/connection-pool` | [`ConnectionPool`](crate::json::ConnectionPool) | no |
//! | `GET /api/db-health` | [`DatabaseHealth`](crate::json::DatabaseHealth); 503 if unhealthy | yes |
//! | `GET /api/v1/health` | [`HealthCheck`](crate::json::HealthCheck); 503 if unhealthy | yes |
//! | `GET /metrics/database/pool` | [`PoolMetrics`](crate::json::PoolMetrics) | no |
//! | `GET /metrics/database/health` | [`PoolHealth`](crate::json::PoolHealth); 503 if unhealthy | no |
//! | `GET /metrics/database/config` | [`Config`](crate::json::Config) | no |
//! | `GET /metrics/performance/summary` | [`PerformanceSummary`](crate::json::PerformanceSummary) | no |
//! | `GET /api/admin/database-health` | [`AdminHealth`](crate::json::AdminHealth); 503 if unhealthy; only with a token | yes |
//! | `POST /metrics/database/reset` | nothing; figures begin anew; only with a token | no |
//! | `GET /openapi.json` | all this as OpenAPI 3.1 | no |
//!
//! Where several databases are watched, `?pool=NAME` picks one; without it, it is the first. The three
//! health routes under `/api/db-health`, `/api/v1/health` and `/metrics/database/health` answer in
//! `application/health+json` ([`DraftHealth`](crate::json::DraftHealth)) where it is accepted.
//!
//! Point a liveness probe at `/livez` only: one that looks at the database restarts every instance when
//! the database is down. `/readyz` takes an instance out of service while its pool cannot serve, which
//! with one database for all is all of them.
//!
//! # Who may ask
//!
//! * **With a token** every route but `/livez` and `/readyz` needs `Authorization: Bearer TOKEN`;
//!   without it the answer is an empty 401.
//! * **Without one** [`Endpoints::bind`] listens on loopback only, and the `Host` of a request must be
//!   `localhost`, a loopback address or [allowed](Endpoints::allow_host), so that no web page gets at
//!   it by a name of its own that leads to this machine. Else the answer is 421.
//!
//! A [`router`](Endpoints::router) cannot know where the application listens. Without a token it
//! answers whoever reaches it with a loopback `Host`: nest it so only in what listens on loopback.

mod accept;
mod endpoints;
mod guard;
mod openapi;
mod routes;
mod server;
mod token;
mod unavailable;

pub use endpoints::Endpoints;
pub use server::{ServeError, Server};
pub use token::{Token, TokenError};
pub use unavailable::Unavailable;
