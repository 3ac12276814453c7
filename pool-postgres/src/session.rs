//! [`Session`]: what is known of a connection besides the driver's client, and how a call on it
//! begins and ends.
//!
//! # Calls
//!
//! The driver sends a request with the first poll of a future, and executes it whether or not the
//! future lives on. So every call is accounted for: [`Session::call`] counts it as begun, and
//! [`Call::end`] as ended; a call that is dropped in between is *given up*. The wire tells of what
//! was sent and not answered; what was given up may not even be sent yet. While something was given
//! up, nothing else is begun: [`Session::settle`] ends it first, by a cancel request if it takes
//! longer than a moment. The same happens in the background when the connection comes back.
//!
//! # Why a cancel hits no innocent statement
//!
//! A cancel request travels by a connection of its own and names a backend, not a statement. It is
//! sent only while the one statement that may run is the one that was given up. When the stream of
//! the request ends, the server has signalled the backend; and a round trip after that takes the
//! signal, should the statement have ended before. Only then the next statement is sent. If the
//! cancelling itself is given up on the way, nobody knows when the signal comes: then the
//! connection is not used again (`doomed`).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{Activity, Busy};
use pool_sql::ErrorCode;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cache::Cache;
use crate::common::{Common, Profile};
use crate::error::{PgError, PgErrorKind};
use crate::front::Way;
use crate::server::PgServer;
use crate::watch::Watch;
use crate::wire::WireStatus;

/// What is given up ends by itself within this time, or is cancelled.
const MOMENT: Duration = Duration::from_millis(5);
/// How long a cancelled statement is waited for before the server is asked again: the request may
/// have come before the statement, or there are several.
const ASK_AGAIN: Duration = Duration::from_millis(50);
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
    /// Calls that are begun and not ended.
    calls: AtomicU32,
    /// A call was dropped before its end.
    given_up: AtomicBool,
    /// A cancel request is on its way, nobody knows where.
    doomed: AtomicBool,
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
            given_up: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
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
        match self.clear_the_way(client).await {
            Ok(()) => {}
            Err(error) => return watch.done(Err(error)),
        }
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.is_used.store(true, Ordering::Relaxed);
        Ok(Call { session: self, watch: Some(watch), busy: Some(self.activity.busy()) })
    }

    async fn clear_the_way(&self, client: &Client) -> Result<(), PgError> {
        if self.is_alone() && self.given_up.load(Ordering::Acquire) {
            self.settle(client).await?;
        }
        if self.wire.is_suspect() && self.is_alone() {
            self.prove(client).await?;
        }
        if self.wire.is_broken() || self.is_doomed() {
            return Err(out_of_step());
        }
        Ok(())
    }

    /// Whether nothing is under way that somebody still waits for.
    fn is_alone(&self) -> bool {
        self.calls.load(Ordering::Acquire) == 0
    }

    /// Whether a statement may still run that nobody waits for.
    ///
    /// What is on the wire without a call is the driver's own and does nothing but tidy up: it closes
    /// statements, and rolls back what the wire says is a transaction.
    pub(crate) fn is_running(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || !self.is_alone()
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// Nothing of what was called before is left.
    pub(crate) fn start_afresh(&self) {
        self.calls.store(0, Ordering::Release);
        self.given_up.store(false, Ordering::Release);
    }

    /// Whether what was given up ended by itself, in a moment.
    pub(crate) async fn settles(&self, client: &Client) -> Result<bool, PgError> {
        let Ok(answered) = timeout(MOMENT, client.check_connection()).await else {
            return Ok(false);
        };
        answered.map_err(|error| self.said(error))?;
        self.given_up.store(false, Ordering::Release);
        Ok(true)
    }

    /// Ends what was given up, and whatever else is under way.
    pub(crate) async fn settle(&self, client: &Client) -> Result<(), PgError> {
        if self.settles(client).await? {
            return Ok(());
        }
        // Sent after everything else, so answered when all of that is.
        let mut all_answered = pin!(client.check_connection());
        if self.common.profile == Profile::Pooler {
            // No cancel request: see the profile. Its own user waits for it.
            all_answered.await.map_err(|error| self.said(error))?;
            self.given_up.store(false, Ordering::Release);
            return Ok(());
        }
        loop {
            self.cancel(client).await?;
            if let Ok(answered) = timeout(ASK_AGAIN, &mut all_answered).await {
                answered.map_err(|error| self.said(error))?;
                break;
            }
        }
        // Takes the signal of a request that came too late.
        client.check_connection().await.map_err(|error| self.said(error))?;
        self.given_up.store(false, Ordering::Release);
        Ok(())
    }

    /// Asks the server to cancel what runs.
    pub(crate) async fn cancel(&self, client: &Client) -> Result<(), PgError> {
        // Until the request is known to have come, whatever ends this.
        self.doomed.store(true, Ordering::Release);
        let token = client.cancel_token();
        let asked = self.common.front.cancel(&self.way, &token);
        timeout(CANCEL_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let text = format!("a cancel request took longer than {CANCEL_TIMEOUT:?}");
            Err(PgError::text(PgErrorKind::Unreachable, text))
        })?;
        self.doomed.store(false, Ordering::Release);
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

    /// The driver's error, with what the server said before it hung up.
    pub(crate) fn said(&self, error: tokio_postgres::Error) -> PgError {
        let error = self.common.explain(PgError::from(error));
        if error.kind() == PgErrorKind::Disconnected && error.code().is_none() {
            return self.wire.last_words().unwrap_or(error);
        }
        error
    }
}

fn out_of_step() -> PgError {
    let text = "a COPY or a cancel request failed in a way that leaves open which answer belongs to \
                which question: this connection is not used again, take another";
    PgError::text(PgErrorKind::OutOfStep, text)
}

/// A call under way; dropped before its end, it is given up.
pub(crate) struct Call<'s> {
    session: &'s Session,
    watch: Option<Watch>,
    busy: Option<Busy<'s>>,
}

impl Call<'_> {
    /// The call has ended so.
    pub(crate) fn end<T>(mut self, done: Result<T, PgError>) -> Result<T, PgError> {
        self.over();
        match self.watch.take() {
            Some(watch) => watch.done(done),
            None => done,
        }
    }

    /// The same, for a driver's error. Waits for the server to say that it is ready again, which
    /// comes right after an error, so that the connection is known to be clean when it returns.
    pub(crate) async fn finish<T>(
        self,
        done: Result<T, tokio_postgres::Error>,
    ) -> Result<T, PgError> {
        let done = match done {
            Ok(value) => Ok(value),
            Err(error) => {
                let error = self.session.said(error);
                let is_last = self.session.calls.load(Ordering::Acquire) == 1;
                if is_last && error.code().is_some() && error.kind() != PgErrorKind::Disconnected {
                    self.session.wire.quiet().await;
                }
                Err(error)
            }
        };
        self.end(done)
    }

    fn over(&mut self) {
        if self.busy.take().is_some() {
            self.session.calls.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.busy.is_some() {
            self.session.given_up.store(true, Ordering::Release);
            self.over();
            if let Some(watch) = self.watch.take() {
                watch.tell(Some(ErrorCode::new("cancelled")));
            }
        }
    }
}
