//! [`Way`]: how the server is reached, in the words of each driver.

use std::path::PathBuf;

use pool_testkit::servers::Postgres;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::pools::Bare;
use crate::lookups::Table;

/// By the unix socket in a folder, or by TCP.
#[derive(Clone)]
pub(super) struct Way {
    folder: Option<PathBuf>,
    port: u16,
}

impl Way {
    pub(super) fn unix(server: &Postgres) -> Self {
        Self { folder: Some(server.socket_dir().into()), port: server.port() }
    }

    pub(super) fn tcp(server: &Postgres) -> Self {
        Self { folder: None, port: server.port() }
    }

    /// As libpq writes it.
    pub(super) fn words(&self) -> String {
        let host =
            self.folder.as_ref().map_or("127.0.0.1".into(), |folder| folder.display().to_string());
        format!("host={host} port={} user=test dbname=test sslmode=disable", self.port)
    }

    pub(super) fn config(&self) -> Config {
        self.words().parse().expect("the words are right")
    }

    pub(super) fn sqlx(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("test")
            .database("test")
            .ssl_mode(PgSslMode::Disable);
        match &self.folder {
            Some(folder) => options.socket(folder),
            None => options,
        }
    }

    /// A connection without a pool.
    pub(super) async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.expect("the server is there");
        // It ends with the client.
        tokio::spawn(connection);
        client
    }
}

impl Table for Way {
    type Bare = Bare;
    type Value = i32;

    fn value(id: i32) -> i32 {
        id * 7
    }
}
