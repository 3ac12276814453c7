//! How each operation's statements did: how many, how long, how many failed, and the slowest.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_sql::{Outcome, Statement};

use crate::buckets::{Buckets, SharedBuckets};
use crate::monitor::lock;
use crate::table::{REST, Table};

/// So many of the slowest are kept.
const SLOWEST: usize = 10;
/// So many codes of errors are told apart for each operation.
const CODES: usize = 32;

/// How the statements of an operation did: those of a connection taken under this name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementReport {
    /// Which database: `sqlite`, `postgresql`, `mysql`.
    pub backend: String,
    /// The operation's name; `None` for all that were given none.
    pub operation: Option<&'static str>,
    /// How long they took, those that failed too.
    pub took: Buckets,
    /// How many failed, or were given up.
    pub errors: u64,
    /// Rows returned or changed, where the backend knows.
    pub rows: u64,
}

/// One of the slowest statements. Neither its text nor its values are kept, only its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowStatement {
    /// Which database.
    pub backend: &'static str,
    /// The operation's name.
    pub operation: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
    /// The error's code, if it failed.
    pub error: Option<String>,
}

pub(crate) struct Statements {
    table: Table<Kept>,
    slowest: Mutex<Vec<SlowStatement>>,
    /// What takes no longer is not among the slowest, and no lock is taken for it.
    bar_nanos: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// Of those that did well.
    took: SharedBuckets,
    /// Of the others, by the error's code. They are few, and so are the codes.
    failed: Mutex<Vec<(String, SharedBuckets)>>,
    rows: AtomicU64,
}

impl Kept {
    #[cold]
    fn failed(&self, code: &str, took: Duration) {
        let mut failed = lock(&self.failed);
        let place = |failed: &[(String, SharedBuckets)], code| {
            failed.iter().position(|(other, _)| other == code)
        };
        let code = match place(&failed, code) {
            None if failed.len() >= CODES => REST,
            _ => code,
        };
        let at = place(&failed, code).unwrap_or_else(|| {
            failed.push((code.to_owned(), SharedBuckets::default()));
            failed.len() - 1
        });
        failed[at].1.record(took);
    }
}

/// How long statements took that ended alike.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) backend: String,
    pub(crate) operation: Option<&'static str>,
    /// The error's code.
    pub(crate) error: Option<String>,
    pub(crate) took: Buckets,
}

impl Ends {
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (&str, Option<&'static str>, Option<&str>) {
        (&self.backend, self.operation, self.error.as_deref())
    }
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self { table: Table::new(), slowest: Mutex::default(), bar_nanos: AtomicU64::new(0) }
    }

    pub(crate) fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
        let kept = &self.table.of(statement.backend, statement.operation).kept;
        match &outcome.error {
            None => kept.took.record(outcome.took),
            Some(code) => kept.failed(code.as_str(), outcome.took),
        }
        if let Some(rows) = outcome.rows {
            kept.rows.fetch_add(rows, Ordering::Relaxed);
        }
        if nanos(outcome.took) > self.bar_nanos.load(Ordering::Relaxed) {
            self.note_slow(SlowStatement {
                backend: statement.backend,
                operation: statement.operation,
                took: outcome.took,
                error: outcome.error.as_ref().map(ToString::to_string),
            });
        }
    }

    fn note_slow(&self, slow: SlowStatement) {
        let mut slowest = lock(&self.slowest);
        let place = slowest.partition_point(|other| other.took >= slow.took);
        slowest.insert(place, slow);
        if slowest.len() >= SLOWEST {
            slowest.truncate(SLOWEST);
            self.bar_nanos.store(nanos(slowest[SLOWEST - 1].took), Ordering::Relaxed);
        }
    }

    /// The slowest since the start or the last [`forget_slowest`](Self::forget_slowest).
    pub(crate) fn slowest(&self) -> Vec<SlowStatement> {
        lock(&self.slowest).clone()
    }

    pub(crate) fn forget_slowest(&self) {
        let mut slowest = lock(&self.slowest);
        slowest.clear();
        self.bar_nanos.store(0, Ordering::Relaxed);
    }

    /// All so far, by database and name.
    pub(crate) fn read(&self) -> Vec<StatementReport> {
        let mut all: Vec<StatementReport> = Vec::new();
        for Ends { backend, operation, error, took } in self.by_end() {
            let errors = if error.is_some() { took.count() } else { 0 };
            match all.last_mut() {
                Some(one) if one.backend == backend && one.operation == operation => {
                    one.took.merge(&took);
                    one.errors += errors;
                }
                _ => all.push(StatementReport { backend, operation, took, errors, rows: 0 }),
            }
        }
        for entry in self.table.iter() {
            let same = |one: &&mut StatementReport| {
                entry.of == one.backend && entry.operation == one.operation
            };
            if let Some(one) = all.iter_mut().find(same) {
                one.rows += entry.kept.rows.load(Ordering::Relaxed);
            }
        }
        all
    }

    /// The durations of all so far, by database, name and how they ended.
    pub(crate) fn by_end(&self) -> Vec<Ends> {
        let mut all: Vec<Ends> = Vec::new();
        let mut add = |ends: Ends| match all.iter_mut().find(|other| other.is_alike(&ends)) {
            Some(other) => other.took.merge(&ends.took),
            None if ends.took.count() == 0 => {}
            None => all.push(ends),
        };
        for entry in self.table.iter() {
            let ends = |error: Option<&str>, took: &SharedBuckets| Ends {
                backend: entry.of.clone(),
                operation: entry.operation,
                error: error.map(str::to_owned),
                took: took.read(),
            };
            add(ends(None, &entry.kept.took));
            lock(&entry.kept.failed).iter().for_each(|(code, took)| add(ends(Some(code), took)));
        }
        all.sort_by(|a, b| a.key().cmp(&b.key()));
        all
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl StatementReport {
    /// What came since an earlier report of the same.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            took: self.took.since(&earlier.took),
            errors: self.errors.saturating_sub(earlier.errors),
            rows: self.rows.saturating_sub(earlier.rows),
            ..self.clone()
        }
    }

    /// How long they took together.
    pub fn total(&self) -> Duration {
        self.took.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_sql::ErrorCode;

    fn ran(statements: &Statements, operation: &'static str, micros: u64) {
        let statement =
            Statement::new("sqlite").with_operation(operation).with_sql("SELECT 'secret'");
        statements.finished(&statement, &Outcome::new(Duration::from_micros(micros)).with_rows(2));
    }

    #[test]
    fn each_operation_has_its_figures() {
        let statements = Statements::new();
        (1..=9).for_each(|us| ran(&statements, "list", us));
        let failed =
            Outcome::new(Duration::from_millis(3)).with_error(ErrorCode::new("SQLITE_BUSY"));
        statements.finished(&Statement::new("sqlite"), &failed);

        let read = statements.read();
        assert_eq!(read.iter().map(|r| r.operation).collect::<Vec<_>>(), [None, Some("list")]);
        assert_eq!((read[1].took.count(), read[1].rows, read[1].errors), (9, 18, 0));
        assert_eq!(read[1].took.mean(), Duration::from_micros(5));
        assert_eq!((read[0].errors, read[0].total()), (1, Duration::from_millis(3)));
    }

    #[test]
    fn errors_are_told_apart_and_none_is_lost() {
        let statements = Statements::new();
        for code in (0..100).chain([0]) {
            let code = ErrorCode::new(format!("E{code}"));
            let failed = Outcome::new(Duration::from_millis(1)).with_error(code);
            statements.finished(&Statement::new("sqlite"), &failed);
        }
        let ends = statements.by_end();
        let of = |code| ends.iter().find(|end| end.error.as_deref() == code).unwrap().took.count();
        assert_eq!((of(Some("E0")), of(Some("E1")), of(Some(REST))), (2, 1, 68));
        assert!(ends.iter().all(|end| end.error.is_some()), "none did well");
        assert_eq!(statements.read()[0].errors, 101);
    }

    #[test]
    fn the_slowest_are_kept_and_no_text() {
        let statements = Statements::new();
        (1..=50).for_each(|us| ran(&statements, if us % 2 == 0 { "even" } else { "odd" }, us));
        let slowest = statements.slowest();
        let micros: Vec<_> = slowest.iter().map(|slow| slow.took.as_micros()).collect();
        assert_eq!(micros, (41..=50).rev().collect::<Vec<_>>());
        assert_eq!(slowest[0].operation, Some("even"));
        assert!(!format!("{slowest:?}").contains("secret"));

        statements.forget_slowest();
        ran(&statements, "odd", 1);
        assert_eq!(statements.slowest().len(), 1);
    }
}
