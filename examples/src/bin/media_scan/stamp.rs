//! [`Stamp`]: by what a file is recognised as unchanged.

use std::fs::Metadata;
use std::time::{SystemTime, UNIX_EPOCH};

/// Size and times of a file. Times are microseconds since 1970, UTC, as in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: i64,
    /// Zero where the file system keeps no such time.
    pub(crate) modified: i64,
    /// Not every file system knows it.
    pub(crate) created: Option<i64>,
}

/// What the table knows of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) size: i64,
    pub(crate) modified: i64,
    /// Not so for a file that could not be read.
    pub(crate) hashed: bool,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            modified: metadata.modified().map_or(0, micros),
            created: metadata.created().ok().map(micros),
        }
    }

    /// Whether the file need not be read again.
    pub(crate) fn is_unchanged(&self, known: &Known) -> bool {
        known.hashed && (known.size, known.modified) == (self.size, self.modified)
    }
}

/// Saturates far from 1970; rounds towards it.
pub(crate) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn size_and_time_decide() {
        let stamp = Stamp { size: 5, modified: 70, created: None };
        let known = Known { id: 1, size: 5, modified: 70, hashed: true };
        assert!(stamp.is_unchanged(&known));
        assert!(Stamp { created: Some(9), ..stamp }.is_unchanged(&known));
        assert!(!Stamp { size: 6, ..stamp }.is_unchanged(&known));
        assert!(!Stamp { modified: 69, ..stamp }.is_unchanged(&known)); // older is different too
        assert!(!stamp.is_unchanged(&Known { hashed: false, ..known }));
    }

    #[test]
    fn a_file_has_its_times() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        let time = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        file.as_file().set_modified(time).unwrap();
        let stamp = Stamp::of(&std::fs::metadata(file.path()).unwrap());
        assert_eq!((stamp.size, stamp.modified), (5, 1_000_000_000_123_456));
    }

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(micros(UNIX_EPOCH - Duration::from_millis(1)), -1000);
    }
}
