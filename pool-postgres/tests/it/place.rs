//! Servers that tests share, and what tests ask them behind the pool's back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool_postgres::tokio_postgres::{self, NoTls};
use pool_postgres::{PgBuilder, PgPool};
use pool_testkit::servers::Postgres;

use crate::certificates::Authority;

/// The server that most tests share: nothing they do to it lasts.
pub(crate) fn shared() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        Postgres::builder().setting("max_connections", "300").start().expect("PostgreSQL starts")
    })
}

/// The same with TLS, which takes `sslmode=require` to be used for sure.
pub(crate) fn shared_with_tls() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Postgres::builder().setting("max_connections", "300");
        let certificate = Authority::new("tests").server("localhost");
        certificate.serve(server).start().expect("PostgreSQL starts")
    })
}

/// A place of one's own on a server: connections are told apart by their application's name.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) admin: Admin,
}

impl Place {
    /// On the shared server.
    pub(crate) async fn new() -> Self {
        Self::on(shared(), &shared().url()).await
    }

    /// On a server, by a URL that leads there.
    pub(crate) async fn on(server: &Postgres, url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{mark}application_name={name}");
        Self { url, name, admin: Admin::of(server).await }
    }

    pub(crate) fn builder(&self) -> PgBuilder {
        PgPool::builder(&self.url).unwrap().max_size(4)
    }

    /// How many connections the server counts here.
    pub(crate) async fn connections(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let count: i64 = self.admin.0.query_one(sql, &[&self.name]).await.unwrap().get(0);
        count as usize
    }

    /// Waits until the server agrees.
    pub(crate) async fn until(&self, condition: &str) {
        let sql = format!("SELECT {condition} FROM (SELECT 1) AS one");
        let sql = sql.replace("mine", &format!("application_name = '{}'", self.name));
        for _ in 0..3_000 {
            if self.admin.0.query_one(&sql, &[]).await.unwrap().get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {condition}");
    }
}

/// A superuser's connection, by the driver alone.
pub(crate) struct Admin(pub(crate) tokio_postgres::Client);

impl Admin {
    pub(crate) async fn of(server: &Postgres) -> Self {
        let url = server.url().replace("//test@", "//postgres@");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }
}
