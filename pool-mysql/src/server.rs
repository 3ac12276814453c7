//! [`MySqlServer`]: what a server says of itself and of what it allows, and [`MySqlWarning`]: what of
//! it does not go together with the pool.

use std::fmt;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use pool_core::PoolConfig;

use crate::error::MySqlError;

/// What a server said when a connection to it was opened. What is not known is `None`: where the
/// server is no MySQL but something like it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MySqlServer {
    /// As it says itself: `8.0.40`, `10.11.19-MariaDB`.
    pub version: Option<String>,
    /// Whether it is MariaDB.
    pub is_mariadb: bool,
    /// Which server it is, by its own words: host name, port and server id. Behind a balancer two
    /// connections may lead to different ones.
    pub identity: Option<String>,
    /// How many connections it has room for.
    pub max_connections: Option<u32>,
    /// How many of them one user may have.
    pub max_user_connections: Option<u32>,
    /// After how much idle time it cuts this session.
    pub wait_timeout: Option<Duration>,
    /// How large one packet may be, in bytes: a statement with its values, or a row.
    pub max_allowed_packet: Option<u64>,
    /// How many prepared statements it keeps, for all connections of everybody together.
    pub max_prepared_stmt_count: Option<u32>,
}

const QUESTION: &str = "SELECT @@version, @@max_connections, @@max_user_connections, \
     @@wait_timeout, @@max_allowed_packet, @@max_prepared_stmt_count, \
     CONCAT_WS(' ', @@hostname, @@port, @@server_id)";

impl MySqlServer {
    /// By one round trip.
    pub(crate) async fn ask(conn: &mut Conn) -> Result<Self, MySqlError> {
        match conn.query_first::<Row, _>(QUESTION).await {
            Ok(row) => Ok(row.map(Self::read).unwrap_or_default()),
            // It does not know the words: so be it.
            Err(mysql_async::Error::Server(_)) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn read(row: Row) -> Self {
        let number = |column: usize| row.get_opt::<u64, usize>(column)?.ok();
        let small = |column| u32::try_from(number(column)?).ok();
        let version: Option<String> = row.get_opt(0).and_then(Result::ok);
        let is_mariadb = version
            .as_ref()
            .is_some_and(|version| version.to_ascii_lowercase().contains("mariadb"));
        Self {
            version,
            is_mariadb,
            identity: row.get_opt(6).and_then(Result::ok),
            max_connections: small(1),
            max_user_connections: small(2).filter(|max| *max > 0),
            wait_timeout: number(3).map(Duration::from_secs),
            max_allowed_packet: number(4),
            max_prepared_stmt_count: small(5),
        }
    }

    /// How many connections one program can get at most, if it is alone.
    pub fn room(&self) -> Option<u32> {
        [self.max_connections, self.max_user_connections].into_iter().flatten().min()
    }

    /// How many statements each of so many connections may keep prepared.
    pub(crate) fn statements(&self, wanted: usize, max_size: u32) -> usize {
        let Some(all) = self.max_prepared_stmt_count else { return wanted };
        wanted.min((all / max_size.max(1)) as usize)
    }

    /// What of it does not go together with a pool like this.
    pub(crate) fn warnings(&self, pool: &Wishes) -> Vec<MySqlWarning> {
        let mut all = Vec::new();
        let max_size = pool.max_size;
        if let Some(room) = self.room().filter(|room| *room < max_size) {
            all.push(MySqlWarning::Room { max_size, room, server: self.clone() });
        }
        if let Some(wait_timeout) = self.wait_timeout {
            // The engine stays ahead by between a tenth and a third, by chance for each connection.
            let kept = wait_timeout.mul_f64(0.9);
            if pool.idle.is_none_or(|idle| idle > kept) {
                let idle = pool.idle;
                all.push(MySqlWarning::WaitTimeout { idle, wait_timeout });
            }
        }
        let statements = self.statements(pool.statements, max_size);
        if let Some(limit) = self.max_prepared_stmt_count.filter(|_| statements < pool.statements) {
            all.push(MySqlWarning::Statements {
                wanted: pool.statements,
                given: statements,
                max_size,
                limit,
            });
        }
        all
    }
}

/// What a pool would like to do, for [`MySqlServer::warnings`].
#[derive(Clone, Copy)]
pub(crate) struct Wishes {
    pub(crate) max_size: u32,
    /// How long a connection is kept that nobody uses; `None`: for ever.
    pub(crate) idle: Option<Duration>,
    pub(crate) statements: usize,
}

impl Wishes {
    pub(crate) fn new(config: &PoolConfig, statements: usize) -> Self {
        let idle = [config.idle_timeout, config.max_lifetime].into_iter().flatten().min();
        Self { max_size: config.max_size, idle, statements }
    }
}

/// Something that does not go together with the server. Its `Display` shows the arithmetic, and what
/// was done or is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MySqlWarning {
    /// The pool is larger than what the server has room for.
    #[non_exhaustive]
    Room {
        /// How many connections the pool may open.
        max_size: u32,
        /// How many it can get.
        room: u32,
        /// By whose limits.
        server: MySqlServer,
    },
    /// The server cuts idle connections before the pool would close them. The pool closes them before
    /// the server does, so nothing is to be done.
    #[non_exhaustive]
    WaitTimeout {
        /// How long the pool would keep them: the lesser of `idle_timeout` and `max_lifetime`
        /// (`pool_recycle`). `None` is for ever.
        idle: Option<Duration>,
        /// When the server cuts them.
        wait_timeout: Duration,
    },
    /// The statement caches of all connections could hold more than the server keeps. They are made
    /// smaller, so nothing is to be done.
    #[non_exhaustive]
    Statements {
        /// How many statements a connection was to keep.
        wanted: usize,
        /// How many it keeps.
        given: usize,
        /// How many connections there may be.
        max_size: u32,
        /// How many statements the server keeps.
        limit: u32,
    },
}

impl fmt::Display for MySqlWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { max_size, room, server } => {
                write!(f, "max_size is {max_size}, but there is room for {room}: ")?;
                let mut parts = Vec::new();
                parts.extend(server.max_connections.map(|max| format!("max_connections {max}")));
                let of_user = server.max_user_connections;
                parts.extend(of_user.map(|max| format!("max_user_connections {max}")));
                write!(f, "{}; and others use the server too: lower max_size", parts.join(", "))
            }
            Self::WaitTimeout { idle, wait_timeout } => {
                let wait = wait_timeout.as_secs_f64();
                match idle {
                    Some(idle) => write!(f, "connections may be idle for {} s", idle.as_secs_f64()),
                    None => write!(f, "connections may be idle for ever"),
                }?;
                write!(
                    f,
                    ", but the server cuts them after {wait} s (wait_timeout): they are closed or \
                     pinged after {:.1} to {:.1} s (65 to 90 % of {wait} s)",
                    wait * 0.65,
                    wait * 0.9
                )
            }
            Self::Statements { wanted, given, max_size, limit } => write!(
                f,
                "{max_size} connections with {wanted} prepared statements each are {}, but the \
                 server keeps {limit} (max_prepared_stmt_count): each keeps {given} ({limit} / \
                 {max_size})",
                u64::from(*max_size) * *wanted as u64
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> MySqlServer {
        MySqlServer {
            max_connections: Some(151),
            wait_timeout: Some(Duration::from_secs(60)),
            max_prepared_stmt_count: Some(1000),
            ..MySqlServer::default()
        }
    }

    fn wishes() -> Wishes {
        Wishes { max_size: 10, idle: Some(Duration::from_secs(54)), statements: 100 }
    }

    fn said(server: &MySqlServer, wishes: &Wishes) -> Vec<String> {
        server.warnings(wishes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fits_is_no_warning() {
        assert!(server().warnings(&wishes()).is_empty());
        assert!(MySqlServer::default().warnings(&Wishes { idle: None, ..wishes() }).is_empty());
    }

    #[test]
    fn r10_each_warning_shows_its_arithmetic() {
        let limited = MySqlServer { max_user_connections: Some(5), ..server() };
        assert_eq!(
            said(&limited, &wishes()),
            [
                "max_size is 10, but there is room for 5: max_connections 151, max_user_connections 5; \
              and others use the server too: lower max_size"
            ]
        );
        let patient = Wishes { idle: Some(Duration::from_secs(600)), ..wishes() };
        assert_eq!(
            said(&server(), &patient),
            [
                "connections may be idle for 600 s, but the server cuts them after 60 s (wait_timeout): \
              they are closed or pinged after 39.0 to 54.0 s (65 to 90 % of 60 s)"
            ]
        );
        assert!(said(&server(), &Wishes { idle: None, ..wishes() })[0].contains("for ever"));
        let many = Wishes { statements: 256, ..wishes() };
        assert_eq!(
            said(&server(), &many),
            [
                "10 connections with 256 prepared statements each are 2560, but the server keeps 1000 \
              (max_prepared_stmt_count): each keeps 100 (1000 / 10)"
            ]
        );
    }

    #[test]
    fn the_statements_of_all_connections_fit_into_the_server() {
        assert_eq!(server().statements(256, 10), 100);
        assert_eq!(server().statements(32, 10), 32);
        assert_eq!(server().statements(32, 2000), 0);
        assert_eq!(MySqlServer::default().statements(256, 10), 256);
    }
}
