//! [`Record`]: what an observer of a pool is told, as a scenario writes it.

use std::sync::{Mutex, PoisonError};

use pool_core::{
    AcquireFailed, Acquired, Closed, ConnectFailed, Connected, Leaked, Metrics, Released,
    ResetDone, Stalled, Validated,
};

/// The events of one pool, in order.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Vec<String>>);

impl Record {
    /// The events from the `n`th on.
    pub(super) fn from(&self, n: usize) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[n..].to_vec()
    }

    fn note(&self, event: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

fn name(operation: Option<&'static str>) -> &'static str {
    operation.unwrap_or("nobody")
}

impl Metrics for Record {
    fn connected(&self, _: &Connected<'_>) {
        self.note("connected".into());
    }
    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        self.note(format!("connect_failed {:?}", event.class).to_lowercase());
    }
    fn acquired(&self, event: &Acquired<'_>) {
        self.note(format!("acquired {}", name(event.operation)));
    }
    fn acquire_failed(&self, event: &AcquireFailed<'_>) {
        self.note(format!("acquire_failed {} {}", name(event.operation), event.kind.as_str()));
    }
    fn released(&self, event: &Released<'_>) {
        self.note(format!("released {}", name(event.operation)));
    }
    fn reset(&self, event: &ResetDone<'_>) {
        self.note(format!("reset {}", if event.kept { "kept" } else { "lost" }));
    }
    fn validated(&self, event: &Validated<'_>) {
        self.note(format!("validated {}", if event.alive { "alive" } else { "dead" }));
    }
    fn closed(&self, event: &Closed<'_>) {
        self.note(format!("closed {}", event.reason));
    }
    fn stalled(&self, event: &Stalled<'_>) {
        self.note(format!("stalled {}", name(event.operation)));
    }
    fn leaked(&self, event: &Leaked<'_>) {
        self.note(format!("leaked {}", name(event.operation)));
    }
}
