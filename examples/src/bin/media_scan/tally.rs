//! What a scan has met so far, counted by all its threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::fault::Shown;

/// How many problems are told with path and reason; the others are only counted.
const TOLD: usize = 20;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Time that only grows.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn add(&self, more: Duration) {
        // In nanoseconds: 584 years of them.
        let more = u64::try_from(more.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The counts, and the first problems.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Files that stand in the table as they are on the disk.
    pub(crate) files: Counter,
    /// Of these, how many were read.
    pub(crate) hashed: Counter,
    /// Symlinks; they are not followed.
    pub(crate) symlinks: Counter,
    /// Sockets, FIFOs and devices.
    pub(crate) special: Counter,
    /// Files and folders that were gone before their turn came.
    pub(crate) vanished: Counter,
    /// The files of the database itself.
    pub(crate) own: Counter,
    /// Rows of files that are gone.
    pub(crate) removed: Counter,
    /// How long reading files gave way to other users of the pool, over all readers.
    pub(crate) paused: Time,
    /// How long the writing connection was at work.
    pub(crate) in_database: Time,
    errors: Counter,
    problems: Mutex<Vec<(PathBuf, String)>>,
}

impl Tally {
    /// Something that could not be read.
    pub(crate) fn problem(&self, path: &Path, reason: impl ToString) {
        self.errors.add(1);
        // A panic elsewhere leaves the list as it was before or after a push: both are whole.
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < TOLD {
            problems.push((path.to_owned(), reason.to_string()));
        }
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.read()
    }

    /// What is no file to store, of whatever sort.
    pub(crate) fn skipped(&self) -> u64 {
        [&self.symlinks, &self.special, &self.vanished, &self.own].map(Counter::read).iter().sum()
    }

    /// The problems as lines of text.
    pub(crate) fn problem_lines(&self) -> Vec<String> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(path, reason): &(PathBuf, String)| format!("{}: {reason}", Shown(path));
        let mut lines: Vec<_> = problems.iter().map(line).collect();
        let more = self.errors().saturating_sub(lines.len() as u64);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_problems_are_told() {
        let tally = Tally::default();
        assert!(tally.problem_lines().is_empty());
        for n in 0..23 {
            tally.problem(Path::new(&format!("/x\n{n}")), "no right to");
        }
        let lines = tally.problem_lines();
        assert_eq!((lines.len(), tally.errors()), (21, 23));
        assert_eq!(lines[0], "\"/x\\n0\": no right to");
        assert_eq!(lines[20], "and 3 more");
    }

    #[test]
    fn what_is_skipped_is_the_sum_of_its_sorts() {
        let tally = Tally::default();
        tally.symlinks.add(1);
        tally.special.add(2);
        tally.vanished.add(4);
        tally.own.add(8);
        tally.files.add(16);
        assert_eq!(tally.skipped(), 15);
    }
}
