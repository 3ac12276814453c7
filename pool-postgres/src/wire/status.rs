//! [`WireStatus`]: what is known of a connection, for those who have it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::error::PgError;

/// Written by the driver's task, read by who has the connection.
#[derive(Debug)]
pub(crate) struct WireStatus {
    /// Requests that wait for their answer.
    outstanding: AtomicU32,
    /// The last answer's status byte.
    transaction: AtomicU8,
    flags: AtomicU8,
    /// Told when everything is answered.
    quiet: Notify,
    has_ended: AtomicBool,
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

impl Default for WireStatus {
    fn default() -> Self {
        Self {
            outstanding: AtomicU32::new(0),
            transaction: AtomicU8::new(b'I'),
            flags: AtomicU8::new(0),
            quiet: Notify::new(),
            has_ended: AtomicBool::new(false),
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

    /// Whether everything on the wire is answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    /// Returns once everything on the wire is answered, or the connection has ended. Cancel safe.
    pub(crate) async fn quiet(&self) {
        loop {
            let told = self.quiet.notified();
            if self.is_quiet() || self.has_ended.load(Ordering::Acquire) {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.has(SUSPECT)
    }

    /// It may be out of step: see the module's words on copying in.
    pub(crate) fn suspect(&self) {
        self.set(SUSPECT);
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

    /// Whether a statement was prepared by a command.
    pub(crate) fn has_prepared(&self) -> bool {
        self.has(PREPARED)
    }

    /// Whether the last of `COMMIT` and `ROLLBACK` that the server did was a `ROLLBACK`.
    pub(crate) fn rolled_back(&self) -> bool {
        self.has(ROLLED_BACK)
    }

    /// Whether the server was told to forget prepared statements since this was last asked.
    pub(crate) fn take_forgotten(&self) -> bool {
        self.has(FORGOTTEN) && {
            self.clear(FORGOTTEN);
            true
        }
    }

    /// Why the connection ended, if it did and said so.
    pub(crate) fn last_words(&self) -> Option<PgError> {
        self.last_words.lock().ok()?.clone()
    }

    /// The connection has ended: no answers come any more.
    pub(crate) fn ended(&self, why: Option<PgError>) {
        if let Ok(mut words) = self.last_words.lock() {
            *words = why;
        }
        self.has_ended.store(true, Ordering::Release);
        self.quiet.notify_waiters();
    }

    pub(super) fn set_transaction(&self, status: u8) {
        self.transaction.store(status, Ordering::Release);
    }

    pub(super) fn set_outstanding(&self, outstanding: u32) {
        // Only the driver's task writes here.
        let before = self.outstanding.load(Ordering::Relaxed);
        if before != outstanding {
            self.outstanding.store(outstanding, Ordering::SeqCst);
        }
        if before != 0 && outstanding == 0 {
            self.quiet.notify_waiters();
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

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }
}
