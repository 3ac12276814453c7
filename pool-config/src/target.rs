//! [`Database`]: which database the settings name, of what may be several.

use pool_sql::Secret;

use crate::backend::Backend;
use crate::setting::Setting;
use crate::term::words;

words! {
    /// Which database is used, where several are set up: `DATABASE_MODE`.
    Mode:
        /// The file that `SQLITE_DB_PATH` names.
        Sqlite = "sqlite",
        /// PostgreSQL at Supabase, by `DATABASE_URL`.
        Supabase = "supabase",
        /// PostgreSQL by `DATABASE_URL`.
        Postgres = "postgres" | "postgresql",
        /// MySQL or MariaDB by `DATABASE_URL`.
        MySql = "mysql" | "mariadb",
}

impl Mode {
    /// Which kind of database that is.
    pub fn backend(self) -> Backend {
        match self {
            Self::Sqlite => Backend::Sqlite,
            Self::Supabase | Self::Postgres => Backend::Postgres,
            Self::MySql => Backend::MySql,
        }
    }
}

/// The database that the settings name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Database {
    /// Which kind it is.
    pub backend: Backend,
    /// Whether it is one of Supabase's.
    pub is_supabase: bool,
    /// The URL without the pool's own parameters; of SQLite it may be the path of a file.
    pub url: Secret,
}

/// What is set of which database to use.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) mode: Option<Mode>,
    pub(crate) url: Option<Secret>,
    pub(crate) sqlite_path: Option<String>,
}

impl Places {
    /// The one that is used.
    ///
    /// # Errors
    /// Which settings do not go together, and what would be right.
    pub(crate) fn choose(self) -> Result<Option<Database>, (Setting, String)> {
        let Self { mode, url, sqlite_path } = self;
        let backend = |url: &Secret| Backend::of_url(url.expose());
        let file = |path: String| Database {
            backend: Backend::Sqlite,
            is_supabase: false,
            url: path.into(),
        };
        match (mode, url, sqlite_path) {
            (Some(Mode::Sqlite), _, Some(path)) => Ok(Some(file(path))),
            (Some(mode), Some(url), _) => {
                let wanted = mode.backend();
                let named = backend(&url).unwrap_or(wanted);
                if named != wanted {
                    let want = match mode {
                        Mode::Sqlite => "SQLITE_DB_PATH".into(),
                        _ => format!("a URL of {wanted}, not of {named}"),
                    };
                    return Err((Setting::Mode, format!("with {mode} want {want}")));
                }
                let is_supabase = mode == Mode::Supabase;
                Ok(Some(Database { backend: wanted, is_supabase, url }))
            }
            (Some(mode), None, _) => {
                let want = if mode == Mode::Sqlite { "SQLITE_DB_PATH" } else { "DATABASE_URL" };
                Err((Setting::Mode, format!("with {mode} want {want} as well")))
            }
            (None, Some(_), Some(_)) => {
                let want = "want DATABASE_MODE to say which of DATABASE_URL and SQLITE_DB_PATH \
                            is used, or only one of them";
                Err((Setting::Url, want.into()))
            }
            (None, Some(url), None) => match backend(&url) {
                Some(backend) => Ok(Some(Database { backend, is_supabase: false, url })),
                None => Err((Setting::Url, SCHEMES.into())),
            },
            (None, None, path) => Ok(path.map(file)),
        }
    }
}

const SCHEMES: &str = "want a URL that begins with one of sqlite:, file:, :memory:, postgres:, \
                       postgresql:, mysql:, mariadb: (a file is sqlite:path/to/file.db)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_that_is_known_is_named() {
        let words = SCHEMES.split([' ', ',']).filter(|word| word.ends_with(':'));
        let known: Vec<_> = words.filter_map(Backend::of_url).collect();
        assert_eq!(known.len(), 7, "{known:?}");
    }
}
