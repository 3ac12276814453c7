//! [`Backend`]: which kind of database a pool is for.

use std::fmt;

/// Which kind of database a pool is for.
///
/// ```
/// use pool_config::Backend;
///
/// assert_eq!(Backend::of_url("postgresql://me@host/db"), Some(Backend::Postgres));
/// assert_eq!(Backend::of_url("mariadb://me@host/db"), Some(Backend::MySql));
/// assert_eq!(Backend::of_url("mssql://host"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// SQLite.
    Sqlite,
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Backend {
    /// By a URL's scheme: `sqlite:`, `file:`, `postgres:`, `postgresql:`, `mysql:`, `mariadb:`, in
    /// any case; a driver after a plus, as SQLAlchemy has it (`postgresql+psycopg2:`), does not
    /// count.
    pub fn of_url(url: &str) -> Option<Self> {
        if url.starts_with(":memory:") {
            return Some(Self::Sqlite);
        }
        match &*scheme(url)? {
            "sqlite" | "file" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            _ => None,
        }
    }

    /// The name in settings and messages: `sqlite`, `postgres`, `mysql`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }
}

/// The scheme of a URL, in lower case and without a driver.
pub(crate) fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let (scheme, _driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    Some(scheme.to_ascii_lowercase())
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
