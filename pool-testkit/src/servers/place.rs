//! Folders and ports: one folder for this process, in it one for each server.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use rustix::fs::statvfs;
use rustix::process::geteuid;

use super::error::ServerError;
use super::identity::Identity;
use super::janitor::Janitor;

/// A folder of a server, gone with its drop.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) janitor: &'static Janitor,
}

impl Folder {
    /// A new one, of this user.
    pub(super) fn new(identity: Identity) -> Result<Self, ServerError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let run = run()?;
        let path = run.folder.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        // Others may enter: clients of another user need the socket.
        create(&path, 0o755)?;
        let folder = Self { path, janitor: &run.janitor };
        identity.own(&folder.path)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it that nobody but its owner can read: servers refuse keys that others can.
    pub(super) fn write_private(
        &self,
        name: &str,
        content: &[u8],
        identity: Identity,
    ) -> Result<(), ServerError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content))
            .map_err(ServerError::io(path.display()))?;
        identity.own(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays goes with the process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Where temporary files go: short enough for a unix socket (107 bytes with its name) and, as
/// root, open to the users that servers run as.
pub(super) fn temporary() -> PathBuf {
    let folder = env::temp_dir();
    let enters = |path: &Path| fs::metadata(path).is_ok_and(|data| data.mode() & 0o001 != 0);
    let short = folder.as_os_str().len() <= 60;
    if short && folder.is_absolute() && (!geteuid().is_root() || folder.ancestors().all(enters)) {
        folder
    } else {
        PathBuf::from("/tmp")
    }
}

/// Where servers have their data: in memory if it has room and nobody says otherwise, since some
/// disks take seconds for the thousand files of a server.
fn fast() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = statvfs(memory).map_or(0, |system| system.f_bavail.saturating_mul(system.f_frsize));
    if env::var_os("TMPDIR").is_none() && room >= ROOM { memory.to_owned() } else { temporary() }
}

/// Bytes; a server takes some 50 MB. Containers often have 64 MB for all.
const ROOM: u64 = 1 << 30;

/// A new folder with exactly these permissions for its owner, at most these for others.
pub(super) fn create(path: &Path, mode: u32) -> Result<(), ServerError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(ServerError::io(path.display()))
}

/// A port of 127.0.0.1 that nobody listens on now. Somebody may in a moment, so try another if it
/// fails.
pub(super) fn free_port() -> Result<u16, ServerError> {
    #[cfg(test)]
    if let Some(port) = tests::NEXT_PORT.take() {
        return Ok(port);
    }
    // Below those that the kernel gives to clients: a restarted server finds its port free, and no
    // client that tries in vain connects to itself.
    for _ in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ServerError::failed("no free port on 127.0.0.1"))
}

/// What all servers of this process share.
struct Run {
    folder: PathBuf,
    janitor: Janitor,
}

fn run() -> Result<&'static Run, ServerError> {
    static RUN: Mutex<Option<&'static Run>> = Mutex::new(None);
    let mut run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(run) = *run {
        return Ok(run);
    }
    let name = format!("pool-{:08x}", fastrand::u32(..));
    let mut folder = fast().join(&name);
    if create(&folder, 0o755).is_err() {
        folder = temporary().join(&name);
        create(&folder, 0o755)?;
    }
    let janitor = Janitor::start(&folder)?;
    let new: &'static Run = Box::leak(Box::new(Run { folder, janitor }));
    Ok(run.insert(new))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// What this thread is told to be a free port, once.
        pub(in super::super) static NEXT_PORT: Cell<Option<u16>> = const { Cell::new(None) };
    }

    #[test]
    fn folders_are_short_differ_and_go() {
        let identity = Identity::of(&["nobody"]).unwrap();
        let one = Folder::new(identity).unwrap();
        let two = Folder::new(identity).unwrap();
        assert_ne!(one.path(), two.path());
        assert!(one.path().join(".s.PGSQL.12345.lock").as_os_str().len() < 107);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
