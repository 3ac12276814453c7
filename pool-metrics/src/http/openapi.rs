//! The routes as OpenAPI 3.1 describes them.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Server};
use utoipa::{IntoResponses, Modify};

use super::asked::Problem;
use super::routes;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Connection pools",
        description = "How the connection pools of this process do. Without a token set none is \
            asked for, and only this machine is answered.",
    ),
    paths(
        routes::livez,
        routes::readyz,
        routes::metrics,
        routes::connection_pool,
        routes::db_health,
        routes::health,
        routes::pool_metrics,
        routes::pool_health,
        routes::config,
        routes::summary,
        routes::admin,
        routes::reset,
        routes::document,
    ),
    // Those of the responses that are shared are not found by themselves.
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&Bearer),
)]
struct Document;

/// What the live page asks for.
#[cfg(feature = "dashboard")]
mod live {
    use super::Refused;

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(once, events))]
    pub(super) struct Document;

    /// All that the live page shows.
    #[utoipa::path(
        get, path = "/api/live",
        responses((status = 200, content_type = "application/json", body = Object), Refused)
    )]
    #[allow(dead_code, reason = "only its attributes are read")]
    fn once() {}

    /// The same as server-sent events: `history`, then `live` each second.
    #[utoipa::path(
        get, path = "/api/live/events",
        responses(
            (status = 200, content_type = "text/event-stream", body = String),
            (status = 503, description = "As many streams as may be are open",
             headers(("Retry-After" = u32, description = "In seconds"))),
            Refused
        )
    )]
    #[allow(dead_code, reason = "only its attributes are read")]
    fn events() {}
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The document, for routes nested there.
pub(super) fn document(nested: &str) -> OpenApi {
    let mut document = <Document as utoipa::OpenApi>::openapi();
    #[cfg(feature = "dashboard")]
    document.merge(<live::Document as utoipa::OpenApi>::openapi());
    let url = if nested.is_empty() { "/" } else { nested };
    document.servers = Some(vec![Server::new(url)]);
    document
}

/// What the guard answers.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only their attributes are read")]
pub(super) enum Refused {
    /// The token is missing or wrong.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer`")))]
    NoToken,
    /// There is no token, and the request is for another host than this machine.
    #[response(status = 421, content_type = "text/plain")]
    ForeignHost(String),
}

/// What a query gets that names no database.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only their attributes are read")]
pub(super) enum WrongQuery {
    /// It has something else in it, or the same twice.
    #[response(status = 400)]
    Bad(Problem),
    /// Nothing is watched under this name.
    #[response(status = 404)]
    Unknown(Problem),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_it_and_every_path_is_a_route() {
        let mut routes: BTreeSet<_> = routes::table().into_iter().map(|(path, _)| path).collect();
        if cfg!(feature = "dashboard") {
            routes.extend(["/api/live", "/api/live/events"]);
        }
        let document = document("");
        let paths: BTreeSet<_> = document.paths.paths.keys().map(String::as_str).collect();
        assert_eq!(routes, paths);
    }

    #[test]
    fn what_it_refers_to_is_in_it() {
        let document = serde_json::to_value(document("")).unwrap();
        let text = document.to_string();
        let references: BTreeSet<_> = text.split("\"$ref\":\"#").skip(1).collect();
        assert!(references.len() > 10, "{text}");
        for reference in references {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
