//! [`WireStatus`]: what is known of a connection, for those who have it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::error::PgError;

/// Written by the driver's task, read by who has the connection.
#[derive(Debug)]
pub(crate) struct WireStatus {
    /// Requests that were sent, and those of them that are answered.
    asked: AtomicU64,
    answered: AtomicU64,
    /// The last answer's status byte.
    transaction: AtomicU8,
    flags: AtomicU8,
    /// Told when everything is answered, if anybody ever waited for that.
    quiet: Notify,
    is_awaited: AtomicBool,
    /// Why the connection ended.
    last_words: Mutex<Option<PgError>>,
}

/// What the server says about transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    None,
    Open,
    /// Open, but it takes nothing more.
    Failed,
}

/// It may be out of step.
pub(super) const SUSPECT: u8 = 1;
/// It is out of step.
pub(super) const BROKEN: u8 = 2;
/// A command went by that changes session state.
pub(super) const STATE: u8 = 4;
/// The last command rolled back.
pub(super) const ROLLED_BACK: u8 = 8;
/// A command went by that forgets prepared statements.
pub(super) const FORGOTTEN: u8 = 16;
/// A command went by that prepares a statement.
pub(super) const PREPARED: u8 = 32;
/// The server reads a copy.
pub(super) const COPYING: u8 = 64;
/// It has ended, or is about to.
pub(super) const OVER: u8 = 128;

impl Default for WireStatus {
    fn default() -> Self {
        Self {
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            transaction: AtomicU8::new(b'I'),
            flags: AtomicU8::new(0),
            quiet: Notify::new(),
            is_awaited: AtomicBool::new(false),
            last_words: Mutex::new(None),
        }
    }
}

impl WireStatus {
    pub(crate) fn transaction(&self) -> Transaction {
        match self.transaction.load(Ordering::Acquire) {
            b'I' => Transaction::None,
            b'E' => Transaction::Failed,
            _ => Transaction::Open,
        }
    }

    /// How many requests were sent.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// How many of them are answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Whether everything on the wire is answered, and no copy waits for data.
    pub(crate) fn is_quiet(&self) -> bool {
        self.answered() == self.asked() && !self.is_copying()
    }

    /// Returns once everything on the wire is answered, or the connection has ended. Cancel safe.
    pub(crate) async fn quiet(&self) {
        // Before the look: either it sees the last answer, or who notes that one sees this.
        self.is_awaited.store(true, Ordering::SeqCst);
        loop {
            let told = self.quiet.notified();
            if self.is_quiet() || self.has_ended() {
                return;
            }
            told.await;
        }
    }

    /// Whether there is anything on it that the next request must not meet.
    pub(crate) fn needs_care(&self) -> bool {
        self.has(SUSPECT | BROKEN | COPYING)
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.has(SUSPECT)
    }

    /// It proved to be in step.
    pub(crate) fn trust(&self) {
        self.clear(SUSPECT);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.has(BROKEN)
    }

    pub(crate) fn break_off(&self) {
        self.set(BROKEN);
    }

    pub(crate) fn is_copying(&self) -> bool {
        self.has(COPYING)
    }

    /// Whether session state was changed by a command.
    pub(crate) fn has_state(&self) -> bool {
        self.has(STATE)
    }

    pub(crate) fn note_state(&self) {
        self.set(STATE);
    }

    pub(crate) fn forget_state(&self) {
        self.clear(STATE | PREPARED);
    }

    /// It is how it is to be. What was prepared goes all the same when the session is cleared.
    pub(crate) fn adopt_state(&self) {
        self.clear(STATE);
    }

    /// Whether a statement was prepared by a command.
    pub(crate) fn has_prepared(&self) -> bool {
        self.has(PREPARED)
    }

    /// Whether the last of `COMMIT` and `ROLLBACK` that the server did was a `ROLLBACK`.
    pub(crate) fn rolled_back(&self) -> bool {
        self.has(ROLLED_BACK)
    }

    /// Whether the server was told to forget all prepared statements, the driver's own with them.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.has(FORGOTTEN)
    }

    /// Why the connection ended, if it did and said so.
    pub(crate) fn last_words(&self) -> Option<PgError> {
        self.last_words.lock().ok()?.clone()
    }

    /// Whether the connection has ended, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.has(OVER)
    }

    /// The connection has ended, or is about to: no answers come any more.
    pub(crate) fn note_end(&self) {
        self.set(OVER);
        self.quiet.notify_waiters();
    }

    /// The connection has ended, so.
    pub(crate) fn ended(&self, why: PgError) {
        if let Ok(mut words) = self.last_words.lock() {
            words.get_or_insert(why);
        }
        self.note_end();
    }

    pub(super) fn set_transaction(&self, status: u8) {
        self.transaction.store(status, Ordering::Release);
    }

    /// Only the driver's task writes here.
    pub(super) fn set_counts(&self, asked: u64, answered: u64) {
        if self.asked.load(Ordering::Relaxed) != asked {
            self.asked.store(asked, Ordering::Release);
        }
        if self.answered.load(Ordering::Relaxed) != answered {
            self.answered.store(answered, Ordering::SeqCst);
            if asked == answered && self.is_awaited.load(Ordering::SeqCst) {
                self.quiet.notify_waiters();
            }
        }
    }

    pub(super) fn set(&self, flag: u8) {
        // A look first: mostly it is as it should be, and a write would cost more.
        if !self.has(flag) {
            self.flags.fetch_or(flag, Ordering::AcqRel);
        }
    }

    pub(super) fn clear(&self, flag: u8) {
        if self.has(flag) {
            self.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    /// Whether any of these is set.
    fn has(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_quiet_is_told_of_the_last_answer() {
        let status = WireStatus::default();
        for request in 1..3 {
            status.set_counts(request, request - 1);
            let waits = timeout(Duration::from_secs(1), status.quiet());
            let answers = async {
                yield_now().await; // whoever waits has begun
                status.set_counts(request, request);
            };
            assert!(tokio::join!(waits, answers).0.is_ok());
        }
    }
}
