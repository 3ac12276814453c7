//! From files found to batches ready to store: what is known is looked up, what is new is read.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use pool_sql::{Row, RowError, SelectByIds, Value};
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_blocking;

use crate::content::{Content, Reader};
use crate::database::{Database, Place};
use crate::fault::{Fault, In};
use crate::kind::Kind;
use crate::path_text::PathText;
use crate::schema::FileRow;
use crate::stamp::{Known, Stamp};
use crate::stop::Stop;
use crate::tally::Tally;
use crate::throttle::give_way;
use crate::walk::Found;

/// How many files are read between two looks at the pool.
const SLICE: usize = 64;

/// What is stored together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// New and changed files.
    pub(crate) changed: Vec<FileRow>,
    /// The rows of files that are as they were.
    pub(crate) unchanged: Vec<i64>,
    /// What could not be looked at.
    pub(crate) unreadable: Vec<PathBuf>,
}

/// Prepares batches, one after the other. Several of them share what the walk finds.
#[derive(Clone, Debug)]
pub(crate) struct Preparer {
    pub(crate) database: Database,
    pub(crate) place: Arc<Place>,
    pub(crate) known: SelectByIds,
    pub(crate) batch: usize,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
}

/// A file that the walk found.
struct File {
    path: PathBuf,
    text: PathText,
    stamp: Stamp,
}

impl Preparer {
    /// Goes on until the walk has ended or the scan stops.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn run(
        self,
        found: Arc<Mutex<mpsc::Receiver<Found>>>,
        out: mpsc::Sender<Batch>,
    ) -> Result<(), Fault> {
        loop {
            let taken = self.take(&found).await;
            if taken.is_empty() {
                return Ok(());
            }
            let batch = match self.prepare(taken).await {
                Ok(batch) => batch,
                Err(fault) => {
                    self.stop.fail();
                    return Err(fault);
                }
            };
            if out.send(batch).await.is_err() {
                return Ok(()); // the writer failed, and says why
            }
        }
    }

    /// A full batch; at the end, or when the scan stops, what there is of it.
    async fn take(&self, found: &Mutex<mpsc::Receiver<Found>>) -> Vec<Found> {
        let mut found = found.lock().await;
        let mut taken = Vec::with_capacity(self.batch);
        while taken.len() < self.batch && !self.stop.is_set() {
            let room = self.batch - taken.len();
            tokio::select! {
                () = self.stop.wait() => {}
                got = found.recv_many(&mut taken, room) => if got == 0 { break },
            }
        }
        taken
    }

    async fn prepare(&self, found: Vec<Found>) -> Result<Batch, Fault> {
        let mut batch = Batch::default();
        let mut files = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Found::File(path, stamp) => {
                    files.push(File { text: PathText::of(&path), path, stamp });
                }
                Found::Unreadable(path) => batch.unreadable.push(path),
            }
        }
        let known = self.look_up(&files).await?;
        let mut changed = Vec::new();
        for file in files {
            match known.get(&file.text.text) {
                Some(known) if file.stamp.is_unchanged(known) => batch.unchanged.push(known.id),
                _ => changed.push(file),
            }
        }
        batch.changed = self.read(changed).await?;
        Ok(batch)
    }

    /// What the table knows of the files, by path: one query, on a reader.
    async fn look_up(&self, files: &[File]) -> Result<HashMap<String, Known>, Fault> {
        let paths: Vec<_> = files.iter().map(|file| Value::from(&file.text.text)).collect();
        let found = self.database.look_up(&self.known, &paths).await;
        let rows = found.map_err(|error| In(&self.place).fault(error))?;
        let rows = rows.iter().map(|row| Ok((row.get("path")?, known(row)?)));
        rows.collect::<Result<_, RowError>>().map_err(|error| Fault::of_row(&self.place, &error))
    }

    /// Reads files on a thread where that may take long, a slice at a time, and gives way to the
    /// pool's other users in between.
    async fn read(&self, files: Vec<File>) -> Result<Vec<FileRow>, Fault> {
        let mut rows = Vec::with_capacity(files.len());
        let mut files = files.into_iter();
        loop {
            let slice: Vec<_> = files.by_ref().take(SLICE).collect();
            if slice.is_empty() {
                return Ok(rows);
            }
            self.tally.paused.add(give_way(|| self.database.pressure()).await);
            let tally = self.tally.clone();
            let read = spawn_blocking(move || {
                let mut reader = Reader::default();
                slice.into_iter().filter_map(|file| file.read(&mut reader, &tally)).collect()
            });
            let read: Vec<_> = read.await.map_err(|error| Fault::of_task(&error))?;
            rows.extend(read);
        }
    }
}

fn known(row: &Row) -> Result<Known, RowError> {
    Ok(Known {
        id: row.get("id")?,
        size: row.get("size")?,
        modified: row.get("modified")?,
        hashed: row.get::<Option<i64>>("hash")?.is_some(),
    })
}

impl File {
    /// The row to store, unless the file has vanished. One that cannot be read is stored without a
    /// hash, so that the next scan tries again.
    fn read(self, reader: &mut Reader, tally: &Tally) -> Option<FileRow> {
        let (stamp, hash) = match reader.read(&self.path) {
            Content::Hashed(stamp, hash) => {
                tally.hashed.add(1);
                (stamp, Some(hash))
            }
            Content::Unreadable(error) => {
                tally.problem(&self.path, error);
                (self.stamp, None)
            }
            Content::Vanished => {
                tally.vanished.add(1);
                return None;
            }
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(FileRow { name, kind: Kind::of(&self.path), path: self.text, stamp, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> File {
        let stamp = Stamp { size: 1, modified: 2, created: None };
        File { text: PathText::of(&path), path, stamp }
    }

    #[test]
    fn what_was_read_is_stored_as_it_was_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Film.MKV");
        std::fs::write(&path, "12345").unwrap();
        let tally = Tally::default();
        let row = file(path).read(&mut Reader::default(), &tally).unwrap();
        assert_eq!((row.name.as_str(), row.kind, row.stamp.size), ("Film.MKV", Kind::Video, 5));
        assert!(row.hash.is_some());
        assert_eq!((tally.hashed.read(), tally.errors()), (1, 0));
    }

    #[test]
    fn what_has_vanished_is_counted_and_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let tally = Tally::default();
        let gone = file(dir.path().join("gone"));
        assert!(gone.read(&mut Reader::default(), &tally).is_none());
        assert_eq!((tally.vanished.read(), tally.hashed.read(), tally.errors()), (1, 0, 0));
    }
}
