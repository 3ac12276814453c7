//! MariaDB.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::error::{ServerError, or_skip};
use super::identity::Identity;
use super::kind::{Kind, Seat};
use super::place::Folder;
use super::server::Server;
use super::template::Recipe;
use super::{client, programs};

const INSTALL: &str = "apt-get install --no-install-recommends mariadb-server";

/// A MariaDB server of its own.
///
/// User `test` may do everything in database `test`; `root` is the superuser. Nobody has a
/// password. Nothing is written durably. One connection more than `max_connections` (100) is let
/// in if it is root's, so the server can be asked when `test` has used up all. It is gone with its
/// drop.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    client: PathBuf,
}

/// Settings of a [`MariaDb`] before its start.
#[derive(Clone, Debug, Default)]
pub struct MariaDbBuilder {
    settings: BTreeMap<String, String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl MariaDb {
    /// Settings first.
    pub fn builder() -> MariaDbBuilder {
        MariaDbBuilder::default()
    }

    /// Starts a server with settings for tests.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::builder().start()
    }

    /// The server for a test, or none: see [`or_skip`].
    ///
    /// # Panics
    ///
    /// As [`or_skip`].
    #[track_caller]
    pub fn for_test() -> Option<Self> {
        Self::builder().for_test()
    }

    /// Runs SQL as the superuser, in database `test`, by `mariadb`. Gives the rows, one each line,
    /// fields between tabs.
    ///
    /// # Errors
    ///
    /// The server's, or that it does not answer within a minute.
    pub fn sql(&self, sql: &str) -> Result<String, ServerError> {
        let mut client = client::command(&self.client);
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"]);
        client.arg(format!("--socket={}", self.socket().display()));
        client::run(client.args(["--database=test", "--execute", sql]))
    }

    /// How many clients are connected, the asking one not counted.
    ///
    /// # Errors
    ///
    /// As [`sql`](Self::sql).
    pub fn connections(&self) -> Result<usize, ServerError> {
        client::number(&self.sql(
            "SELECT count(*) FROM information_schema.processlist \
             WHERE id <> connection_id() AND command <> 'Daemon' AND user <> 'system user'",
        )?)
    }

    /// Changes a global variable of the running server, and of its next starts. Sessions that are
    /// there keep theirs.
    ///
    /// # Errors
    ///
    /// As [`sql`](Self::sql).
    pub fn set(&self, name: &str, value: &str) -> Result<(), ServerError> {
        let number = value.parse::<f64>().is_ok();
        let quoted = format!("'{}'", value.replace('\\', r"\\").replace('\'', "''"));
        self.sql(&format!("SET GLOBAL {name} = {}", if number { value } else { &quoted }))?;
        self.seat.settings().insert(name.into(), value.into());
        Ok(())
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl MariaDbBuilder {
    /// A variable or option of `mariadbd`, the value without quotes.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// A file beside the data, which the server alone can read: a certificate, a key. Settings call it
    /// `../name`, since they are relative to the data.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start(self) -> Result<MariaDb, ServerError> {
        let program = programs::find("mariadbd", INSTALL)?;
        let client = programs::find("mariadb", INSTALL)?;
        let identity = Identity::of(&["mysql", "nobody"])?;
        let folder = Folder::new(identity)?;
        // The log is 96 MB unless told otherwise, to be copied for each server.
        let options = ["--skip-name-resolve", "--innodb-log-file-size=8M"];
        Recipe { name: "mariadb", program: &program, identity, options: &options }
            .copy(&folder.path().join("data"), |data| first_data(data, identity, &options))?;
        for (name, content) in &self.files {
            folder.write_private(name, content, identity)?;
        }
        let server = Server::start(Box::new(Program { program }), folder, identity, self.settings)?;
        Ok(MariaDb { server, client })
    }

    /// The server for a test, or none: see [`or_skip`].
    ///
    /// # Panics
    ///
    /// As [`or_skip`].
    #[track_caller]
    pub fn for_test(self) -> Option<MariaDb> {
        or_skip(self.start())
    }
}

struct Program {
    program: PathBuf,
}

impl Kind for Program {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    fn command(&self, seat: &Seat) -> Result<Command, ServerError> {
        let mut command = Command::new(&self.program);
        command.arg("--no-defaults"); // has to be the first
        for (option, value) in [
            ("datadir", seat.path().join("data")),
            ("socket", self.socket(seat)),
            ("pid-file", seat.path().join("pid")),
            ("tmpdir", seat.path().to_owned()),
        ] {
            command.arg(format!("--{option}={}", value.display()));
        }
        command.arg(format!("--port={}", seat.port)).args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=100",
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
        ]);
        for (name, value) in seat.settings().iter() {
            command.arg(format!("--{name}={value}")); // the last one wins
        }
        Ok(command)
    }

    fn ready(&self, seat: &Seat) -> bool {
        greets(&self.socket(seat)).unwrap_or(false)
    }

    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    fn url(&self, port: u16) -> String {
        format!("mysql://test@127.0.0.1:{port}/test")
    }

    fn socket(&self, seat: &Seat) -> PathBuf {
        seat.path().join("mariadb.sock")
    }
}

/// If the server speaks first, as it does with clients that it lets in: length and number of a
/// packet, then version 10 of the protocol, or 255 for an error.
fn greets(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    Ok(head[4] == 10)
}

/// Makes the data of a first start.
fn first_data(data: &Path, identity: Identity, options: &[&str]) -> Result<(), ServerError> {
    let install = programs::find("mariadb-install-db", INSTALL)?;
    let script = data.with_extension("sql");
    // The first line loads the users, without which there is no making others.
    fs::write(
        &script,
        "FLUSH PRIVILEGES;\n\
         CREATE DATABASE test;\n\
         CREATE USER test@'%';\n\
         GRANT ALL ON test.* TO test@'%';\n",
    )
    .map_err(ServerError::io(script.display()))?;
    let mut install = client::command(&install);
    identity.apply(&mut install);
    install
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args(options)
        .arg(format!("--extra-file={}", script.display()))
        .arg(format!("--datadir={}", data.display()));
    client::run(install.current_dir(data))?;
    fs::remove_file(&script).map_err(ServerError::io(script.display()))
}
