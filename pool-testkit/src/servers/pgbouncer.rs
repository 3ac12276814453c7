//! PgBouncer, in front of a PostgreSQL.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::error::{ServerError, or_skip};
use super::identity::Identity;
use super::kind::{Kind, Seat};
use super::place::Folder;
use super::postgres::Postgres;
use super::server::Server;
use super::{client, pgwire, programs};

const INSTALL: &str = "apt-get install --no-install-recommends pgbouncer";

/// A PgBouncer of its own, in front of a [`Postgres`], pooling by transaction.
///
/// It lets in `test` and `postgres`, without passwords and to any database of the server, under
/// the same name. It is gone with its drop.
#[derive(Debug)]
pub struct PgBouncer {
    server: Server,
    psql: PathBuf,
}

/// Settings of a [`PgBouncer`] before its start.
#[derive(Clone, Debug)]
pub struct PgBouncerBuilder {
    settings: BTreeMap<String, String>,
    upstream: String,
}

impl PgBouncer {
    /// Settings first.
    pub fn builder(upstream: &Postgres) -> PgBouncerBuilder {
        let upstream = format!("host={} port={}", upstream.socket_dir().display(), upstream.port());
        PgBouncerBuilder { settings: BTreeMap::new(), upstream }
    }

    /// Starts one with settings for tests.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start(upstream: &Postgres) -> Result<Self, ServerError> {
        Self::builder(upstream).start()
    }

    /// The server for a test, or none: see [`or_skip`].
    ///
    /// # Panics
    ///
    /// As [`or_skip`].
    #[track_caller]
    pub fn for_test(upstream: &Postgres) -> Option<Self> {
        Self::builder(upstream).for_test()
    }

    /// Runs a command of the admin console, by `psql`. Gives the rows, one each line, fields
    /// between `|`, the first line the names of the columns.
    ///
    /// # Errors
    ///
    /// PgBouncer's, or that it does not answer within a minute.
    pub fn admin(&self, command: &str) -> Result<String, ServerError> {
        let mut psql = client::command(&self.psql);
        psql.args(["-XAq", "-P", "footer=off", "-U", "pgbouncer", "-d", "pgbouncer", "-h"]);
        psql.arg(self.socket_dir());
        client::run(psql.args(["-p", &self.port().to_string(), "-c", command]))
    }

    /// How many clients are connected, the admin console's not counted.
    ///
    /// # Errors
    ///
    /// As [`admin`](Self::admin).
    pub fn connections(&self) -> Result<usize, ServerError> {
        count(&self.admin("SHOW CLIENTS")?)
    }

    /// How many connections it has to the server behind it.
    ///
    /// # Errors
    ///
    /// As [`admin`](Self::admin).
    pub fn server_connections(&self) -> Result<usize, ServerError> {
        count(&self.admin("SHOW SERVERS")?)
    }

    /// Changes a setting of the running PgBouncer, and of its next starts.
    ///
    /// # Errors
    ///
    /// As [`admin`](Self::admin).
    pub fn set(&self, name: &str, value: &str) -> Result<(), ServerError> {
        self.admin(&format!("SET {name} = '{}'", value.replace('\'', "''")))?;
        self.seat.settings().insert(name.into(), value.into());
        Ok(())
    }
}

impl Deref for PgBouncer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl PgBouncerBuilder {
    /// A line of section `[pgbouncer]`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start(self) -> Result<PgBouncer, ServerError> {
        let program = programs::find("pgbouncer", INSTALL)?;
        let psql = programs::of_postgres("psql", INSTALL)?;
        let identity = Identity::of(&["nobody"])?;
        let folder = Folder::new(identity)?;
        let kind = Program { program, upstream: self.upstream };
        let server = Server::start(Box::new(kind), folder, identity, self.settings)?;
        Ok(PgBouncer { server, psql })
    }

    /// The server for a test, or none: see [`or_skip`].
    ///
    /// # Panics
    ///
    /// As [`or_skip`].
    #[track_caller]
    pub fn for_test(self) -> Option<PgBouncer> {
        or_skip(self.start())
    }
}

struct Program {
    program: PathBuf,
    upstream: String,
}

impl Kind for Program {
    fn name(&self) -> &'static str {
        "PgBouncer"
    }

    fn command(&self, seat: &Seat) -> Result<Command, ServerError> {
        let users = seat.path().join("users");
        let file = seat.path().join("pgbouncer.ini");
        let text = "\"test\" \"\"\n\"postgres\" \"\"\n\"pgbouncer\" \"\"\n";
        fs::write(&users, text).map_err(ServerError::io(users.display()))?;
        fs::write(&file, configuration(seat, &self.upstream))
            .map_err(ServerError::io(file.display()))?;
        let mut command = Command::new(&self.program);
        command.arg(file);
        Ok(command)
    }

    fn ready(&self, seat: &Seat) -> bool {
        // The console answers also while there is no server behind.
        pgwire::greets(&self.socket(seat), "pgbouncer", "pgbouncer")
    }

    fn stop_signal(&self) -> Signal {
        Signal::TERM // INT waits for the clients
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://test@127.0.0.1:{port}/test")
    }

    fn socket(&self, seat: &Seat) -> PathBuf {
        seat.path().join(format!(".s.PGSQL.{}", seat.port))
    }
}

fn configuration(seat: &Seat, upstream: &str) -> String {
    let folder = seat.path().display();
    let mut text = format!(
        "[databases]\n\
         * = {upstream}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {}\n\
         unix_socket_dir = {folder}\n\
         auth_type = trust\n\
         auth_file = {folder}/users\n\
         admin_users = pgbouncer\n\
         pool_mode = transaction\n\
         ignore_startup_parameters = extra_float_digits\n",
        seat.port,
    );
    for (name, value) in seat.settings().iter() {
        let _ = writeln!(text, "{name} = {value}"); // the last line wins
    }
    text
}

/// The rows of a table that are not of the console.
fn count(table: &str) -> Result<usize, ServerError> {
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default();
    let column = names
        .split('|')
        .position(|name| name == "database")
        .ok_or_else(|| ServerError::failed(format!("no column \"database\" in {names:?}")))?;
    Ok(lines.filter(|line| line.split('|').nth(column) != Some("pgbouncer")).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_does_not_count() {
        let table = "type|user|database\nC|test|test\nC|pgbouncer|pgbouncer\nC|test|other";
        assert_eq!(count(table).unwrap(), 2);
        assert_eq!(count("type|database").unwrap(), 0);
        count("").unwrap_err();
    }
}
