//! Cleans up after a process that could not do it itself: a shell that waits for its end.
//!
//! The kernel closes the pipe to it however the process ends: by a kill, a panic, a normal exit
//! that drops no statics. A signal at the parent's death would be simpler, but it goes to one
//! process of a server only, is bound to the *thread* that started it, and does not wake who is
//! frozen.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::error::ServerError;

/// Reads "add PID" and "del PID" until the pipe closes. Then it kills what is left and the
/// children of it (a stopped parent has no new ones), gives back what shared memory PostgreSQL had
/// (its lock file says which), and removes the folder.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
pids=
while read -r what pid; do
    case $what in
    add) pids="$pids $pid" ;;
    del)
        left=
        for other in $pids; do [ "$other" = "$pid" ] || left="$left $other"; done
        pids=$left
        ;;
    esac
done
for main in $pids; do
    kill -STOP "$main"
    all=$main
    for stat in /proc/[0-9]*/stat; do
        read -r pid _ _ parent _ <"$stat" && [ "$parent" = "$main" ] && all="$all $pid"
    done
    kill -KILL $all
done
for lock in "$1"/*/data/postmaster.pid; do
    [ -f "$lock" ] && ipcrm -m "$(sed -n '7s/.* //p' "$lock")"
done
# Who was killed a moment ago may still write.
for _ in 1 2 3 4 5; do
    rm -rf -- "$1" && break
    sleep 0.2
done
"#;

/// The shell, and the pipe whose end is its signal.
#[derive(Debug)]
pub(super) struct Janitor {
    pipe: Mutex<ChildStdin>,
    _shell: Child,
}

impl Janitor {
    /// One that removes this folder in the end.
    pub(super) fn start(folder: &Path) -> Result<Self, ServerError> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // so that it outlives a Ctrl-C
            .spawn()
            .map_err(ServerError::io("/bin/sh"))?;
        let pipe = shell.stdin.take().ok_or_else(|| ServerError::failed("a shell has no pipe"))?;
        Ok(Self { pipe: Mutex::new(pipe), _shell: shell })
    }

    /// From now on this process is killed in the end.
    pub(super) fn add(&self, pid: u32) -> Result<(), ServerError> {
        self.tell("add", pid).map_err(ServerError::io("telling the janitor"))
    }

    /// From now on not any more. To be called before the process is reaped, since its number may
    /// be another's after that.
    pub(super) fn forget(&self, pid: u32) {
        // Without a janitor nobody is killed.
        let _ = self.tell("del", pid);
    }

    fn tell(&self, what: &str, pid: u32) -> std::io::Result<()> {
        // In one write: a line is shorter than what a pipe takes as a whole.
        let line = format!("{what} {pid}\n");
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::identity::Identity;
    use super::super::place::Folder;
    use super::super::process;
    use super::super::wait::until;
    use super::*;

    #[test]
    fn in_the_end_it_kills_whom_it_knows_and_removes_the_folder() {
        let place = Folder::new(Identity::of(&["nobody"]).unwrap()).unwrap();
        let folder = place.path().join("with a space");
        std::fs::create_dir(&folder).unwrap();
        let sleep = || Command::new("sleep").arg("1000").spawn().unwrap();
        let (mut known, mut forgotten) = (sleep(), sleep());

        let janitor = Janitor::start(&folder).unwrap();
        for pid in [known.id(), forgotten.id()] {
            janitor.add(pid).unwrap();
        }
        janitor.forget(forgotten.id());
        assert!(process::runs(known.id()));
        drop(janitor);

        known.wait().unwrap();
        until(Duration::from_secs(60), || (!folder.exists()).then_some(())).unwrap();
        assert!(process::runs(forgotten.id()));
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
