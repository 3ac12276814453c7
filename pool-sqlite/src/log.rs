//! The write-ahead log of a database: how long it is, and when it is folded into the file.
//!
//! A checkpoint holds up the writer, and most of it waits for the disk. So the pool runs one
//!
//! 1. once the writer rests, if the log has grown by `checkpoint_at` since the last one;
//! 2. as soon as it comes back, if the log has grown by [`PATIENCE`] times as much;
//! 3. beside any other reset of the writer, if 1 holds.
//!
//! Where the writer does not come back for long, the commit that makes the log longer than [`NET`] times
//! as much checkpoints, which is SQLite's own doing. Once all of it is folded in and nobody reads there
//! any more, the next commit starts the log over. Whoever began to read before that reads there for
//! as long as it takes: the pool waits for them a little, since else, where there are always readers,
//! the log would go on growing.
//!
//! A log that starts over is written from its beginning again, and does not become shorter. So how
//! long it is only its frames tell: those of its present generation have the numbers of its header
//! (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use pool_core::Cause;
use rusqlite::Connection;
use tokio::time::Instant;

/// So many times `checkpoint_at` the log may grow while somebody waits for the writer.
const PATIENCE: u64 = 12;
/// And so long it may be within one checkout.
pub(crate) const NET: u64 = 16;
/// It is worth a look, which takes 10 to 30 µs, after so many rows and commits,
const LOOK: u64 = 128;
/// or if there were any, and the last look was so long ago.
const OFTEN: Duration = Duration::from_secs(1);

const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// What a writer knows of the log.
#[derive(Debug)]
pub(crate) struct Log {
    looked_at: Instant,
    /// Its rows and commits at the last look.
    written: u64,
    /// As of the last checkpoint.
    folded: Length,
    /// Why a checkpoint is due.
    due: Option<Cause>,
}

impl Log {
    pub(crate) fn new(now: Instant) -> Self {
        Self { looked_at: now, written: 0, folded: Length::default(), due: None }
    }

    /// Looks at it, if that is worth it after so many rows and commits of this connection.
    pub(crate) fn look(&mut self, now: Instant, written: u64, path: &Path, checkpoint_at: u64) {
        let more = written.abs_diff(self.written); // less, if it was opened anew
        if more == 0 || (more < LOOK && now.duration_since(self.looked_at) < OFTEN) {
            return;
        }
        (self.looked_at, self.written) = (now, written);
        let grown = Length::read(path).map_or(0, |length| length.since(self.folded));
        self.due = if grown >= checkpoint_at.saturating_mul(PATIENCE).max(1) {
            Some(Cause::Other("write-ahead log too long"))
        } else if grown >= checkpoint_at {
            Some(Cause::Upkeep)
        } else {
            None
        };
    }

    /// Why a checkpoint is due, if it is, as of the last look.
    pub(crate) fn due(&self) -> Option<Cause> {
        self.due
    }

    /// It was folded.
    pub(crate) fn folded(&mut self, length: Length) {
        (self.folded, self.due) = (length, None);
    }
}

/// How long a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Length {
    /// Another one each time it starts over.
    generation: [u8; 8],
    bytes: u64,
}

impl Length {
    /// Folds the log into the file, as far as nobody needs it, waits for those who read there, and says
    /// how long it was. What cannot be folded now is left for when it has grown by as much again.
    pub(crate) fn of_folded(connection: &Connection, path: &Path) -> Self {
        let _ = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
        Self::read(path).unwrap_or_default()
    }

    /// Reads it off the log's file. `None`: there is none.
    fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut header = [0; HEADER as usize];
        file.read_exact(&mut header).ok()?;
        let page = u32::from_be_bytes(header[8..12].try_into().ok()?);
        let generation = header[16..24].try_into().ok()?;
        let frame = FRAME_HEADER + u64::from(page);
        let mut is_present = |number: u64| {
            let mut own = [0; FRAME_HEADER as usize];
            let read = file
                .seek(SeekFrom::Start(HEADER + number * frame))
                .and_then(|_| file.read_exact(&mut own));
            read.is_ok() && own[8..16] == generation
        };
        // Those of the present generation come first.
        let (mut present, mut not) = (0, 1);
        while is_present(not - 1) {
            (present, not) = (not, not * 2);
        }
        while not - present > 1 {
            let middle = present.midpoint(not);
            match is_present(middle - 1) {
                true => present = middle,
                false => not = middle,
            }
        }
        Some(Self { generation, bytes: present * frame })
    }

    fn since(self, earlier: Self) -> u64 {
        let is_same = self.generation == earlier.generation;
        self.bytes - if is_same { earlier.bytes.min(self.bytes) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite itself says of the log, in frames.
    fn frames(connection: &Connection) -> u64 {
        let frames = |row: &rusqlite::Row<'_>| row.get::<_, u32>(1);
        connection.query_row("PRAGMA wal_checkpoint", [], frames).unwrap().into()
    }

    #[test]
    fn it_is_as_long_as_sqlite_says() {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("test.db"), folder.path().join("test.db-wal"));
        assert_eq!(Length::read(&log), None);
        let connection = Connection::open(&path).unwrap();
        let set_up = "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL;
            PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)";
        connection.execute_batch(set_up).unwrap();
        let fill = |rows: u32| {
            let fill = "INSERT INTO t
                WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                SELECT randomblob(700) FROM n";
            connection.execute(fill, [rows]).unwrap();
        };
        let mut before = Length::default();
        // Each time it starts over, shorter or longer than before.
        for (rows, again) in [(1, 0), (900, 3), (5, 1), (64, 64), (2000, 1)] {
            fill(rows);
            let first = Length::read(&log).unwrap();
            assert_eq!(first.since(before), first.bytes, "it has started over");
            for _ in 0..again {
                fill(1);
            }
            let length = Length::read(&log).unwrap();
            assert_eq!(length.since(first), length.bytes - first.bytes);
            before = Length::of_folded(&connection, &log);
            assert_eq!((before, length.bytes), (length, frames(&connection) * (1024 + 24)));
        }
    }
}
