//! What a scan did: as a table for people, as JSON for programs.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use serde::Serialize;

use crate::database::{Place, Snapshot};
use crate::page::Summary;
use crate::tally::Tally;

/// The outcome of a scan that was complete or interrupted.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Regular files that stand in the table as they are on the disk.
    pub(crate) files: u64,
    /// Of these, those that were new or changed, and read.
    pub(crate) hashed: u64,
    /// Rows below the folder, after the scan.
    pub(crate) rows: u64,
    /// Rows that were removed, since their files are gone.
    pub(crate) removed: u64,
    /// Entries that are no files to store: symlinks, sockets, FIFOs, devices, what vanished during
    /// the scan, the database itself.
    pub(crate) skipped: u64,
    /// Files and folders that could not be read.
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    pub(crate) files_per_second: f64,
    /// How long the writing connection was at work.
    pub(crate) database_seconds: f64,
    /// How long reading files gave way to the pool's other users, over all readers.
    pub(crate) paused_seconds: f64,
    pub(crate) queries: Summary,
    /// The pool at the end of the scan.
    pub(crate) pool: Snapshot,
    pub(crate) interrupted: bool,
    pub(crate) database: String,
    #[serde(skip)]
    details: Details,
}

/// What only the table tells.
#[derive(Debug)]
struct Details {
    skipped: [(&'static str, u64); 4],
}

impl Report {
    pub(crate) fn new(
        tally: &Tally,
        rows: u64,
        took: Duration,
        queries: Summary,
        pool: Snapshot,
        interrupted: bool,
        database: &Place,
    ) -> Self {
        let (files, seconds) = (tally.files.read(), took.as_secs_f64());
        Self {
            files,
            hashed: tally.hashed.read(),
            rows,
            removed: tally.removed.read(),
            skipped: tally.skipped(),
            errors: tally.errors(),
            seconds,
            files_per_second: if seconds > 0.0 { files as f64 / seconds } else { 0.0 },
            database_seconds: tally.in_database.read().as_secs_f64(),
            paused_seconds: tally.paused.read().as_secs_f64(),
            queries,
            pool,
            interrupted,
            database: database.name(),
            details: Details {
                skipped: [
                    ("symlinks", tally.symlinks.read()),
                    ("special", tally.special.read()),
                    ("vanished", tally.vanished.read()),
                    ("own", tally.own.read()),
                ],
            },
        }
    }

    /// One JSON object on one line.
    ///
    /// # Errors
    /// None that is known: all fields are numbers and texts.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// The same for people.
    pub(crate) fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("Files", format!("{} ({} read)", self.files, self.hashed));
        row("Rows below this folder", format!("{} ({} removed)", self.rows, self.removed));
        row("Skipped", self.skipped_in_words());
        row("Errors", self.errors.to_string());
        row("Time", format!("{:.2} s, {:.0} files/s", self.seconds, self.files_per_second));
        row("In the database", format!("{:.2} s", self.database_seconds));
        row("Gave way to others", format!("{:.2} s", self.paused_seconds));
        let Summary { count, failed, p50_ms, p99_ms } = self.queries;
        row(
            "Queries meanwhile",
            format!("{count} ({failed} failed), half in {p50_ms:.2} ms, 99 % in {p99_ms:.2} ms"),
        );
        row("Database", self.database.escape_debug().to_string());
        table.to_string()
    }

    fn skipped_in_words(&self) -> String {
        let some = self.details.skipped.iter().filter(|(_, count)| *count > 0);
        let sorts: Vec<_> = some.map(|(sort, count)| format!("{count} {sort}")).collect();
        if sorts.is_empty() {
            "0".into()
        } else {
            format!("{} ({})", self.skipped, sorts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Visits;

    async fn of(tally: &Tally) -> Report {
        let pool = pool_sqlite::SqliteBuilder::in_memory().build().await.unwrap();
        let (took, queries) = (Duration::from_secs(2), Visits::default().summary());
        let place = Place::File { path: "/a\n.db".into(), by_url: false };
        let pool = Snapshot::Sqlite(Box::new(pool.snapshot()));
        Report::new(tally, 6, took, queries, pool, false, &place)
    }

    #[tokio::test]
    async fn the_figures_fit_together() {
        let tally = Tally::default();
        tally.files.add(6);
        let report = of(&tally).await;
        assert_eq!((report.files_per_second, report.skipped_in_words()), (3.0, "0".into()));
        tally.symlinks.add(2);
        tally.own.add(1);
        assert_eq!(of(&tally).await.skipped_in_words(), "3 (2 symlinks, 1 own)");
    }

    #[tokio::test]
    async fn json_is_one_line_and_a_table_row_too() {
        let report = of(&Tally::default()).await;
        let json = report.to_json().unwrap();
        assert!(json.starts_with('{') && json.ends_with('}') && !json.contains('\n'), "{json}");
        assert!(report.to_table().contains("/a\\n.db"));
    }
}
