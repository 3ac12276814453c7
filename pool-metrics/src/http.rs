//! The endpoints, for axum: [`Endpoints`], to nest in an application or to serve on their own.
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
//! | `GET /readyz` | a status word, of all databases together; 503 | no |
//! | `GET /metrics` | all metrics as text, or as OpenMetrics if asked for | no |
//! | `GET /api/connection-pool` | [`ConnectionPool`] | no |
//! | `GET /api/db-health` | [`DatabaseHealth`]; 503 | yes |
//! | `GET /api/v1/health` | [`HealthCheck`]; 503 | yes |
//! | `GET /metrics/database/pool` | [`PoolMetrics`] | no |
//! | `GET /metrics/database/health` | [`PoolHealth`]; 503 | no |
//! | `GET /metrics/database/config` | [`Config`] | no |
//! | `GET /metrics/performance/summary` | [`PerformanceSummary`] | no |
//! | `GET /api/admin/database-health` | [`AdminHealth`]; 503; only with a token | yes |
//! | `POST /metrics/database/reset` | nothing; figures begin anew; only with a token | no |
//! | `GET /` | leads to the live page, where a [`Server`] has nothing else there | no |
//! | `GET /dashboard`, `/api/live`, `/api/live/events` | the [live page](crate::dashboard) and what it shows (feature `dashboard`) | no |
//! | `GET /openapi.json` | all this as OpenAPI 3.1 | no |
//!
//! Those with 503 answer so if the database is unhealthy, and 200 if it is degraded. Where several
//! databases are watched, `?pool=NAME` picks one; without it, it is the first. `/api/db-health`,
//! `/api/v1/health` and `/metrics/database/health` answer in `application/health+json`
//! ([`DraftHealth`]) where it is accepted.
//!
//! Point a liveness probe at `/livez` only: one that looks at the database restarts every instance
//! when the database is down. `/readyz` takes an instance out of service while its pool cannot
//! serve, which with one database for all is all of them.
//!
//! # Who may ask
//!
//! * **With a token** every route but `/livez`, `/readyz` and the live page, which has no data in it,
//!   needs `Authorization: Bearer TOKEN`; without it the answer is an empty 401. The page asks for the
//!   token.
//! * **Without one** [`Endpoints::bind`] listens on loopback only, and the `Host` of a request must
//!   be `localhost`, a loopback address or [allowed](Endpoints::allow_host), so that no web page
//!   gets at it by a name of its own that leads to this machine. Else the answer is 421.
//!
//! A [`router`](Endpoints::router) cannot know where the application listens. Without a token it
//! answers whoever reaches it with a loopback `Host`: nest it so only in what listens on loopback,
//! and ask [`Endpoints::check_address`] before it does.
//!
//! [`AdminHealth`]: crate::json::AdminHealth
//! [`Config`]: crate::json::Config
//! [`ConnectionPool`]: crate::json::ConnectionPool
//! [`DatabaseHealth`]: crate::json::DatabaseHealth
//! [`DraftHealth`]: crate::json::DraftHealth
//! [`HealthCheck`]: crate::json::HealthCheck
//! [`PerformanceSummary`]: crate::json::PerformanceSummary
//! [`PoolHealth`]: crate::json::PoolHealth
//! [`PoolMetrics`]: crate::json::PoolMetrics

mod accept;
mod asked;
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
