//! From a URL to a pool: the one place where a backend's builder is made.

use pool_config::Backend;

use crate::error::AnyError;
use crate::pool::AnyPool;

/// Makes the pool that a URL's scheme names.
pub(crate) async fn connect(url: &str) -> Result<AnyPool, AnyError> {
    match Backend::of_url(url) {
        #[cfg(feature = "sqlite")]
        Some(Backend::Sqlite) => Ok(pool_sqlite::SqliteBuilder::url(url)?.build().await?.into()),
        #[cfg(feature = "postgres")]
        Some(Backend::Postgres) => Ok(pool_postgres::PgBuilder::url(url)?.build().await?.into()),
        #[cfg(feature = "mysql")]
        Some(Backend::MySql) => Ok(pool_mysql::MySqlBuilder::url(url)?.build().await?.into()),
        #[allow(unreachable_patterns)]
        Some(backend) => Err(AnyError::config(no_such_feature(backend))),
        None => Err(AnyError::config(NO_SUCH_SCHEME)),
    }
}

/// The URL is not in it: whatever it is, there may be a password in it.
const NO_SUCH_SCHEME: &str = "the database URL names no database that is known here; it begins with \
    one of sqlite:, file:, :memory:, postgres:, postgresql:, mysql:, mariadb: (a file is \
    sqlite:path/to/file.db)";

fn no_such_feature(backend: Backend) -> String {
    format!(
        "the database URL is for {backend}, and that is not compiled in; add the feature: \
         pool-any = {{ features = [\"{backend}\"] }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_is_off_says_how_to_turn_it_on() {
        let text = no_such_feature(Backend::MySql);
        assert_eq!(
            text,
            "the database URL is for mysql, and that is not compiled in; add the feature: \
             pool-any = { features = [\"mysql\"] }"
        );
    }

    #[test]
    fn every_scheme_that_is_known_is_named() {
        let schemes = NO_SUCH_SCHEME.split([' ', ',']).filter(|word| word.ends_with(':'));
        let known: Vec<_> = schemes.filter_map(Backend::of_url).collect();
        assert_eq!(known.len(), 7, "{known:?}");
    }

    /// Of this build: with all features, with one, with none.
    #[tokio::test]
    async fn a_backend_connects_or_names_its_feature() {
        for (url, is_there) in [
            (":memory:", cfg!(feature = "sqlite")),
            (
                "postgres://me:secret@127.0.0.1:1/db?connect_timeout=nonsense",
                cfg!(feature = "postgres"),
            ),
            ("mysql://me:secret@127.0.0.1:1/db?nonsense=1", cfg!(feature = "mysql")),
        ] {
            let text = match connect(url).await {
                Ok(pool) => {
                    assert!(is_there && url == ":memory:");
                    pool.close(std::time::Duration::from_secs(5)).await;
                    continue;
                }
                Err(error) => format!("{error} {error:?}"),
            };
            assert_eq!(text.contains("add the feature"), !is_there, "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
