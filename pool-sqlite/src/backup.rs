//! Backups: a copy under a name of its own, which gets the wanted name when it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::connection::SqliteConnection;
use crate::error::{Source, SqliteError, SqliteErrorKind};
use crate::open::Opened;

/// Pages copied between two looks at whether anybody still wants the copy.
const PAGES: i32 = 1000;

impl SqliteConnection {
    /// Copies the database into a new file, on the connection's thread.
    pub(crate) async fn back_up(&mut self, to: PathBuf) -> Result<(), SqliteError> {
        let name: Arc<str> = to.display().to_string().into();
        let watch = self.watch();
        let done = self.run(move |opened| copy(opened, &to)).await;
        watch.done(&self.shared, done.and_then(|done| done.map_err(|error| error.of(&name))))
    }
}

fn copy(opened: &Opened, to: &Path) -> Result<(), SqliteError> {
    let io = |error| SqliteError::new(SqliteErrorKind::Io, Source::Io(error));
    let taken = || {
        let text = "the file exists already; name a new one";
        SqliteError::text(SqliteErrorKind::CannotOpen, text)
    };
    if to.exists() {
        return Err(taken());
    }
    let part = Part::create(to)?;
    {
        let mut target = Connection::open(&part.0)?;
        let backup = Backup::new(&opened.connection, &mut target)?;
        loop {
            match backup.step(PAGES)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::park_timeout(Duration::from_millis(5)), // locked: again
            }
            if opened.given_up.load(Ordering::Acquire) {
                return Err(SqliteError::text(SqliteErrorKind::Interrupted, "given up"));
            }
        }
    }
    // A link, unlike a rename, never takes the place of a file that came meanwhile.
    match std::fs::hard_link(&part.0, to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(taken()),
        linked => linked.or_else(|_| std::fs::rename(&part.0, to)).map_err(io),
    }
}

/// The copy in the making; removed at the end, whatever the end.
struct Part(PathBuf);

impl Part {
    fn create(to: &Path) -> Result<Self, SqliteError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut part = to.to_owned().into_os_string();
        part.push(format!(".{}-{number}.part", std::process::id()));
        let part = PathBuf::from(part);
        std::fs::File::create_new(&part)
            .map_err(|error| SqliteError::new(SqliteErrorKind::CannotOpen, Source::Io(error)))?;
        Ok(Self(part))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
