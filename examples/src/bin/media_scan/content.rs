//! The content of a file: a fast hash of its beginning.
//!
//! A file may have become something else since the walk saw it. Opening never follows a symlink and
//! never waits (a FIFO would, for ever), and what was opened is looked at again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::stamp::Stamp;

/// How much of a file is hashed.
const BEGINNING: u64 = 64 * 1024;

/// What reading a file found.
#[derive(Debug)]
pub(crate) enum Content {
    /// The hash, with the size and times that the file had when it was read.
    Hashed(Stamp, u64),
    /// It is gone, or no regular file any more.
    Vanished,
    /// It is there and cannot be read.
    Unreadable(io::Error),
}

/// Reads files one after the other into one buffer.
#[derive(Debug, Default)]
pub(crate) struct Reader(Vec<u8>);

impl Reader {
    /// Hashes the beginning of a file; blocks.
    pub(crate) fn read(&mut self, path: &Path) -> Content {
        match self.try_read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound || !is_file(path) => {
                Content::Vanished
            }
            Err(error) => Content::Unreadable(error),
        }
    }

    fn try_read(&mut self, path: &Path) -> io::Result<Content> {
        let file = open(path)?;
        // Before the content: if it changes meanwhile, the next scan sees that.
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Content::Vanished);
        }
        self.0.clear();
        file.take(BEGINNING).read_to_end(&mut self.0)?;
        Ok(Content::Hashed(Stamp::of(&metadata), xxh3_64(&self.0)))
    }
}

/// Whether a regular file is still there; if that cannot be told, it is.
fn is_file(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(path: &Path) -> u64 {
        match Reader::default().read(path) {
            Content::Hashed(_, hash) => hash,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_first_64_kib_count() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        let mut bytes = vec![7; 70_000];
        fs::write(&a, &bytes).unwrap();
        bytes[69_999] = 8;
        fs::write(&b, &bytes).unwrap();
        bytes[65_535] = 8;
        fs::write(&c, &bytes).unwrap();
        assert_eq!(hash(&a), xxh3_64(&bytes[..10].repeat(6554)[..65_536]));
        assert_eq!(hash(&a), hash(&b));
        assert_ne!(hash(&a), hash(&c));
    }

    #[test]
    fn the_buffer_keeps_nothing_of_the_file_before() {
        let dir = tempfile::tempdir().unwrap();
        let [long, empty] = ["long", "empty"].map(|name| dir.path().join(name));
        fs::write(&long, "text").unwrap();
        fs::write(&empty, "").unwrap();
        let mut reader = Reader::default();
        reader.read(&long);
        let Content::Hashed(stamp, found) = reader.read(&empty) else { panic!("not read") };
        assert_eq!((stamp.size, found), (0, xxh3_64(&[])));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_any_more_has_vanished() {
        let dir = tempfile::tempdir().unwrap();
        let [link, fifo, gone] = ["link", "fifo", "gone"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink("link", &link).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for path in [&link, &fifo, &gone, &dir.path().to_owned()] {
            let content = Reader::default().read(path);
            assert!(matches!(content, Content::Vanished), "{path:?}: {content:?}");
        }
    }
}
