//! The walk: every entry below the root, found by several threads at once.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ignore::{DirEntry, WalkBuilder, WalkState};
use tokio::sync::mpsc;

use crate::stamp::Stamp;
use crate::stop::Stop;
use crate::tally::Tally;

/// What the walk hands on.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file.
    File(PathBuf, Stamp),
    /// A folder or entry that could not be read: nothing is known of what is there and below it.
    Unreadable(PathBuf),
}

/// A walk about to begin.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) root: PathBuf,
    /// Files that are not part of the collection: the database itself.
    pub(crate) except: Vec<PathBuf>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
}

impl Walk {
    /// Walks, and says whether it saw everything that can be read; blocks.
    ///
    /// It goes no faster than `out` is emptied, and ends when nobody receives any more. Symlinks are
    /// counted and not followed, so that loops of them are harmless.
    pub(crate) fn run(&self, out: &mpsc::Sender<Found>) -> bool {
        let complete = AtomicBool::new(true);
        let walker = WalkBuilder::new(&self.root)
            .standard_filters(false) // hidden files, and what a .gitignore names, are files too
            .follow_links(false)
            .build_parallel();
        walker.run(|| {
            Box::new(|entry| {
                if self.visit(entry, out, &complete) {
                    WalkState::Continue
                } else {
                    complete.store(false, Ordering::Relaxed);
                    WalkState::Quit
                }
            })
        });
        complete.load(Ordering::Relaxed)
    }

    /// Whether to go on.
    fn visit(
        &self,
        entry: Result<DirEntry, ignore::Error>,
        out: &mpsc::Sender<Found>,
        complete: &AtomicBool,
    ) -> bool {
        if self.stop.is_set() {
            return false;
        }
        let found = match entry {
            Ok(entry) => self.look(entry),
            Err(error) => match place(&error).filter(|path| *path != self.root) {
                Some(path) => self.refused(path, &error),
                None => {
                    // The root itself, or nobody knows what, is missing: nothing may be removed.
                    self.tally.problem(&self.root, &error);
                    complete.store(false, Ordering::Relaxed);
                    None
                }
            },
        };
        found.is_none_or(|found| out.blocking_send(found).is_ok())
    }

    fn look(&self, entry: DirEntry) -> Option<Found> {
        let kind = entry.file_type()?; // only standard input has none
        if kind.is_dir() {
            return None;
        }
        if kind.is_symlink() {
            self.tally.symlinks.add(1);
            return None;
        }
        if !kind.is_file() {
            self.tally.special.add(1);
            return None;
        }
        if self.except.iter().any(|own| own == entry.path()) {
            self.tally.own.add(1);
            return None;
        }
        match entry.metadata() {
            Ok(metadata) => Some(Found::File(entry.into_path(), Stamp::of(&metadata))),
            Err(error) => self.refused(entry.path(), &error),
        }
    }

    fn refused(&self, path: &Path, error: &ignore::Error) -> Option<Found> {
        if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) {
            self.tally.vanished.add(1);
            return None;
        }
        match error.io_error() {
            Some(reason) => self.tally.problem(path, reason),
            None => self.tally.problem(path, error),
        }
        Some(Found::Unreadable(path.to_owned()))
    }
}

/// The path that an error is about.
fn place(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place(err)
        }
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn walk(root: &Path, except: Vec<PathBuf>) -> (bool, Vec<PathBuf>, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        let walk = Walk { root: root.into(), except, tally: tally.clone(), stop: Stop::new() };
        let (sender, mut receiver) = mpsc::channel(100);
        let complete = walk.run(&sender);
        drop(sender);
        let mut names = Vec::new();
        while let Some(found) = receiver.blocking_recv() {
            let (Found::File(path, _) | Found::Unreadable(path)) = found;
            names.push(path.strip_prefix(root).unwrap().to_owned());
        }
        names.sort();
        (complete, names, tally)
    }

    #[test]
    fn every_file_is_found_hidden_or_ignored_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join(".git/x")).unwrap();
        for name in ["a", ".hidden", ".git/x/b", ".gitignore", ".ignore", "db"] {
            fs::write(root.join(name), "*").unwrap();
        }
        symlink("a", root.join("link")).unwrap();
        symlink("..", root.join(".git/loop")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let (complete, names, tally) = walk(root, vec![root.join("db")]);
        let expected = [".git/x/b", ".gitignore", ".hidden", ".ignore", "a"].map(PathBuf::from);
        assert_eq!(names, expected);
        assert!(complete);
        assert_eq!((tally.symlinks.read(), tally.own.read(), tally.errors()), (3, 1, 0));
    }

    #[test]
    fn a_walk_that_nobody_follows_is_not_complete() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "").unwrap();
        let stop = Stop::new();
        let walk = |stop: &Stop| {
            let (sender, _) = mpsc::channel(1);
            let (root, tally) = (dir.path().to_owned(), Arc::default());
            Walk { root, except: Vec::new(), tally, stop: stop.clone() }.run(&sender)
        };
        assert!(!walk(&stop));
        stop.interrupt();
        assert!(!walk(&stop));
    }

    #[test]
    fn what_cannot_be_listed_is_unknown_and_what_is_gone_is_not() {
        let tally = Arc::new(Tally::default());
        let (root, stop) = (PathBuf::from("/r"), Stop::new());
        let walk = Walk { root, except: Vec::new(), tally: tally.clone(), stop };
        let error = |kind: ErrorKind| ignore::Error::WithDepth {
            depth: 1,
            err: Box::new(ignore::Error::WithPath {
                path: "/r/x".into(),
                err: Box::new(ignore::Error::Io(kind.into())),
            }),
        };
        let (sender, mut receiver) = mpsc::channel(9);
        let complete = AtomicBool::new(true);
        assert!(walk.visit(Err(error(ErrorKind::NotFound)), &sender, &complete));
        assert!(walk.visit(Err(error(ErrorKind::PermissionDenied)), &sender, &complete));
        assert!(
            matches!(receiver.try_recv(), Ok(Found::Unreadable(path)) if path == Path::new("/r/x"))
        );
        assert!(receiver.try_recv().is_err() && complete.load(Ordering::Relaxed));
        assert_eq!((tally.vanished.read(), tally.errors()), (1, 1));

        let io = || Box::new(ignore::Error::Io(ErrorKind::NotFound.into()));
        let unplugged = ignore::Error::WithPath { path: "/r".into(), err: io() };
        for error in [*io(), unplugged] {
            let complete = AtomicBool::new(true);
            assert!(walk.visit(Err(error), &sender, &complete));
            assert!(!complete.load(Ordering::Relaxed));
        }
    }
}
