//! [`Session`]: what is known of a connection besides the driver's client, and how a call on it
//! begins and ends.
//!
//! # Calls
//!
//! The driver sends a request with the first poll of a future, and executes it whether or not the
//! future lives on. So every call is accounted for: [`Session::call`] counts it as begun, and
//! [`Call::end`] as ended; a call that is dropped in between is *given up*. The wire tells of what
//! was sent and not answered; what was given up may not even be sent yet.
//!
//! Mostly a call begins at once. It *waits its turn*, one at a time and in order,
//!
//! * while something was given up: [`Session::settle`] ends that first, by a cancel request if it
//!   takes longer than a moment. The same happens in the background when the connection comes back.
//! * while the connection is suspect (see [`crate::wire`]): it has to prove itself first.
//! * while somebody copies in: an error in a copy is the one thing that can shift answers, so nothing
//!   is sent behind one that has not ended.
//!
//! # Behind a pooler
//!
//! A PgBouncer (seen with 1.18) whose client ends while answers are outstanding, of which one has said
//! that no transaction is open, hands the server's connection on with the rest of them: somebody else
//! gets an answer that is not his. So behind a pooler calls are sent one at a time, each after the
//! answer to the one before, a dropped transaction's `ROLLBACK` included; and where one was given up,
//! the connection is used for nothing else.
//!
//! # Why a cancel hits no innocent statement
//!
//! A cancel request travels by a connection of its own and names a backend, not a statement. It is
//! sent only while nothing else can run: by one caller at a time, who waits until every other call
//! has its answer, and lets no new one begin. When the stream of the request ends, the server has
//! signalled the backend; and a round trip after that takes the signal, should the statement have
//! ended before. Only then the next statement is sent. If the cancelling itself is given up on the
//! way, nobody knows when the signal comes: then the connection is not used again
//! ([`Session::is_doomed`]).

mod call;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::Activity;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::Severity;
use tokio_postgres::{Client, SimpleQueryMessage};

pub(crate) use call::{Call, Orphan};
use call::{CancelRequest, Copies};

use crate::cache::Cache;
use crate::common::{Common, Profile};
use crate::error::{PgError, PgErrorKind};
use crate::front::Way;
use crate::options::TargetSessionAttrs;
use crate::server::PgServer;
use crate::watch::Watch;
use crate::wire::{Transaction, WireStatus};

/// What is given up ends by itself within this time, or is cancelled.
pub(crate) const MOMENT: Duration = Duration::from_millis(5);
/// How long a cancelled statement is waited for before the server is asked again, for a start: the
/// request may have come before the statement, or there are several.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// What does not end within this time, however often it is cancelled, costs the connection.
const ASK_FOR: Duration = Duration::from_secs(10);
/// A cancel request that takes longer than this has failed.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) common: Arc<Common>,
    pub(crate) wire: Arc<WireStatus>,
    pub(crate) activity: Activity,
    pub(crate) server: PgServer,
    pub(crate) way: Way,
    pub(crate) cache: Mutex<Cache>,
    /// Calls that are begun and not ended, but for streams.
    calls: AtomicU32,
    /// Calls that ever began.
    begun: AtomicU64,
    /// Of each stream of rows that is not at its end, up to which answer it may reach.
    streams: Mutex<Vec<u64>>,
    /// Calls that were dropped before their end, and how many of them are known to be over.
    given_up: AtomicU64,
    settled: AtomicU64,
    /// A dropped transaction has sent its `ROLLBACK`, or is about to.
    owes: AtomicBool,
    /// Somebody copies in.
    copies: AtomicBool,
    /// Told when a call has ended.
    ended: Notify,
    turn: tokio::sync::Mutex<()>,
    /// A call has waited its turn once. Until then nobody can hold it or wait for another's end.
    has_waited: AtomicBool,
    /// Cancel requests that are on their way, and whether one was left there.
    cancels: AtomicU32,
    doomed: AtomicBool,
    /// The server refused to write, and was chosen since it did.
    misplaced: AtomicBool,
    /// What undoes a batch or a transaction that was dropped. It is sent, but a cancel request may
    /// hit it.
    undo: Mutex<Option<&'static str>>,
    /// Statements that may be prepared on the server, and that nobody can close.
    orphans: AtomicU32,
    /// Something was sent since the pool last looked.
    pub(crate) is_used: AtomicBool,
}

impl Session {
    pub(crate) fn new(
        id: u64,
        common: Arc<Common>,
        wire: Arc<WireStatus>,
        activity: Activity,
        server: PgServer,
        way: Way,
    ) -> Self {
        let cache = Mutex::new(Cache::new(common.statement_cache));
        Self {
            id,
            common,
            wire,
            activity,
            server,
            way,
            cache,
            calls: AtomicU32::new(0),
            begun: AtomicU64::new(0),
            streams: Mutex::default(),
            given_up: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            owes: AtomicBool::new(false),
            copies: AtomicBool::new(false),
            ended: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            has_waited: AtomicBool::new(false),
            cancels: AtomicU32::new(0),
            doomed: AtomicBool::new(false),
            misplaced: AtomicBool::new(false),
            undo: Mutex::default(),
            orphans: AtomicU32::new(0),
            is_used: AtomicBool::new(false),
        }
    }

    /// Begins a call, when nothing is in its way.
    pub(crate) async fn call<'s>(
        &'s self,
        client: &Client,
        sql: Option<&str>,
    ) -> Result<Call<'s>, PgError> {
        let watch = Watch::begin(&self.common, self.activity.operation(), sql);
        // Counted first, and then looked: who looks for calls after he has put something in the way
        // sees this one, or this one sees that.
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_in_the_way() {
            self.leave();
            let cleared = Box::pin(self.clear_the_way(client, false)).await;
            if let Err(error) = cleared {
                return watch.done(Err(error));
            }
        }
        Ok(self.begun(watch, None))
    }

    /// The same for a call in a transaction, which has to be there still.
    ///
    /// # Errors
    /// [`PgErrorKind::TransactionOver`] if it is not. Nothing is sent then.
    pub(crate) async fn call_within<'s>(
        &'s self,
        client: &Client,
        sql: Option<&str>,
    ) -> Result<Call<'s>, PgError> {
        self.call(client, sql).await?.within()
    }

    /// Begins a call that copies in: alone, and no other begins until it has ended.
    pub(crate) async fn copy<'s>(
        &'s self,
        client: &Client,
        sql: &str,
    ) -> Result<Call<'s>, PgError> {
        let watch = Watch::begin(&self.common, self.activity.operation(), Some(sql));
        match self.clear_the_way(client, true).await {
            Ok(copies) => Ok(self.begun(watch, copies)),
            Err(error) => watch.done(Err(error)),
        }
    }

    fn begun<'s>(&'s self, watch: Watch, copies: Option<Copies<'s>>) -> Call<'s> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
        let (watch, busy) = (Some(watch), Some(self.activity.busy()));
        Call { session: self, watch, busy, copies, stream: None }
    }

    fn leave(&self) {
        self.calls.fetch_sub(1, Ordering::SeqCst);
        self.tell_end();
    }

    /// Something has ended: whoever waits for that looks again.
    fn tell_end(&self) {
        // Who waits says so before he looks for what he waits for, so either he sees that it has
        // ended, or he is seen.
        if self.has_waited.load(Ordering::SeqCst) {
            self.ended.notify_waiters();
        }
    }

    /// Whether there is anything but the call that asks.
    fn is_in_the_way(&self) -> bool {
        self.has_given_up()
            || self.copies.load(Ordering::SeqCst)
            || self.is_doomed()
            || self.wire.needs_care()
            || self.is_cancelling()
            || (self.is_pooled()
                && (self.owes() || self.calls.load(Ordering::SeqCst) > 1 || !self.has_streamed()))
    }

    /// Whether no answer can come any more, or none that is to be trusted.
    pub(crate) fn is_lost(&self) -> bool {
        self.wire.has_ended() || self.wire.is_broken()
    }

    fn is_pooled(&self) -> bool {
        self.common.profile == Profile::Pooler
    }

    /// Whether a dropped transaction's `ROLLBACK` is not answered.
    fn owes(&self) -> bool {
        if !self.owes.load(Ordering::Acquire) {
            return false;
        }
        let owes = !self.wire.is_quiet() || self.wire.transaction() != Transaction::None;
        self.owes.store(owes, Ordering::Release);
        owes
    }

    /// Returns when a dropped transaction's `ROLLBACK` is answered.
    pub(crate) async fn silence(&self) {
        let mut looks = 0;
        while self.owes() && !self.wire.has_ended() {
            looks += 1;
            match self.wire.is_quiet() {
                // It is not even sent: the driver's task comes next, mostly.
                true if looks < 10 => tokio::task::yield_now().await,
                true => sleep(Duration::from_millis(1)).await,
                false => drop(timeout(MOMENT, self.wire.quiet()).await),
            }
        }
    }

    /// Waits for what is in the way, removes what nobody waits for, and counts a call as begun.
    async fn clear_the_way(
        &self,
        client: &Client,
        copies: bool,
    ) -> Result<Option<Copies<'_>>, PgError> {
        self.has_waited.store(true, Ordering::SeqCst);
        let _turn = self.turn.lock().await;
        let mut copying = None;
        let mut quiet_at = None;
        loop {
            if self.wire.is_broken() || self.is_doomed() {
                return Err(out_of_step());
            }
            if self.wire.has_ended() {
                break; // the driver says so
            }
            let is_copied = copying.is_none() && self.copies.load(Ordering::SeqCst);
            if is_copied || self.is_cancelling() {
                self.something_ends().await;
            } else if self.has_given_up() && self.is_pooled() {
                return Err(given_up());
            } else if self.is_pooled() && self.owes() {
                self.silence().await;
            } else if self.is_pooled() && !self.is_alone() && quiet_at != Some(self.wire.asked()) {
                // Who holds an answer without looking at it is in nobody's way.
                self.something_ends().await;
                quiet_at = self.wire.is_quiet().then(|| self.wire.asked());
            } else if self.has_given_up() {
                self.settle(client).await?;
                // The statement may have changed the session before its end.
                self.wire.note_state();
            } else if copying.is_none() && self.wire.is_copying() {
                // By a statement that was not begun as one: nobody feeds it.
                self.wire.break_off();
            } else if self.wire.is_suspect() {
                self.prove(client).await?;
            } else if copies && copying.is_none() {
                copying = Some(Copies::begin(self));
            } else if copies && self.calls.load(Ordering::SeqCst) > 0 {
                self.something_ends().await; // its next step would come behind the copy
            } else {
                break;
            }
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(copying)
    }

    /// Returns when a call has ended, or after a while: answers come without a call's end too.
    async fn something_ends(&self) {
        let _ = timeout(MOMENT, self.ended.notified()).await;
    }

    /// Whether nothing is under way that somebody still waits for.
    fn is_alone(&self) -> bool {
        self.calls.load(Ordering::SeqCst) == 0 && self.has_streamed()
    }

    /// Whether all that streams may still reach has come.
    fn has_streamed(&self) -> bool {
        let answered = self.wire.answered();
        self.streams().iter().all(|up_to| *up_to <= answered)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<u64>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire) != self.settled.load(Ordering::Acquire)
    }

    /// Something was sent that nobody waits for.
    pub(crate) fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a statement may still run that nobody waits for.
    ///
    /// What is on the wire without a call is the driver's own and does nothing but tidy up: it closes
    /// statements, and rolls back what the wire says is a transaction.
    pub(crate) fn is_running(&self) -> bool {
        self.has_given_up() || self.calls.load(Ordering::Acquire) > 0 || !self.streams().is_empty()
    }

    /// How many calls ever began; and whether the one that asks is the only one under way.
    pub(crate) fn calls(&self) -> (u64, bool) {
        let alone = self.calls.load(Ordering::SeqCst) == 1 && self.streams().is_empty();
        (self.begun.load(Ordering::Relaxed), alone)
    }

    /// A cancel request was left on its way, and nobody knows what it will hit.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// The server is not any more what `target_session_attrs` wants: another may be.
    pub(crate) fn is_misplaced(&self) -> bool {
        self.misplaced.load(Ordering::Relaxed)
    }

    fn is_cancelling(&self) -> bool {
        self.cancels.load(Ordering::SeqCst) > 0
    }

    /// Whether somebody who is gone holds what the next one would wait for: a future that was
    /// forgotten, not dropped.
    pub(crate) fn is_held(&self) -> bool {
        let has_waited = self.has_waited.load(Ordering::SeqCst);
        has_waited && self.turn.try_lock().is_err() || self.is_cancelling()
    }

    /// The connection is back: whoever called is gone. Says whether something may still run.
    pub(crate) fn nobody_waits(&self) -> bool {
        let is_running = self.is_running();
        self.calls.store(0, Ordering::SeqCst);
        self.streams().clear();
        self.copies.store(false, Ordering::SeqCst);
        is_running
    }

    /// Ends what was given up; what somebody waits for ends by itself, before or after.
    pub(crate) async fn settle(&self, client: &Client) -> Result<(), PgError> {
        let given_up = self.given_up.load(Ordering::Acquire);
        // Sent after everything else, so answered when all of that is.
        let mut all_answered = pin!(client.check_connection());
        let (mut patience, mut first_asked) = (MOMENT, None);
        loop {
            if let Ok(answered) = timeout(patience, &mut all_answered).await {
                answered.map_err(|error| self.said(error))?;
                break;
            }
            if !self.is_alone() {
                continue;
            }
            let asked: Instant = *first_asked.get_or_insert_with(Instant::now);
            if asked.elapsed() > ASK_FOR {
                self.wire.break_off();
                return Err(out_of_step());
            }
            self.cancel(client).await?;
            patience = (patience * 2).clamp(ASK_AGAIN, Duration::from_secs(1));
        }
        if first_asked.is_some() {
            // Takes the signal of a request that came too late.
            client.check_connection().await.map_err(|error| self.said(error))?;
        }
        let undo = *self.undo.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(undo), Transaction::Failed) = (undo, self.wire.transaction()) {
            // A request hit what undoes the rest, not the rest.
            client.batch_execute(undo).await.map_err(|error| self.said(error))?;
        }
        self.set_undo(None);
        self.settled.store(given_up, Ordering::Release);
        Ok(())
    }

    /// A transaction is dropped, and is about to send its `ROLLBACK`.
    pub(crate) fn owes_rollback(&self) {
        self.owes.store(true, Ordering::Release);
        if self.has_given_up() {
            self.set_undo(Some("ROLLBACK"));
        }
    }

    /// Notes what undoes a batch or a transaction, while something is given up: what ends that may
    /// hit it, and then does it again.
    pub(crate) fn set_undo(&self, sql: Option<&'static str>) {
        *self.undo.lock().unwrap_or_else(PoisonError::into_inner) = sql;
    }

    /// Asks the server to cancel what runs.
    pub(crate) async fn cancel(&self, client: &Client) -> Result<(), PgError> {
        let request = CancelRequest::begin(self);
        let token = client.cancel_token();
        let asked = self.common.front.cancel(&self.way, &token);
        timeout(CANCEL_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let text = format!("a cancel request took longer than {CANCEL_TIMEOUT:?}");
            Err(PgError::text(PgErrorKind::Unreachable, text))
        })?;
        request.came();
        Ok(())
    }

    /// Asks a question that has one right answer, so that nobody gets the answer to another.
    pub(crate) async fn prove(&self, client: &Client) -> Result<(), PgError> {
        let nonce = format!("{:016x}", fastrand::u64(..));
        let proved = match client.simple_query(&format!("SELECT '{nonce}'")).await {
            Ok(answer) => answer.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some(&nonce),
                _ => false,
            }),
            // A failed transaction takes no questions, and this is its answer.
            Err(error) => error.code().is_some_and(|code| code.code() == "25P02"),
        };
        if proved {
            self.wire.trust();
            Ok(())
        } else {
            self.wire.break_off();
            Err(out_of_step())
        }
    }

    /// A statement is being prepared; unless this is told that it was, nobody can close it.
    pub(crate) fn prepares(&self) -> Orphan<'_> {
        Orphan(Some(&self.orphans))
    }

    /// How many statements may be prepared on the server for nobody.
    pub(crate) fn orphans(&self) -> u32 {
        self.orphans.load(Ordering::Relaxed)
    }

    /// The driver's error, with what the server said before it hung up.
    pub(crate) fn said(&self, error: tokio_postgres::Error) -> PgError {
        if is_fatal(&error) {
            self.wire.note_end(); // though its end may not be here yet
        }
        let error = self.common.explain(PgError::from(error));
        if error.kind() == PgErrorKind::Profile && self.common.profile == Profile::Pooler {
            self.wire.break_off(); // statements that the driver counts on are elsewhere
        }
        let wanted = self.common.front.options.target_session_attrs;
        let writes = matches!(wanted, TargetSessionAttrs::ReadWrite | TargetSessionAttrs::Primary);
        if error.kind() == PgErrorKind::ReadOnly && writes {
            self.misplaced.store(true, Ordering::Relaxed);
        }
        match error.kind() {
            PgErrorKind::Disconnected if self.wire.is_broken() => out_of_step(),
            PgErrorKind::Disconnected if error.code().is_none() => {
                self.wire.last_words().unwrap_or(error)
            }
            PgErrorKind::OutOfStep => {
                if self.wire.is_copying() && !self.copies.load(Ordering::Acquire) {
                    self.wire.break_off(); // the server waits for data, and nobody has any
                } else {
                    self.give_up(); // whatever the driver did not understand may still go on
                }
                error
            }
            _ => error,
        }
    }
}

/// Whether the server ends the connection with this error.
fn is_fatal(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(|said| said.parsed_severity());
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

fn given_up() -> PgError {
    let text = "a statement was given up on this connection, and behind a pooler in transaction mode \
                it is not used again after that: take another";
    PgError::text(PgErrorKind::Disconnected, text)
}

fn out_of_step() -> PgError {
    let text = "a COPY or a cancel request failed in a way that leaves open which answer belongs to \
                which question: this connection is not used again, take another";
    PgError::text(PgErrorKind::OutOfStep, text)
}
