//! What the tests of real servers share: a deadline, and clients that hold a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A hang is a failure.
pub(crate) fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || done.send(work()));
    match wait.recv_timeout(LIMIT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("ended without a result"),
        },
    }
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LIMIT.as_millis() / 20 {
        if is_so() {
            return;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

/// If a process is there, and more than a zombie.
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// The processes whose parent this is.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
            fields.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

/// A command-line client with a session open, until its drop.
pub(crate) struct Session {
    client: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Session {
    /// As user `test`, by TCP, at a server that speaks PostgreSQL.
    pub(crate) fn psql(url: &str) -> Self {
        Self::new(Command::new("psql").args(["-XAtq", url]))
    }

    /// As user `test`, by TCP.
    pub(crate) fn mariadb(port: u16) -> Self {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-N", "-B", "--unbuffered", "--user=test"]);
        Self::new(command.args(["--host=127.0.0.1", "--database=test", &format!("--port={port}")]))
    }

    fn new(command: &mut Command) -> Self {
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(client.stdout.take().unwrap());
        Self { client, answers }
    }

    /// The one line that answers, empty if the session is lost.
    pub(crate) fn ask(&mut self, sql: &str) -> String {
        self.say(sql);
        self.answer()
    }

    pub(crate) fn say(&mut self, sql: &str) {
        let _ = writeln!(self.client.stdin.as_mut().unwrap(), "{sql}");
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// If a server that lets in clients at once says something to one that says this. None if the
/// connection is not made.
pub(crate) fn answers(socket: &Path, hello: &[u8], patience: Duration) -> Option<bool> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(hello).ok()?;
    Some(stream.read(&mut [0; 1]).is_ok_and(|length| length == 1))
}
