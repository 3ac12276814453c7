//! [`TransactionEnded`]: what observers are told of a transaction; and [`TransactionWatch`], by
//! which the backends tell it.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::Observers;

/// A transaction that has ended, for [`StatementObserver::transaction_ended`].
///
/// [`StatementObserver::transaction_ended`]: crate::StatementObserver::transaction_ended
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionEnded {
    /// Which database: `"sqlite"`, `"postgresql"`, `"mysql"`.
    pub backend: &'static str,
    /// What the application calls it.
    pub operation: Option<&'static str>,
    /// From when its `BEGIN` was sent until it was known to have ended, or was dropped.
    pub took: Duration,
    /// How it ended.
    pub end: TransactionEnd,
}

impl TransactionEnded {
    /// A transaction on a database that ended so, of no operation.
    pub fn new(backend: &'static str, took: Duration, end: TransactionEnd) -> Self {
        Self { backend, operation: None, took, end }
    }

    /// With what the application calls it.
    #[must_use]
    pub fn with_operation(self, operation: &'static str) -> Self {
        Self { operation: Some(operation), ..self }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionEnd {
    /// What was done in it is kept.
    Committed,
    /// Nothing of it is kept, or will be: it was rolled back by call, by its drop or after an error;
    /// or its commit was refused.
    RolledBack,
    /// Nobody here knows whether it was kept: the connection was lost, the answer to the commit was
    /// not waited for, or a statement ended it (`COMMIT`, `CREATE TABLE` on MySQL).
    Lost,
}

impl TransactionEnd {
    /// For logs and labels: `committed`, `rolled_back`, `lost`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for TransactionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells observers once how a transaction ended; dropped before, that it was rolled back, or lost
/// if it was [in doubt](Self::in_doubt). Nothing, and nothing is copied, if nobody looks.
///
/// ```
/// use pool_sql::{Observers, TransactionEnd, TransactionWatch};
///
/// let observers = Observers::default();
/// let mut watch = TransactionWatch::begin(&observers, "sqlite", Some("import"));
/// // Here a backend sends BEGIN, and statements. Then, right before it sends COMMIT:
/// watch.in_doubt();
/// // And with the answer:
/// watch.end(TransactionEnd::Committed);
/// ```
#[derive(Default)]
#[must_use = "dropped, it tells of a transaction that was rolled back"]
pub struct TransactionWatch(Option<Open>);

struct Open {
    observers: Observers,
    backend: &'static str,
    operation: Option<&'static str>,
    at: Instant,
    unless_told: TransactionEnd,
}

impl TransactionWatch {
    /// A transaction is about to begin. The default value watches none: for a savepoint.
    pub fn begin(
        observers: &Observers,
        backend: &'static str,
        operation: Option<&'static str>,
    ) -> Self {
        if observers.is_empty() {
            return Self(None);
        }
        let (observers, unless_told) = (observers.clone(), TransactionEnd::RolledBack);
        Self(Some(Open { observers, backend, operation, at: Instant::now(), unless_told }))
    }

    /// It could not be begun: there is nothing to tell.
    pub fn not_begun(mut self) {
        self.0 = None;
    }

    /// From here on nobody knows how it ends unless it is told: its commit is sent, or its
    /// connection is lost.
    pub fn in_doubt(&mut self) {
        if let Some(open) = &mut self.0 {
            open.unless_told = TransactionEnd::Lost;
        }
    }

    /// It has ended so.
    pub fn end(mut self, end: TransactionEnd) {
        self.tell(Some(end));
    }

    fn tell(&mut self, end: Option<TransactionEnd>) {
        let Some(open) = self.0.take() else { return };
        let Open { observers, backend, operation, at, unless_told } = open;
        let (took, end) = (at.elapsed(), end.unwrap_or(unless_told));
        observers.transaction_ended(&TransactionEnded { backend, operation, took, end });
    }
}

impl Drop for TransactionWatch {
    fn drop(&mut self) {
        self.tell(None);
    }
}

impl fmt::Debug for TransactionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::StatementObserver;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Log(Mutex<Vec<TransactionEnded>>);

    impl StatementObserver for Log {
        fn transaction_ended(&self, transaction: &TransactionEnded) {
            self.0.lock().unwrap().push(*transaction);
        }
    }

    struct Panics;

    impl StatementObserver for Panics {
        fn transaction_ended(&self, _: &TransactionEnded) {
            panic!("an observer of the application's (expected in this test)");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_ends_once_as_it_was_told_or_as_it_was_left() {
        let log = Arc::new(Log::default());
        let observers = Observers::default().with(Arc::new(Panics)).with(log.clone());
        let begin = || TransactionWatch::begin(&observers, "sqlite", Some("import"));
        let watch = begin();
        tokio::time::advance(Duration::from_secs(3)).await;
        watch.end(TransactionEnd::Committed);
        drop(begin());
        let mut watch = begin();
        watch.in_doubt();
        drop(watch);
        let mut watch = begin();
        watch.in_doubt();
        watch.end(TransactionEnd::RolledBack);
        begin().not_begun();
        drop(TransactionWatch::default());

        let told = |seconds, end| {
            let took = Duration::from_secs(seconds);
            TransactionEnded::new("sqlite", took, end).with_operation("import")
        };
        assert_eq!(
            *log.0.lock().unwrap(),
            [
                told(3, TransactionEnd::Committed),
                told(0, TransactionEnd::RolledBack),
                told(0, TransactionEnd::Lost),
                told(0, TransactionEnd::RolledBack),
            ]
        );
    }

    #[test]
    fn nothing_is_kept_if_nobody_looks() {
        let watch = TransactionWatch::begin(&Observers::default(), "mysql", None);
        assert!(watch.0.is_none());
    }
}
