//! Trees to scan, and the program run with a deadline.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use pool_sqlite::rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// No run may take longer; then it is killed, and its test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder to scan and a place for the database, both of this test alone.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(place.tree()).unwrap();
        place
    }

    /// With so many files, 50 to a folder.
    pub(crate) fn with_files(count: usize) -> Self {
        let place = Self::new();
        for i in 0..count {
            place.file(format!("{}/file {i}.mkv", i / 50), i.to_string());
        }
        place
    }

    /// As [`Place::with_files`], made quickly: the files of a folder are names of the same one.
    pub(crate) fn with_many_files(count: usize) -> Self {
        let place = Self::new();
        for i in 0..count {
            let name = format!("{}/file {i}.mkv", i / 50);
            if i % 50 == 0 {
                place.file(name, i.to_string());
            } else {
                let first = format!("{}/file {}.mkv", i / 50, i / 50 * 50);
                fs::hard_link(place.tree().join(first), place.tree().join(name)).unwrap();
            }
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.dir.path().join("media.db")
    }

    /// A file in the tree, with its folders.
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.tree().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn link(&self, to: &str, name: &str) {
        symlink(to, self.tree().join(name)).unwrap();
    }

    /// `media_scan TREE --db DB`.
    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command.arg(self.tree()).arg("--db").arg(self.db());
        command
    }

    /// Scans the tree, which must succeed, and gives the report.
    pub(crate) async fn scan(&self) -> Value {
        report(&run(self.command().arg("--json")).await)
    }

    /// The database as another program sees it.
    pub(crate) fn open(&self) -> Connection {
        open(&self.db())
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.open().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let connection = self.open();
        let mut query = connection.prepare("SELECT path FROM files ORDER BY path").unwrap();
        let paths = query.query_map([], |row| row.get(0)).unwrap();
        paths.map(Result::unwrap).collect()
    }

    /// The database is sound, and nobody has left a log behind.
    pub(crate) fn assert_sound(&self) {
        assert!(!self.path().join("media.db-wal").exists(), "a log is left behind");
        let check = "PRAGMA integrity_check";
        let sound: String = self.open().query_row(check, [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}

pub(crate) fn open(db: &Path) -> Connection {
    Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

/// The program, with nothing in its environment that names a database.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_media_scan"));
    command.env_remove("DATABASE_URL").env_remove("DATABASE_MODE").env_remove("SQLITE_DB_PATH");
    command
}

/// Waits for something, at most until the deadline.
pub(crate) async fn within_deadline<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it happens within the deadline")
}

/// Starts a program whose output is kept and which does not outlive its test.
pub(crate) fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Waits for its end; kills it at the deadline.
pub(crate) async fn end(child: Child) -> Output {
    timeout(DEADLINE, child.wait_with_output()).await.expect("it ends within its deadline").unwrap()
}

pub(crate) async fn run(command: &mut Command) -> Output {
    end(start(command)).await
}

/// The report of a run that succeeded.
pub(crate) fn report(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    json(output)
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A run that failed: with code 1, nothing on stdout and one sentence on stderr, which is given.
pub(crate) fn sentence(output: &Output) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let sentence = said.strip_prefix("media_scan: ").expect(&said).strip_suffix('\n').expect(&said);
    assert!(!sentence.contains('\n') && sentence.len() < 500, "{said}");
    sentence.to_owned()
}

pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
    assert!(sent.success());
}

/// Looks again and again until something is found.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    within_deadline(looking).await
}

/// Runs a shell script, as `$0` the program and then the arguments.
pub(crate) async fn shell(script: &str, arguments: &[&OsStr]) -> Output {
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_media_scan")).args(arguments);
    run(&mut bash).await
}
