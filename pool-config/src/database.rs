//! [`Database`]: which database the settings name, of what may be several.

use pool_sql::Secret;

use crate::backend::Backend;
use crate::error::SettingsFault;
use crate::preset::Preset;
use crate::setting::Setting;
use crate::source::Source;
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

    /// What lies below all else if no preset is named.
    pub(crate) fn preset(self) -> Option<&'static Preset> {
        let name = match self {
            Self::Sqlite => "sqlite_app",
            Self::Supabase => "supabase",
            Self::Postgres | Self::MySql => return None,
        };
        Preset::named(name).ok()
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

/// What is set of which database to use, and where.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) mode: Option<(Mode, Source)>,
    pub(crate) url: Option<(Secret, Source)>,
    pub(crate) sqlite_path: Option<(Secret, Source)>,
}

/// The one that is used; where it stands, and by which setting.
pub(crate) type Chosen = (Database, Setting, Source);

impl Places {
    /// The one that is used. None is named where the one that the mode chooses is not there.
    ///
    /// # Errors
    /// What does not go together, and what would be right.
    pub(crate) fn choose(self) -> Result<Option<Chosen>, SettingsFault> {
        let Self { mode, url, sqlite_path } = self;
        let by_path = |(url, source): (Secret, Source)| {
            let database = Database { backend: Backend::Sqlite, is_supabase: false, url };
            (database, Setting::SqlitePath, source)
        };
        match (mode, url, sqlite_path) {
            (Some((Mode::Sqlite, _)), _, Some(path)) => Ok(Some(by_path(path))),
            (Some((mode, mode_source)), Some((url, source)), _) => {
                let wanted = mode.backend();
                match Backend::of_url(url.expose()) {
                    // libpq's other form: it has no scheme.
                    None if wanted == Backend::Postgres && !url.expose().contains("://") => {}
                    None => {
                        let place = source.of(Setting::Url);
                        return Err(SettingsFault::new(place, None, SCHEMES.into()));
                    }
                    Some(named) if named != wanted => {
                        let want = match mode {
                            Mode::Sqlite => "SQLITE_DB_PATH".into(),
                            _ => format!("a URL of {wanted}, not of {named}"),
                        };
                        let want = format!("with {mode} want {want}");
                        return Err(SettingsFault::new(mode_source.of(Setting::Mode), None, want));
                    }
                    Some(_) => {}
                }
                let is_supabase = mode == Mode::Supabase;
                let database = Database { backend: wanted, is_supabase, url };
                Ok(Some((database, Setting::Url, source)))
            }
            (Some(_), None, _) => Ok(None),
            (None, Some((_, source)), Some((path, path_source)))
                if path_source.is_stronger_than(&source) =>
            {
                Ok(Some(by_path((path, path_source))))
            }
            (None, Some((_, source)), Some((_, path_source)))
                if !source.is_stronger_than(&path_source) =>
            {
                let want = format!(
                    "want DATABASE_MODE, in a file database_mode, to say whether this or the \
                     SQLite file ({}) is used, or only one of them",
                    path_source.of(Setting::SqlitePath)
                );
                Err(SettingsFault::new(source.of(Setting::Url), None, want))
            }
            (None, Some((url, source)), _) => match Backend::of_url(url.expose()) {
                Some(backend) => {
                    let database = Database { backend, is_supabase: false, url };
                    Ok(Some((database, Setting::Url, source)))
                }
                None => Err(SettingsFault::new(source.of(Setting::Url), None, SCHEMES.into())),
            },
            (None, None, path) => Ok(path.map(by_path)),
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
