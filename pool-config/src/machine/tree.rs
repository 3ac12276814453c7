//! [`Tree`]: files below a root, and notes of what could not be read there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Reads files of a Linux below some root. Paths are as the process sees them, with a `/` in front
/// and no `..` in them.
pub(super) struct Tree<'r> {
    root: &'r Path,
    pub(super) notes: Vec<String>,
}

impl<'r> Tree<'r> {
    pub(super) fn new(root: &'r Path) -> Self {
        Self { root, notes: Vec::new() }
    }

    /// The text of a file that every Linux has.
    pub(super) fn read(&mut self, path: &str) -> Option<String> {
        self.text(path, true)
    }

    /// The text of a file that may well be missing.
    pub(super) fn read_if_there(&mut self, path: &str) -> Option<String> {
        self.text(path, false)
    }

    fn text(&mut self, path: &str, note_missing: bool) -> Option<String> {
        match fs::read(self.place(path)) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                if note_missing || error.kind() != ErrorKind::NotFound {
                    self.note(format!("{path}: {error}"));
                }
                None
            }
        }
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.place(path).is_dir()
    }

    /// Notes what makes no sense, with what would.
    pub(super) fn senseless(&mut self, path: &str, text: &str, want: &str) {
        let start: String = text.trim_end().chars().take(40).collect();
        self.note(format!("{path}: {start:?}: want {want}"));
    }

    /// Adds a note, unless it is there.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}
