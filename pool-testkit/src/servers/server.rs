//! What all servers have in common: a process that starts, stops, dies, freezes and comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::client;
use super::error::ServerError;
use super::identity::Identity;
use super::kind::{Kind, Seat};
use super::place::{self, Folder};
use super::process;
use super::wait::until;

/// Far more than a start or an orderly stop takes on a machine under load.
const LIMIT: Duration = Duration::from_secs(60);

/// What [`Postgres`](super::Postgres), [`MariaDb`](super::MariaDb) and
/// [`PgBouncer`](super::PgBouncer) have in common; they dereference to it.
///
/// # Errors
///
/// All calls that return a result fail if the server does not do it within a minute; the error has
/// the end of its log.
pub struct Server {
    kind: Box<dyn Kind>,
    pub(super) seat: Seat,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// How a client finds it by TCP: user and database `test`, no password.
    pub fn url(&self) -> String {
        self.kind.url(self.seat.port)
    }

    /// Its TCP address, on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.seat.port).into()
    }

    /// Its TCP port; restarts keep it.
    pub fn port(&self) -> u16 {
        self.seat.port
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.kind.socket(&self.seat)
    }

    /// The folder of its unix socket, which is what clients of PostgreSQL call their host.
    pub fn socket_dir(&self) -> &Path {
        self.seat.path()
    }

    /// The number of its main process, none if it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.id(&mut self.child()).ok()
    }

    /// All that it wrote to its log.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it in order, but without waiting for its clients: they lose their connections.
    /// Nothing happens if it does not run; if it is frozen it thaws.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.end(&mut self.child())
    }

    /// Kills it with all its processes, frozen or not, by SIGKILL.
    /// Nothing happens if it does not run.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.kill_child(&mut self.child())
    }

    /// Stops all its processes in their tracks (SIGSTOP): connections stay open, new ones are
    /// taken by the kernel as far as its queue goes, nobody answers.
    pub fn freeze(&self) -> Result<(), ServerError> {
        process::freeze(self.id(&mut self.child())?)
    }

    /// Ends a [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<(), ServerError> {
        process::thaw(self.id(&mut self.child())?);
        Ok(())
    }

    /// Starts it again, with the same data, port and socket; if it runs, stops it before. What was
    /// set since the start stays set.
    pub fn restart(&self) -> Result<(), ServerError> {
        let mut child = self.child();
        self.end(&mut child)?;
        self.launch(&mut child).map_err(|error| error.error)
    }

    /// Starts a server, on another port if one is taken. Its folder has its data already.
    pub(super) fn start(
        kind: Box<dyn Kind>,
        folder: Folder,
        identity: Identity,
        settings: BTreeMap<String, String>,
    ) -> Result<Self, ServerError> {
        let port = place::free_port()?;
        let settings = Mutex::new(settings);
        let seat = Seat { folder, identity, port, settings };
        let mut server = Self { kind, seat, child: Mutex::new(None) };
        for _ in 0..8 {
            // Its guard must not outlive this line.
            let launched = server.launch(&mut server.child());
            match launched {
                Ok(()) => return Ok(server),
                Err(failure) if !failure.port_is_taken => return Err(failure.error),
                Err(_) => {}
            }
            server.seat.port = place::free_port()?;
        }
        Err(ServerError::failed(format!("{}: each port was taken", server.kind.name())))
    }

    /// Starts the process and waits until it serves.
    fn launch(&self, child: &mut Option<Child>) -> Result<(), Failure> {
        let name = self.kind.name();
        // A leftover of a kill must not look like the new one's.
        let _ = fs::remove_file(self.kind.socket(&self.seat));
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.map_err(ServerError::io("the log"))?;
        let logged = self.log().len();

        let mut command = self.kind.command(&self.seat)?;
        self.seat.identity.apply(&mut command);
        client::clean(&mut command);
        let new = command
            .current_dir(self.seat.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(ServerError::io("the log"))?)
            .stderr(log)
            .process_group(0) // so that a Ctrl-C does not end it before its clients
            .spawn()
            .map_err(ServerError::io(name))?;
        let pid = new.id();
        *child = Some(new);
        self.seat.folder.janitor.add(pid)?;

        let end = until(LIMIT, || {
            let runs = self.running(child);
            (!runs || self.kind.ready(&self.seat)).then_some(runs)
        });
        // It may run without, with nothing but a warning.
        let port_is_taken = self.log()[logged..].to_lowercase().contains("address already in use");
        let what = match end {
            Some(true) if !port_is_taken => return Ok(()),
            Some(true) => "found its port taken",
            Some(false) => "ended at its start",
            None => "does not answer",
        };
        let error = self.failed(what);
        self.kill_child(child)?;
        Err(Failure { error, port_is_taken })
    }

    fn end(&self, child: &mut Option<Child>) -> Result<(), ServerError> {
        let Ok(pid) = self.id(child) else { return Ok(()) };
        process::thaw(pid);
        process::signal(pid, self.kind.stop_signal());
        if until(LIMIT, || (!self.running(child)).then_some(())).is_some() {
            return Ok(());
        }
        let error = self.failed("does not stop");
        self.kill_child(child)?;
        Err(error)
    }

    fn kill_child(&self, child: &mut Option<Child>) -> Result<(), ServerError> {
        if let Ok(pid) = self.id(child) {
            process::kill(pid)?;
            until(LIMIT, || (!self.running(child)).then_some(()));
        }
        Ok(())
    }

    /// If it runs. One that ended is reaped.
    fn running(&self, child: &mut Option<Child>) -> bool {
        let Some(process) = child else { return false };
        let pid = process.id();
        if process::runs(pid) {
            return true;
        }
        // Only now that it is a zombie, and its number still its own.
        self.seat.folder.janitor.forget(pid);
        let _ = process.wait();
        *child = None;
        self.kind.ended(&self.seat);
        false
    }

    fn id(&self, child: &mut Option<Child>) -> Result<u32, ServerError> {
        if !self.running(child) {
            return Err(self.failed("does not run"));
        }
        child.as_ref().map(Child::id).ok_or_else(|| self.failed("does not run"))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.seat.path().join("log")
    }

    fn failed(&self, what: &str) -> ServerError {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        ServerError::failed(format!("{} {what}. The end of its log:\n{tail}", self.kind.name()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What survives this meets the janitor.
        let _ = self.kill();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct(self.kind.name());
        f.field("port", &self.port()).field("folder", &self.socket_dir()).finish_non_exhaustive()
    }
}

/// A start that failed.
struct Failure {
    error: ServerError,
    port_is_taken: bool,
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self { error, port_is_taken: false }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::{MariaDb, PgBouncer, Postgres};
    use super::*;

    #[test]
    fn servers_may_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Postgres>();
        shared::<MariaDb>();
        shared::<PgBouncer>();
    }

    /// What a server does whose port was taken in the last moment.
    fn takes_another(start: impl FnOnce() -> Option<u16>) {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        place::tests::NEXT_PORT.set(Some(port));
        let other = start();
        let untried = place::tests::NEXT_PORT.take();
        let Some(other) = other else { return };
        assert_ne!(other, port);
        assert_eq!(untried, None);
    }

    #[test]
    fn postgres_whose_port_is_taken_takes_another() {
        takes_another(|| Postgres::for_test().map(|server| server.port()));
    }

    #[test]
    fn mariadb_whose_port_is_taken_takes_another() {
        takes_another(|| MariaDb::for_test().map(|server| server.port()));
    }

    #[test]
    fn pgbouncer_whose_port_is_taken_takes_another() {
        let Some(postgres) = Postgres::for_test() else { return };
        takes_another(|| PgBouncer::for_test(&postgres).map(|server| server.port()));
    }
}
