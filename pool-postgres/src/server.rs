//! [`PgServer`]: what a server says of itself and of what it allows.

use std::fmt;
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::error::PgError;
use crate::options::TargetSessionAttrs;

/// What a server said when a connection to it was opened. What is not known is `None`: behind a
/// pooler, or where the server is no PostgreSQL but something like it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PgServer {
    /// Its version as a number: 150018 is 15.18.
    pub version: Option<u32>,
    /// How many connections it has room for.
    pub max_connections: Option<u32>,
    /// How many of them are kept for superusers and maintenance.
    pub reserved: Option<u32>,
    /// How many connections the role may have.
    pub role_limit: Option<u32>,
    /// How many connections the database takes.
    pub database_limit: Option<u32>,
    /// After how much idle time it cuts a session.
    pub idle_session_timeout: Option<Duration>,
    /// Whether it follows another server.
    pub in_recovery: Option<bool>,
    /// Whether transactions may not write, unless they say otherwise.
    pub read_only: Option<bool>,
}

/// One round trip and text only, so that it works with everything that speaks the protocol.
const QUESTION: &str = "SELECT current_setting('server_version_num'), \
     current_setting('max_connections'), \
     current_setting('superuser_reserved_connections')::int \
       + coalesce(current_setting('reserved_connections', true), '0')::int, \
     (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = session_user), \
     (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database()), \
     (extract(epoch FROM current_setting('idle_session_timeout', true)::interval) * 1000)::int8, \
     pg_catalog.pg_is_in_recovery(), \
     current_setting('transaction_read_only')";

impl PgServer {
    pub(crate) async fn ask(client: &Client) -> Result<Self, PgError> {
        let answer = match client.simple_query(QUESTION).await {
            Ok(answer) => answer,
            // It does not know the words: so be it.
            Err(error) if error.as_db_error().is_some() => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(row.map(Self::read).unwrap_or_default())
    }

    fn read(row: &SimpleQueryRow) -> Self {
        let number = |column| row.get(column)?.parse().ok();
        let yes = |column| row.get(column).map(|word| matches!(word, "t" | "on"));
        let millis = row.get(5).and_then(|millis| millis.parse().ok());
        Self {
            version: number(0),
            max_connections: number(1),
            reserved: number(2),
            role_limit: number(3),     // -1 is no limit, and no u32
            database_limit: number(4), // as well
            idle_session_timeout: millis.filter(|it| *it > 0).map(Duration::from_millis),
            in_recovery: yes(6),
            read_only: yes(7),
        }
    }

    /// Whether it is what `target_session_attrs` wants. What is not known fits.
    pub(crate) fn is(&self, wanted: TargetSessionAttrs) -> bool {
        let standby = self.in_recovery;
        match wanted {
            TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => true,
            TargetSessionAttrs::Primary => standby != Some(true),
            TargetSessionAttrs::Standby => standby != Some(false),
            TargetSessionAttrs::ReadWrite => self.read_only != Some(true),
            TargetSessionAttrs::ReadOnly => self.read_only != Some(false),
        }
    }

    pub(crate) fn role(&self) -> &'static str {
        match (self.in_recovery, self.read_only) {
            (Some(true), _) => "a standby",
            (_, Some(true)) => "a read-only primary",
            _ => "a primary that takes writes",
        }
    }

    /// How many connections one program can get at most, if it is alone.
    pub fn room(&self) -> Option<u32> {
        let server = self.max_connections.map(|max| max - self.reserved.unwrap_or(0).min(max));
        [server, self.role_limit, self.database_limit].into_iter().flatten().min()
    }

    /// Says so, with the arithmetic, if a pool of this size does not fit.
    pub fn shortage(&self, max_size: u32) -> Option<PgShortage> {
        let room = self.room().filter(|room| *room < max_size)?;
        Some(PgShortage { max_size, room, server: self.clone() })
    }
}

/// A pool that is larger than what its server has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PgShortage {
    /// How many connections the pool may open.
    pub max_size: u32,
    /// How many it can get.
    pub room: u32,
    server: PgServer,
}

impl fmt::Display for PgShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_size, room, server } = self;
        write!(f, "max_size is {max_size}, but there is room for {room}: ")?;
        let mut parts = Vec::new();
        if let Some(max) = server.max_connections {
            let reserved = server.reserved.unwrap_or(0);
            let left = max.saturating_sub(reserved);
            parts.push(format!("max_connections {max} - reserved {reserved} = {left}"));
        }
        parts.extend(server.role_limit.map(|limit| format!("the role's limit {limit}")));
        parts.extend(server.database_limit.map(|limit| format!("the database's limit {limit}")));
        write!(f, "{}; and others use the server too: lower max_size", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> PgServer {
        PgServer { max_connections: Some(100), reserved: Some(3), ..PgServer::default() }
    }

    #[test]
    fn the_room_is_the_least_of_all_limits() {
        assert_eq!(PgServer::default().room(), None);
        assert_eq!(server().room(), Some(97));
        assert_eq!(PgServer { role_limit: Some(10), ..server() }.room(), Some(10));
        let limits = PgServer { role_limit: Some(10), database_limit: Some(5), ..server() };
        assert_eq!(limits.room(), Some(5));
        assert_eq!(PgServer { reserved: Some(200), ..server() }.room(), Some(0));
    }

    #[test]
    fn a_shortage_shows_the_arithmetic() {
        assert_eq!(server().shortage(97), None);
        let limits = PgServer { role_limit: Some(10), ..server() };
        assert_eq!(
            limits.shortage(20).unwrap().to_string(),
            "max_size is 20, but there is room for 10: max_connections 100 - reserved 3 = 97, \
             the role's limit 10; and others use the server too: lower max_size"
        );
    }

    #[test]
    fn roles_are_what_libpq_calls_them() {
        use TargetSessionAttrs::*;
        let standby = PgServer { in_recovery: Some(true), read_only: Some(true), ..server() };
        let primary = PgServer { in_recovery: Some(false), read_only: Some(false), ..server() };
        let frozen = PgServer { in_recovery: Some(false), read_only: Some(true), ..server() };
        for (server, is) in [
            (&standby, [true, false, true, false, true, true]),
            (&primary, [true, true, false, true, false, true]),
            (&frozen, [true, false, true, true, false, true]),
        ] {
            let wanted = [Any, ReadWrite, ReadOnly, Primary, Standby, PreferStandby];
            assert_eq!(wanted.map(|wanted| server.is(wanted)), is, "{server:?}");
        }
    }
}
