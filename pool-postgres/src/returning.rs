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
use tokio_postgres::SimpleQueryMessage;

use crate::cache::Cache;
use crate::common::{Profile, ResetLevel};
use crate::connection::PgConnection;
use crate::error::PgError;
use crate::wire::Transaction;

/// `DISCARD ALL`, but for prepared statements and their plans: the driver keeps some of its own.
const CLEAR: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// Those of the user's.
const PREPARED: &str =
    "SELECT format('DEALLOCATE %I', name) FROM pg_prepared_statements WHERE from_sql";
/// So many statements that nobody can close are worth a new connection.
const MANY_ORPHANS: u32 = 32;

impl PgConnection {
    /// What is left behind, as far as this side can tell.
    pub(crate) fn condition(&self) -> Condition {
        let session = &self.session;
        let wire = &session.wire;
        if wire.is_broken() {
            return Condition::Broken(Cause::Desynchronized);
        }
        if wire.has_ended() || self.client().is_closed() {
            return Condition::Broken(Cause::Disconnected);
        }
        if session.is_doomed() || session.is_held() {
            return Condition::Broken(Cause::Other("a forgotten request is under way"));
        }
        if session.is_misplaced() {
            return Condition::Broken(Cause::Other("the server writes no more"));
        }
        if session.is_running() {
            return Condition::Dirty(Cause::Running);
        }
        if wire.is_copying() {
            return Condition::Broken(Cause::Desynchronized); // nobody feeds it any more
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
        if wire.has_forgotten() {
            return Condition::Broken(Cause::SessionState); // the driver's own statements too
        }
        if wire.has_state() || self.is_due() || session.orphans() >= MANY_ORPHANS {
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
        let said = |error| session.said(error);
        // A raw client's statement may run, too.
        let was_given_up = session.nobody_waits() || self.is_raw;
        if session.common.profile == Profile::Pooler {
            if was_given_up {
                return Ok(Reset::Discard);
            }
            session.silence().await;
        } else if was_given_up {
            session.settle(client).await?;
        }
        if session.wire.is_suspect() {
            session.prove(client).await?;
        }
        let is_pooled = session.common.profile == Profile::Pooler;
        if session.wire.transaction() != Transaction::None && !is_pooled {
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
        if is_pooled {
            return Ok(Reset::Kept); // there is no session of ours to clear
        }
        if session.wire.has_forgotten() || session.orphans() >= MANY_ORPHANS {
            return Ok(Reset::Discard);
        }
        let clears = was_given_up || session.wire.has_state() || self.is_due();
        if clears {
            self.clear().await.map_err(said)?;
            session.wire.forget_state();
        }
        session.is_used.store(false, Ordering::Relaxed);
        self.is_raw = false;
        Ok(if clears { Reset::Wiped } else { Reset::Kept })
    }

    async fn clear(&self) -> Result<(), tokio_postgres::Error> {
        let client = self.client();
        // By itself: a limit of the user's would be on what follows in the same message.
        client.batch_execute("SET statement_timeout = 0").await?;
        let all = self.session.common.reset == ResetLevel::DiscardAll;
        if all || self.is_raw || self.session.wire.has_prepared() {
            for message in client.simple_query(PREPARED).await? {
                if let SimpleQueryMessage::Row(row) = message {
                    client.batch_execute(row.get(0).unwrap_or_default()).await?;
                }
            }
        }
        if all {
            client.batch_execute("DISCARD PLANS").await?;
            let kept = self.session.cache.lock().map(|mut cache| Cache::clear(&mut cache));
            drop(kept); // the driver closes them
        }
        client.batch_execute(CLEAR).await
    }
}
