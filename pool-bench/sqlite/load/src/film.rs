//! The one table, and the statements.

/// So many rows has the table.
pub const ROWS: i64 = 100_000;

/// A row.
#[derive(Debug)]
pub struct Film {
    pub id: i64,
    pub title: String,
    pub year: i64,
    pub seen: i64,
}

impl Film {
    /// As many as the table is to have.
    pub(crate) fn all() -> Vec<Self> {
        let film = |id| Self { id, title: format!("Film number {id}"), year: year(id), seen: 0 };
        (1..=ROWS).map(film).collect()
    }
}

/// The year of a film, as [`sql::FILL`] has it.
pub(crate) fn year(id: i64) -> i64 {
    1900 + id % 120
}

/// SQL.
pub mod sql {
    pub const SCHEMA: &str = "CREATE TABLE film (
        id INTEGER PRIMARY KEY, title TEXT NOT NULL, year INTEGER NOT NULL, seen INTEGER NOT NULL
    )";
    pub const FILL: &str = "INSERT INTO film
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i, 'Film number ' || i, 1900 + i % 120, 0 FROM n";
    /// Else some pools would find the rows in the log, and others in the file.
    pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
    pub const SELECT: &str = "SELECT year FROM film WHERE id = ?1";
    pub const UPDATE: &str = "UPDATE film SET seen = seen + 1 WHERE id = ?1";
    pub const SCAN: &str = "SELECT id, title, year, seen FROM film";
}
