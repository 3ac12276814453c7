//! How a connection comes back: what was left behind, and how that is cleared.
//!
//! [`condition`](PgConnection::condition) looks, without a round trip; [`reset`](PgConnection::reset)
//! clears, in the background, under the pool's deadline, and the slot stays taken until it is done.
//! In this order, since each step needs the one before:
//!
//! 1. What still runs is ended ([`Session::settle`](crate::session::Session)).
//! 2. What may be out of step proves that it is not.
//! 3. An open transaction is rolled back: its locks go now, not at the next checkout.
//! 4. The session is cleared, where something was seen or given up, or the level says so.
//!
//! An error in any of them ends the connection.

use std::sync::atomic::Ordering;

use pool_core::{Cause, Condition, Reset};

use crate::cache::Cache;
use crate::common::{Profile, ResetLevel};
use crate::connection::PgConnection;
use crate::error::PgError;
use crate::wire::Transaction;

/// `DISCARD ALL`, but for prepared statements and their plans.
const CLEAR: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// Not in one message with anything else: it refuses to run in a transaction.
const CLEAR_ALL: &str = "DISCARD ALL";

impl PgConnection {
    /// What is left behind, as far as this side can tell.
    pub(crate) fn condition(&self) -> Condition {
        let session = &self.session;
        let wire = &session.wire;
        if wire.is_broken() {
            return Condition::Broken(Cause::Desynchronized);
        }
        if self.client().is_closed() {
            return Condition::Broken(Cause::Disconnected);
        }
        if session.is_doomed() {
            return Condition::Broken(Cause::Other("cancel request under way"));
        }
        if session.is_running() {
            return Condition::Dirty(Cause::Running);
        }
        if wire.transaction() != Transaction::None {
            return Condition::Dirty(Cause::Transaction);
        }
        if wire.is_suspect() {
            return Condition::Dirty(Cause::Desynchronized);
        }
        if self.is_raw {
            return Condition::Dirty(Cause::Raw);
        }
        if session.common.profile == Profile::Pooler {
            return Condition::Clean;
        }
        if wire.has_state() || self.is_due() {
            return Condition::Dirty(Cause::SessionState);
        }
        Condition::Clean
    }

    /// Whether the level clears what nobody saw.
    fn is_due(&self) -> bool {
        let always =
            matches!(self.session.common.reset, ResetLevel::Clean | ResetLevel::DiscardAll);
        always && self.session.is_used.load(Ordering::Relaxed)
    }

    /// Clears what is left behind.
    pub(crate) async fn reset(&mut self) -> Result<Reset, PgError> {
        let session = &self.session;
        let client = self.client();
        let is_pooled = session.common.profile == Profile::Pooler;
        let said = |error| session.said(error);
        let was_given_up = session.is_running();
        if was_given_up {
            if is_pooled {
                return Ok(Reset::Discard);
            } else {
                session.settle(client).await?;
            }
        }
        if session.wire.is_suspect() {
            session.prove(client).await?;
        }
        if session.wire.transaction() != Transaction::None {
            // A transaction that was dropped has sent its own, which may not be on the wire yet; and
            // the server logs a warning for one too many.
            client.check_connection().await.map_err(said)?;
        }
        if session.wire.transaction() != Transaction::None {
            client.batch_execute("ROLLBACK").await.map_err(said)?;
            if session.wire.transaction() != Transaction::None {
                return Ok(Reset::Discard);
            }
        }
        let is_raw = self.is_raw;
        let clears = is_raw || session.wire.has_state() || was_given_up || self.is_due();
        if is_pooled {
            // There is no session of ours to clear.
            session.start_afresh();
            return Ok(if is_raw { Reset::Discard } else { Reset::Kept });
        }
        if clears {
            let all = is_raw
                || session.wire.has_prepared()
                || session.common.reset == ResetLevel::DiscardAll;
            client.batch_execute(if all { CLEAR_ALL } else { CLEAR }).await.map_err(said)?;
            if all {
                let forgotten = session.cache.lock().map(|mut cache| Cache::clear(&mut cache));
                drop(forgotten);
                session.wire.take_forgotten();
            }
            session.wire.forget_state();
        }
        session.start_afresh();
        session.is_used.store(false, Ordering::Relaxed);
        self.is_raw = false;
        Ok(if clears { Reset::Wiped } else { Reset::Kept })
    }
}
