//! Progress on a terminal; elsewhere nothing is shown.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar on stderr.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// `expected` files: those of the last scan. The first scan shows no more than that it works.
    pub(crate) fn new(expected: u64) -> Self {
        let (bar, template) = if expected > 0 {
            (ProgressBar::new(expected), "{bar:30} {pos}/{len} files, {rate}, {elapsed}")
        } else {
            (ProgressBar::new_spinner(), "{spinner} {pos} files, {rate}, {elapsed}")
        };
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self(bar)
    }

    /// How many files are stored by now.
    pub(crate) fn stored(&self, files: u64) {
        if self.0.length().is_some_and(|expected| files > expected) {
            self.0.set_length(files);
        }
        self.0.set_position(files);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_may_have_grown() {
        let progress = Progress::new(10);
        progress.stored(12);
        assert_eq!((progress.0.position(), progress.0.length()), (12, Some(12)));
        let first = Progress::new(0);
        first.stored(12);
        assert_eq!((first.0.position(), first.0.length()), (12, None));
    }
}
