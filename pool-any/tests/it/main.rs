//! The same on every database: SQLite in a file and in memory, and PostgreSQL and MariaDB that the
//! tests start. Every test ends by a hard deadline; none depends on how fast the machine is.

mod batches;
mod errors;
#[cfg(feature = "metrics")]
mod insight;
mod pools;
mod settings;
mod statements;
mod transactions;

use std::future::IntoFuture;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool_any::{AnyConnection, AnyPool, Backend, Row, Value};
use pool_testkit::servers::{MariaDb, Postgres};

/// A hang is a failure.
async fn soon<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("hangs")
}

/// A database of one's own, or a part of one, where a table of this name is nobody else's.
struct Place {
    url: String,
    table: String,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    fn at(url: String, folder: Option<tempfile::TempDir>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let table = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, table, _folder: folder }
    }

    fn sqlite_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self::at(url, Some(folder))
    }

    fn sqlite_memory() -> Self {
        Self::at(":memory:".into(), None)
    }

    fn postgres() -> Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        let start = || {
            let server = Postgres::builder().setting("max_connections", "300");
            server.start().expect("PostgreSQL starts")
        };
        Self::at(SERVER.get_or_init(start).url(), None)
    }

    fn mariadb() -> Self {
        static SERVER: OnceLock<MariaDb> = OnceLock::new();
        let start = || {
            let server = MariaDb::builder().setting("max_connections", "400");
            server.start().expect("MariaDB starts")
        };
        Self::at(SERVER.get_or_init(start).url().replace("mysql://", "mariadb://"), None)
    }

    async fn pool(&self) -> AnyPool {
        soon(AnyPool::connect(&self.url)).await.unwrap()
    }

    /// A pool, and a connection with a table `(id, x)` of numbers, one for each id.
    async fn table(&self) -> (AnyPool, AnyConnection) {
        let pool = self.pool().await;
        let mut connection = pool.acquire().await.unwrap();
        let columns = "(id bigint PRIMARY KEY, x bigint)";
        soon(connection.execute_batch(&format!("CREATE TABLE {} {columns}", self.table)))
            .await
            .unwrap();
        (pool, connection)
    }

    /// With the table's name for `t`.
    fn sql(&self, sql: &str) -> String {
        sql.replace(" t ", &format!(" {} ", self.table))
    }

    fn insert(&self) -> String {
        self.sql("INSERT INTO t (id, x) VALUES ($1, $1)")
    }

    fn count(&self) -> String {
        self.sql("SELECT count(*) AS many FROM t ")
    }
}

fn many(rows: &[Row]) -> i64 {
    rows[0].get("many").unwrap()
}

async fn count(place: &Place, connection: &mut AnyConnection) -> i64 {
    many(&soon(connection.query(&place.count(), &[])).await.unwrap())
}

fn id(id: i64) -> [Value<'static>; 1] {
    [Value::I64(id)]
}

/// What does not end by itself, in a table's stead.
fn endless(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        }
        Backend::Postgres => "SELECT pg_sleep(3600)",
        _ => "SELECT SLEEP(3600)",
    }
}

/// Each of these on every database.
macro_rules! on_each {
    ($($name:ident)*) => {
        on_each! { sqlite_file: $($name)* }
        on_each! { sqlite_memory: $($name)* }
        on_each! { postgres: $($name)* }
        on_each! { mariadb: $($name)* }
    };
    ($database:ident: $($name:ident)*) => {
        mod $database {
            $(
                #[tokio::test]
                async fn $name() {
                    let place = $crate::Place::$database();
                    $crate::soon(super::$name(place)).await;
                }
            )*
        }
    };
}
use on_each;
