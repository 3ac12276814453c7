//! Who may ask: those with the token, or without one those on this machine.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token::Token;

/// Routes that say a status word and nothing else, to everybody: probes have no token, and call a
/// pod by its address.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    pub(super) token: Option<Token>,
    pub(super) hosts: Vec<String>,
}

/// In front of every route, and of those that are none.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if !OPEN.contains(&request.uri().path())
        && let Err(refused) = guard.judge(request.uri(), request.headers())
    {
        return refused.into_response();
    }
    next.run(request).await
}

/// On every answer, unless a route has its own.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    NoToken,
    ForeignHost,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
            }
            Self::ForeignHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "without a token only localhost is answered, or what the application allows\n",
            )
                .into_response(),
        }
    }
}

impl Guard {
    fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        match &self.token {
            Some(token) if bearer(headers).is_some_and(|word| token.is(word)) => Ok(()),
            Some(_) => Err(Refused::NoToken),
            None if self.is_addressed(uri, headers) => Ok(()),
            None => Err(Refused::ForeignHost),
        }
    }

    /// Whether the request was meant for this machine. Whoever rebinds a name of theirs to a
    /// loopback address has that name in `Host`: browsers let no page change it.
    fn is_addressed(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let named = headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
        let mut all = named.chain(uri.authority().map(|host| host.as_str().as_bytes())).peekable();
        all.peek().is_some() && all.all(|host| self.knows(host))
    }

    fn knows(&self, host: &[u8]) -> bool {
        let Ok(authority) = Authority::try_from(host) else {
            return false;
        };
        let host = authority.host();
        let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        !authority.as_str().contains('@')
            && (host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
                || ipv6.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()))
                || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)))
    }
}

/// The word after `Bearer`, if the header is there once.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, word) = only.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| word.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Guard, headers: &[(header::HeaderName, &str)]) -> Result<(), Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        guard.judge(&Uri::from_static("/metrics"), &map)
    }

    #[test]
    fn without_a_token_the_host_has_to_be_this_machine() {
        let guard = Guard { token: None, hosts: vec!["ops.internal".to_owned()] };
        let host = |host| ask(&guard, &[(header::HOST, host)]);
        for ours in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1:9187",
            "127.8.0.1",
            "[::1]",
            "[::1]:9187",
            "OPS.internal:9187",
        ] {
            assert_eq!(host(ours), Ok(()), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "localhost@evil.example",
            "evil.example@localhost",
            "0.0.0.0",
            "10.0.0.1:9187",
            "[::]",
            "[::ffff:127.0.0.1]",
            "localhost, evil.example",
            "",
        ] {
            assert_eq!(host(foreign), Err(Refused::ForeignHost), "{foreign}");
        }
        assert_eq!(ask(&guard, &[]), Err(Refused::ForeignHost));
        let both = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
        assert_eq!(ask(&guard, &both), Err(Refused::ForeignHost));
        let (mut named, mut uri) = (HeaderMap::new(), Uri::from_static("http://evil.example/"));
        named.insert(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(guard.judge(&uri, &named), Err(Refused::ForeignHost));
        uri = Uri::from_static("http://localhost/");
        assert_eq!(guard.judge(&uri, &named), Ok(()));
    }

    #[test]
    fn with_a_token_it_is_the_token_that_counts() {
        let guard = Guard { token: Token::new("open-sesame").ok(), hosts: Vec::new() };
        let with = |value| ask(&guard, &[(header::AUTHORIZATION, value)]);
        for right in ["Bearer open-sesame", "bearer open-sesame", "BEARER  open-sesame"] {
            assert_eq!(with(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer open-sesam",
            "Bearer open-sesamE",
            "Bearer open-sesame x",
            "Bearer: open-sesame",
            "Basic open-sesame",
            "open-sesame",
        ] {
            assert_eq!(with(wrong), Err(Refused::NoToken), "{wrong}");
        }
        assert_eq!(ask(&guard, &[(header::HOST, "localhost")]), Err(Refused::NoToken));
        let right = (header::AUTHORIZATION, "Bearer open-sesame");
        assert_eq!(ask(&guard, &[right.clone(), right]), Err(Refused::NoToken));
    }
}
