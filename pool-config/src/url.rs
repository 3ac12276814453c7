//! URLs: the pool's own parameters are taken out of them before a driver sees them.

use pool_sql::{Secret, ServerUrl};

use crate::backend::{Backend, scheme};
use crate::ssl::SslMode;
use crate::words::{Place, Reading};

/// A URL in two parts.
#[derive(Debug)]
pub(crate) struct Split {
    /// What is for the driver.
    pub(crate) url: Secret,
    /// The pool's parameters in their order, as they stand there.
    pub(crate) pool: Vec<(String, String)>,
    /// What the driver's part says of TLS, and by which parameter.
    pub(crate) ssl: Option<(String, SslMode)>,
}

/// What stands before such an @ may be a password.
const AT: &str = "an @ in a parameter: want %2F, %3F and %40 for /, ? and @ in user and password";

/// A parameter's name as settings have it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Takes the pool's parameters out, and writes the scheme as drivers know it. What is no URL of a
/// kind that is known stays as it is.
///
/// # Errors
/// What would be right; it quotes nothing.
pub(crate) fn split(url: &str) -> Result<Split, &'static str> {
    let whole = |url: String| Split { url: url.into(), pool: Vec::new(), ssl: None };
    let (Some(backend), Some(scheme)) = (Backend::of_url(url), scheme(url)) else {
        return Ok(whole(url.to_owned()));
    };
    let (_, rest) = url.split_once(':').unwrap_or_default();
    if backend != Backend::Sqlite {
        // Where the password ends is for those to say who know.
        ServerUrl::split(rest.strip_prefix("//").unwrap_or(rest))?;
    }
    let url = format!("{scheme}:{rest}");
    let Some((base, query)) = url.split_once('?') else { return Ok(whole(url)) };
    let (mut pool, mut ssl, mut kept) = (Vec::new(), None, Vec::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = plain(name);
        if name.contains('@') {
            return Err(AT);
        }
        if Reading::of(&plain, Place::Url).is_none() {
            let is_plain = matches!(&*plain, "sslmode" | "ssl_mode");
            if let Some(mode) = ssl_mode(&plain, value)
                && (is_plain || ssl.is_none())
            {
                ssl = Some((name.to_owned(), mode));
            }
            kept.push(pair);
        } else if value.contains('@') {
            return Err(AT);
        } else {
            pool.push((name.to_owned(), value.to_owned()));
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(Split { url: format!("{base}{query}").into(), pool, ssl })
}

/// What a driver's parameter says of TLS, or implies. What it cannot read, the driver refuses.
fn ssl_mode(name: &str, value: &str) -> Option<SslMode> {
    match (name, value) {
        ("sslmode" | "ssl_mode", mode) => mode.parse().ok(),
        ("ssl", "true") => Some(SslMode::Require),
        ("sslrootcert" | "ssl_ca", "system") => Some(SslMode::VerifyFull),
        ("ssl_ca", file) if !file.is_empty() => Some(SslMode::VerifyCa),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pools_parameters_are_taken() {
        let url = "postgresql://user:pass@host:5432/db?connection_limit=20&sslmode=verify-full\
                   &pool_timeout=10&connect_timeout=3&max-size=";
        let Split { url, pool, ssl } = split(url).unwrap();
        let rest = "postgresql://user:pass@host:5432/db?sslmode=verify-full&connect_timeout=3";
        assert_eq!(url.expose(), rest);
        let pool: Vec<_> = pool.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pool, [("connection_limit", "20"), ("pool_timeout", "10"), ("max-size", "")]);
        assert_eq!(ssl, Some(("sslmode".into(), SslMode::VerifyFull)));
    }

    #[test]
    fn without_any_left_there_is_no_question_mark() {
        let split = split("sqlite://media.db?max_size=3").unwrap();
        assert_eq!(split.url.expose(), "sqlite://media.db");
    }

    #[test]
    fn a_password_is_never_taken_for_parameters() {
        for url in [
            "postgres://me:a?max_size=1@host/db",
            "postgres://me:1?max_size=1@host/db",
            "mysql://me:1/max_size=1@host/db",
            "postgres://me:1?max_size=1&a@host=1",
        ] {
            let error = split(url).unwrap_err();
            assert!(!error.contains("max_size"), "{error}");
        }
        let url = "postgres://me:p%3Fmax_size=1@host/db";
        assert_eq!(split(url).unwrap().url.expose(), url);
    }

    #[test]
    fn a_scheme_is_written_as_drivers_know_it() {
        for url in ["PostgreSQL://h/d", "postgresql+psycopg2://h/d?max_size=1"] {
            assert_eq!(split(url).unwrap().url.expose(), "postgresql://h/d");
        }
    }

    #[test]
    fn what_implies_tls_counts_unless_it_is_said() {
        for (query, mode) in [
            ("ssl=true", SslMode::Require),
            ("sslrootcert=system", SslMode::VerifyFull),
            ("sslmode=prefer&ssl=true", SslMode::Prefer),
            ("ssl=true&sslmode=prefer", SslMode::Prefer),
            ("ssl-ca=ca.pem", SslMode::VerifyCa),
        ] {
            let found = split(&format!("postgres://h/d?{query}")).unwrap().ssl;
            assert_eq!(found.map(|(_, mode)| mode), Some(mode), "{query}");
        }
    }

    #[test]
    fn what_is_no_url_stays_as_it_is() {
        for text in ["", "host=h dbname=d?max_size=1", "a?max_size=1", "mssql://h?max_size=1"] {
            assert_eq!(split(text).unwrap().url.expose(), text);
        }
    }
}
