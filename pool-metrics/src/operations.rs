//! How long each operation waited for its connections: the one thing about waits that a pool does not
//! count itself.

use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::{AcquireFailed, Acquired};

use crate::buckets::{Buckets, SharedBuckets};
use crate::table::Table;

/// How an operation's acquires went: those given the name by `acquire().operation("..")`, or those
/// without one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The pool's name.
    pub pool: String,
    /// The name; `None` for all acquires that were given none. `(other)` for those beyond the first
    /// few hundred names.
    pub operation: Option<&'static str>,
    /// How long those that got a connection waited for it; zero where there was no wait.
    pub waits: Buckets,
    /// How many got none.
    pub failed: u64,
}

pub(crate) struct Operations(Table<Kept>);

#[derive(Default)]
struct Kept {
    waits: SharedBuckets,
    failed: AtomicU64,
}

impl Operations {
    pub(crate) fn new() -> Self {
        Self(Table::new())
    }

    #[inline]
    pub(crate) fn acquired(&self, event: &Acquired<'_>) {
        self.0.of(event.pool, event.operation).kept.waits.record(event.waited);
    }

    pub(crate) fn failed(&self, event: &AcquireFailed<'_>) {
        self.0.of(event.pool, event.operation).kept.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// All so far, by pool and name.
    pub(crate) fn read(&self) -> Vec<Operation> {
        let mut all: Vec<Operation> = Vec::new();
        for entry in self.0.iter() {
            let (waits, failed) =
                (entry.kept.waits.read(), entry.kept.failed.load(Ordering::Relaxed));
            let same =
                |one: &&mut Operation| (&one.pool, one.operation) == (&entry.of, entry.operation);
            match all.iter_mut().find(same) {
                Some(one) => {
                    one.waits.merge(&waits);
                    one.failed += failed;
                }
                None if waits.count() + failed == 0 => {}
                None => {
                    let (pool, operation) = (entry.of.clone(), entry.operation);
                    all.push(Operation { pool, operation, waits, failed });
                }
            }
        }
        all.sort_by(|a, b| (&a.pool, a.operation).cmp(&(&b.pool, b.operation)));
        all
    }
}
