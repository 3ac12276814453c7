//! [`Way`]: how the server is reached, in the words of each driver.

use mysql_async::{Conn, OptsBuilder};
use pool_testkit::servers::MariaDb;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::pools::Bare;
use crate::lookups::Table;

/// By TCP.
#[derive(Clone, Copy)]
pub(super) struct Way {
    port: u16,
}

impl Way {
    pub(super) fn tcp(server: &MariaDb) -> Self {
        Self { port: server.port() }
    }

    pub(super) fn url(self) -> String {
        format!("mysql://test@127.0.0.1:{}/test?ssl-mode=disabled", self.port)
    }

    /// Else the driver would take the unix socket of a server on this machine.
    pub(super) fn options(self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("test"))
            .db_name(Some("test"))
            .prefer_socket(false)
    }

    pub(super) fn sqlx(self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("test")
            .database("test")
            .ssl_mode(MySqlSslMode::Disabled)
    }

    /// A connection without a pool.
    pub(super) async fn conn(self) -> Conn {
        Conn::new(self.options()).await.expect("the server is there")
    }
}

impl Table for Way {
    type Bare = Bare;
    type Value = String;

    fn value(id: i32) -> String {
        format!("item {id}")
    }
}
