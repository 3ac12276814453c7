//! [`Watch`]: a statement under way, for the backends that tell observers of it.

use std::fmt;

use tokio::time::Instant;

use crate::observe::{ErrorCode, Observers, Outcome, Statement};

/// Tells observers that a statement starts, and how it ended; dropped before, that it was cancelled.
/// Nothing, and nothing is copied, if nobody looks.
///
/// ```
/// use pool_sql::{Observers, Statement, Watch};
///
/// let observers = Observers::default();
/// let watch = Watch::begin(&observers, Statement::new("sqlite").with_sql("SELECT 1"));
/// // Here a backend runs the statement.
/// watch.end(None);
/// ```
///
/// The default one tells nobody.
#[derive(Default)]
#[must_use = "dropped, it tells of a cancelled statement"]
pub struct Watch(Option<Box<Begun>>);

struct Begun {
    observers: Observers,
    backend: &'static str,
    operation: Option<&'static str>,
    sql: Option<Box<str>>,
    at: Instant,
}

impl Watch {
    /// A statement begins.
    #[inline]
    pub fn begin(observers: &Observers, statement: Statement<'_>) -> Self {
        if observers.is_empty() { Self(None) } else { Self::begin_told(observers, statement) }
    }

    fn begin_told(observers: &Observers, statement: Statement<'_>) -> Self {
        let Statement { backend, operation, sql } = statement;
        observers.started(&statement);
        let (observers, sql) = (observers.clone(), sql.map(Box::from));
        let begun = Begun { observers, backend, operation, sql, at: Instant::now() };
        Self(Some(Box::new(begun)))
    }

    /// It has ended: well, or with this error.
    #[inline]
    pub fn end(mut self, error: Option<ErrorCode>) {
        if let Some(begun) = self.0.take() {
            begun.tell(error);
        }
    }
}

impl Begun {
    fn tell(self, error: Option<ErrorCode>) {
        let Self { observers, backend, operation, sql, at } = self;
        let outcome = Outcome { took: at.elapsed(), rows: None, error };
        let statement = Statement { backend, operation, sql: sql.as_deref() };
        observers.finished(&statement, &outcome);
    }
}

impl Drop for Watch {
    #[inline]
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            begun.tell(Some(ErrorCode::new("cancelled")));
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::StatementObserver;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl StatementObserver for Log {
        fn finished(&self, statement: &Statement<'_>, outcome: &Outcome) {
            let error = outcome.error.as_ref().map_or("ok", ErrorCode::as_str);
            let told = format!("{:?} {:?} {error}", statement.operation, statement.sql);
            self.0.lock().unwrap().push(told);
        }
    }

    #[test]
    fn what_is_dropped_was_cancelled_and_each_ends_once() {
        let log = Arc::new(Log::default());
        let observers = Observers::default().with(log.clone());
        let statement = Statement::new("sqlite").with_operation("list").with_sql("SELECT 1");
        Watch::begin(&observers, statement).end(None);
        Watch::begin(&observers, statement).end(Some(ErrorCode::new("1062")));
        drop(Watch::begin(&observers, Statement::new("sqlite")));
        let told = log.0.lock().unwrap().clone();
        let list = "Some(\"list\") Some(\"SELECT 1\")";
        assert_eq!(
            told,
            [format!("{list} ok"), format!("{list} 1062"), "None None cancelled".into()]
        );
    }
}
