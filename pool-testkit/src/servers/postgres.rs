//! PostgreSQL.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::ops::Deref;
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
use super::{client, pgwire, programs, wait};

const INSTALL: &str = "apt-get install --no-install-recommends postgresql";

/// A PostgreSQL server of its own: the newest version that is installed.
///
/// User `test` owns database `test`; `postgres` is the superuser. Nobody has a password. Nothing is
/// written durably, there is no autovacuum, and of `max_connections` (100) three are for the
/// superuser, so the server can be asked when `test` has used up the others. It is gone with its
/// drop.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    psql: PathBuf,
}

/// Settings of a [`Postgres`] before its start.
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    settings: BTreeMap<String, String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Postgres {
    /// Settings first.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
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

    /// Runs SQL as the superuser, in database `test`, by `psql`. Gives the rows, one each line,
    /// fields between `|`.
    ///
    /// # Errors
    ///
    /// The server's, or that it does not answer within a minute.
    pub fn sql(&self, sql: &str) -> Result<String, ServerError> {
        let mut psql = client::command(&self.psql);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "test", "-h"]);
        client::run(psql.arg(self.socket_dir()).args(["-p", &self.port().to_string(), "-c", sql]))
    }

    /// How many clients are connected, the asking one not counted.
    ///
    /// # Errors
    ///
    /// As [`sql`](Self::sql).
    pub fn connections(&self) -> Result<usize, ServerError> {
        client::number(&self.sql(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )?)
    }

    /// Changes a setting of the running server, and of its next starts. When this returns, new
    /// sessions have it; old ones as soon as they do anything. Some take a
    /// [`restart`](Server::restart), `max_connections` among them.
    ///
    /// # Errors
    ///
    /// As [`sql`](Self::sql).
    pub fn set(&self, name: &str, value: &str) -> Result<(), ServerError> {
        let loaded = "SELECT pg_conf_load_time()";
        let before = self.sql(loaded)?;
        self.sql(&format!("ALTER SYSTEM SET {name} = {}", quoted(value)))?;
        self.sql("SELECT pg_reload_conf()")?;
        // A new session has what the postmaster knows.
        wait::until(Duration::from_secs(60), || match self.sql(loaded) {
            Ok(now) if now == before => None,
            other => Some(other.map(drop)),
        })
        .unwrap_or_else(|| Err(ServerError::failed("PostgreSQL does not reload")))
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl PostgresBuilder {
    /// A line of `postgresql.conf`, the value without quotes.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// A file beside the data, which the server alone can read: a certificate, a key, a
    /// `pg_hba.conf`. Settings call it `../name`, since they are relative to the data; only `hba_file`
    /// and its like are relative to this folder: `name`.
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
    pub fn start(self) -> Result<Postgres, ServerError> {
        let program = programs::of_postgres("postgres", INSTALL)?;
        let psql = programs::of_postgres("psql", INSTALL)?;
        let identity = Identity::of(&["postgres", "nobody"])?;
        let folder = Folder::new(identity)?;
        // The first segment of the log is copied for each server, so it is a small one.
        let mut options = vec!["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"];
        options.extend(["--no-sync", "--wal-segsize=4"]);
        Recipe { name: "postgres", program: &program, identity, options: &options }
            .copy(&folder.path().join("data"), |data| {
                first_data(data, &program, identity, &options)
            })?;
        for (name, content) in &self.files {
            folder.write_private(name, content, identity)?;
        }
        let server = Server::start(Box::new(Program { program }), folder, identity, self.settings)?;
        Ok(Postgres { server, psql })
    }

    /// The server for a test, or none: see [`or_skip`].
    ///
    /// # Panics
    ///
    /// As [`or_skip`].
    #[track_caller]
    pub fn for_test(self) -> Option<Postgres> {
        or_skip(self.start())
    }
}

struct Program {
    program: PathBuf,
}

impl Kind for Program {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn command(&self, seat: &Seat) -> Result<Command, ServerError> {
        let file = seat.path().join("postgresql.conf");
        fs::write(&file, configuration(seat)).map_err(ServerError::io(file.display()))?;
        let mut command = Command::new(&self.program);
        command.arg("-D").arg(data(seat)).arg(format!("--config_file={}", file.display()));
        Ok(command)
    }

    fn ready(&self, seat: &Seat) -> bool {
        pgwire::greets(&self.socket(seat), "postgres", "postgres")
    }

    fn stop_signal(&self) -> Signal {
        Signal::INT // TERM waits for the clients
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://test@127.0.0.1:{port}/test")
    }

    fn socket(&self, seat: &Seat) -> PathBuf {
        seat.path().join(format!(".s.PGSQL.{}", seat.port))
    }

    fn ended(&self, seat: &Seat) {
        // The lock of one that was killed names a bit of shared memory, of which the system has
        // few, on line 7; and a process whose number may be a stranger's by the next start.
        let lock = data(seat).join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&lock) else { return };
        if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().last()) {
            let _ = client::run(client::command(Path::new("ipcrm")).args(["-m", id]));
        }
        let _ = fs::remove_file(lock);
    }
}

fn data(seat: &Seat) -> PathBuf {
    seat.path().join("data")
}

fn configuration(seat: &Seat) -> String {
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {}\n\
         unix_socket_directories = '{}'\n\
         fsync = off\n\
         synchronous_commit = off\n\
         full_page_writes = off\n\
         wal_level = minimal\n\
         max_wal_senders = 0\n\
         autovacuum = off\n\
         shared_buffers = 32MB\n\
         max_connections = 100\n\
         dynamic_shared_memory_type = mmap\n", // in the folder, so that nothing outlives it
        seat.port,
        seat.path().display(),
    );
    for (name, value) in seat.settings().iter() {
        let _ = writeln!(text, "{name} = {}", quoted(value)); // the last line wins
    }
    text
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Makes the data of a first start.
fn first_data(
    data: &Path,
    program: &Path,
    identity: Identity,
    options: &[&str],
) -> Result<(), ServerError> {
    let initdb = programs::of_postgres("initdb", INSTALL)?;
    let mut initdb = client::command(&initdb);
    identity.apply(&mut initdb);
    client::run(initdb.current_dir(data).args(options).arg("-D").arg(data))?;

    let script = data.join("first.sql");
    fs::write(&script, "CREATE ROLE test LOGIN;\nCREATE DATABASE test OWNER test;\n")
        .map_err(ServerError::io(script.display()))?;
    let script_file = File::open(&script).map_err(ServerError::io(script.display()))?;
    let mut single = client::command(program);
    identity.apply(&mut single);
    single.current_dir(data).stdin(script_file).args(["--single", "-c", "fsync=off", "-D"]);
    client::run(single.arg(data).arg("postgres"))?;
    fs::remove_file(&script).map_err(ServerError::io(script.display()))
}
