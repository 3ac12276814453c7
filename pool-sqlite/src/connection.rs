//! [`SqliteConnection`]: running SQL on a connection of the pool.
//!
//! # Where the connection is
//!
//! ```text
//!            call(): the job takes it along           the job ends
//!   Here ------------------------------------> Away ----------------> Here
//!                                               | the thread is gone
//!                                               +------------------> Lost
//! ```
//!
//! A dropped `call` leaves it `Away`, its statement interrupted. Whoever comes next (the pool's
//! reset, or the same user's next statement) first waits until it has come home, and rolls back
//! what the interrupted work left open. So a dropped future hurts its own statement only.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pool_core::Activity;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, sleep, timeout};

use crate::common::Common;
use crate::error::{SqliteError, SqliteErrorKind};
use crate::log::Log;
use crate::open::{Opened, Role};
use crate::watch::{JobWatch, Watch};
use crate::worker::{Interrupt, Panicked, Running, Worker, said};

/// How long a statement that runs in place waits before it looks at a lock again; doubles.
const FIRST_LOOK: Duration = Duration::from_micros(500);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// A connection to a SQLite database, from a [`SqlitePool`](crate::SqlitePool).
///
/// SQL runs in closures, which get rusqlite's own [`Connection`]:
///
/// * [`call`](Self::call) runs it on the connection's thread: for anything that may take long. The
///   whole closure makes one hop, however many statements it has: some 5 to 10 µs on a connection
///   that was used a moment before, whose thread is still awake, else 30 µs and more.
/// * [`inline`](Self::inline) runs it in place: for statements that take microseconds.
/// * [`transaction`](Self::transaction) runs it on the connection's thread in a transaction, again
///   if a lock was in the way.
///
/// Where a transaction is more than one closure, [`begin`](Self::begin) begins one. Statements with
/// [`Value`](pool_sql::Value)s need no closure: see [`Queries`](pool_sql::Queries).
///
/// # What the next user can find
///
/// No transaction and no running statement, and nothing of session state that goes through SQL:
/// attached databases, temporary tables and changed pragmas make the pool open the connection anew,
/// and so does a closure that panicked. What a closure registers through rusqlite's API (functions,
/// collations, limits, hooks) stays, until the connection ends; an authorizer, a commit or
/// rollback hook, a progress or busy handler of one's own takes the place of the pool's, which watch
/// over the above. The last inserted row's id stays readable.
pub struct SqliteConnection {
    pub(crate) home: Home,
    pub(crate) worker: Worker,
    pub(crate) role: Role,
    pub(crate) shared: Arc<Common>,
    pub(crate) activity: Activity,
    /// Somebody ran something since the pool last looked.
    pub(crate) used: bool,
    /// What runs now is part of a transaction that somebody holds, see [`Opened::is_held`].
    pub(crate) is_held: bool,
    /// It was clean when the pool last looked.
    pub(crate) was_clean: bool,
    /// What has to run before the next use, since the last was cut short.
    pub(crate) undo: Option<Cow<'static, str>>,
    /// Of the writer's, if the database is a file.
    pub(crate) log: Log,
    pub(crate) optimized_at: Instant,
}

pub(crate) enum Home {
    Here(Opened),
    Away { home: oneshot::Receiver<Opened>, interrupt: Interrupt },
    Lost,
}

impl SqliteConnection {
    /// Opens a connection on a thread of its own.
    pub(crate) async fn open(
        name: &str,
        role: Role,
        shared: Arc<Common>,
        activity: Activity,
    ) -> Result<Self, SqliteError> {
        let Some((under_way, _awaited)) = shared.opens.begin() else {
            let text = "too many attempts to open it have not ended, long after their time was up: \
                        another program holds its lock, or its disk does not answer";
            return Err(SqliteError::text(SqliteErrorKind::Busy, text).of(&shared.database));
        };
        let worker = Worker::spawn(name).map_err(|error| {
            SqliteError::text(SqliteErrorKind::CannotOpen, format!("no thread: {error}"))
        })?;
        let common = shared.clone();
        let open = move || {
            let _under_way = under_way;
            Opened::open(&common.options, role, common.cache_of(role))
        };
        let opened = match worker.run(open).await.map_err(|_| gone())? {
            Ok(opened) => opened,
            Err(Panicked(text)) => Err(panicked(&text)),
        };
        let opened = opened.map_err(|error| error.of(&shared.database))?;
        Ok(Self {
            home: Home::Here(opened),
            worker,
            role,
            shared,
            activity,
            used: false,
            is_held: false,
            was_clean: false,
            undo: None,
            log: Log::new(Instant::now()),
            optimized_at: Instant::now(),
        })
    }

    /// Runs a closure on the connection's thread.
    ///
    /// # Errors
    /// What the closure returns, with the database's name; or that it panicked.
    ///
    /// # Cancel safety
    /// Dropping the future interrupts the statement that runs, and nothing is committed any more; a
    /// transaction that is open then is rolled back before the connection is used again. A closure
    /// that does other things goes on until it comes to the next statement.
    pub async fn call<T, F>(&mut self, run: F) -> Result<T, SqliteError>
    where
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let watch = self.watch();
        let ran = self.run(move |opened| run(&mut opened.connection)).await;
        watch.done(&self.shared, ran.and_then(|ran| Ok(ran?)))
    }

    /// Runs a closure in place, on the caller's thread: for statements that take microseconds, such
    /// as a look-up by key. A long one would hold up every task on this worker; it cannot be
    /// interrupted.
    ///
    /// If another process holds a lock, the closure is run again after a while, up to the busy
    /// timeout; meanwhile the worker does other things. That happens only where the closure has
    /// changed nothing yet; else the error is returned.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn inline<T, F>(&mut self, mut run: F) -> Result<T, SqliteError>
    where
        F: FnMut(&mut Connection) -> rusqlite::Result<T>,
    {
        let watch = self.watch();
        if let Err(error) = self.come_home().await {
            return watch.done(&self.shared, Err(error));
        }
        let (mut busy_since, mut pause) = (None, FIRST_LOOK);
        loop {
            let before = self.standing();
            let ran = self.in_place(Duration::ZERO, &mut run);
            let is_busy = ran.as_ref().is_err_and(SqliteError::is_busy);
            if !is_busy || before != self.standing() {
                return watch.done(&self.shared, ran);
            }
            let since: Instant = *busy_since.get_or_insert_with(Instant::now);
            if since.elapsed() + pause > self.shared.options.busy_timeout {
                return watch.done(&self.shared, ran);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Runs a closure in place from code that is not async; waits for locks by blocking.
    ///
    /// # Errors
    /// As [`call`](Self::call); and [`Busy`](SqliteErrorKind::Busy) if the last `call` on this
    /// connection was given up and has not ended.
    pub fn call_blocking<T, F>(&mut self, run: F) -> Result<T, SqliteError>
    where
        F: FnOnce(&mut Connection) -> rusqlite::Result<T>,
    {
        let watch = self.watch();
        if !self.is_home() {
            let text = "the last statement was given up and has not ended yet";
            return watch.done(&self.shared, Err(SqliteError::text(SqliteErrorKind::Busy, text)));
        }
        let patience = self.shared.options.busy_timeout;
        let undo = self.undo.take();
        let ran = self.in_place(patience, |connection| {
            if let Some(undo) = undo.filter(|_| !connection.is_autocommit()) {
                connection.execute_batch(&undo).or_else(|_| connection.execute_batch(ALL))?;
            }
            run(connection)
        });
        watch.done(&self.shared, ran)
    }

    /// Runs something on this thread.
    fn in_place<T>(
        &mut self,
        patience: Duration,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqliteError> {
        self.used = true;
        let _busy = self.activity.busy();
        let Home::Here(opened) = &mut self.home else { return Err(gone()) };
        opened.given_up.store(false, Ordering::Release);
        opened.is_held.store(self.is_held, Ordering::Relaxed);
        opened.wait_for_locks(patience);
        match catch_unwind(AssertUnwindSafe(|| run(&mut opened.connection))) {
            Ok(ran) => Ok(ran?),
            Err(payload) => {
                opened.panicked = true;
                Err(panicked(&said(&*payload)))
            }
        }
    }

    /// Runs a closure on the connection's thread in one transaction: `BEGIN IMMEDIATE` on the
    /// writer, a snapshot on a reader. An error rolls back.
    ///
    /// If another process holds a lock, the whole transaction is run again after a while, up to the
    /// busy timeout; so the closure should have no effects of its own.
    ///
    /// The closure is not to end the transaction, not by `COMMIT` either: that fails and rolls back.
    /// Nothing that it does after the end is kept.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`TransactionOver`](SqliteErrorKind::TransactionOver) if a statement
    /// ended the transaction and the closure would else have succeeded.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call): nothing is committed once the future is dropped, unless the commit
    /// itself had begun.
    pub async fn transaction<T, F>(&mut self, mut run: F) -> Result<T, SqliteError>
    where
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let behavior = match self.role {
            Role::Writer => TransactionBehavior::Immediate,
            Role::Reader => TransactionBehavior::Deferred,
        };
        let watch = self.watch();
        let begun = Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            if let Err(error) = self.come_home().await {
                return watch.done(&self.shared, Err(error));
            }
            let transaction = self.watch_transaction();
            let attempt = move |opened: &mut Opened| {
                let (has_begun, done) = opened.in_transaction(behavior, &mut run);
                (has_begun, done, run)
            };
            let (has_begun, done, again) = match self.run_on(attempt).await {
                Ok(ran) => ran,
                Err(error) => {
                    let failed = watch.done(&self.shared, Err(error));
                    transaction.end(false);
                    return failed;
                }
            };
            match has_begun {
                true => transaction.end(done.is_ok()),
                false => transaction.not_begun(),
            }
            let may_wait = begun.elapsed() <= self.shared.options.busy_timeout;
            match done {
                Err(error) if error.is_worth_a_new_transaction() && may_wait => run = again,
                done => return watch.done(&self.shared, done),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Runs a job on the connection's thread and waits for it.
    pub(crate) async fn run<T, F>(&mut self, run: F) -> Result<T, SqliteError>
    where
        F: FnOnce(&mut Opened) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.come_home().await?;
        self.run_on(run).await
    }

    /// As [`run`](Self::run), where the connection is known to be at home and in order.
    pub(crate) async fn run_on<T, F>(&mut self, run: F) -> Result<T, SqliteError>
    where
        F: FnOnce(&mut Opened) -> T + Send + 'static,
        T: Send + 'static,
    {
        let patience = self.shared.options.busy_timeout;
        let Home::Here(opened) = std::mem::replace(&mut self.home, Home::Lost) else {
            return Err(gone());
        };
        opened.is_held.store(self.is_held, Ordering::Relaxed);
        self.used = true;
        let activity = self.activity.clone();
        let _busy = activity.busy();
        let running = self.worker.run_with(opened, move |opened| {
            opened.wait_for_locks(patience);
            run(opened)
        });
        running.linger();
        let Running { home, outcome, interrupt, .. } = running;
        let mut waiting = GivenUp(Some(interrupt.clone()));
        self.home = Home::Away { home, interrupt };
        // Awaited though it may be there: that spends the task's budget, so that a loop of calls lets
        // others run.
        let outcome = outcome.await;
        waiting.0 = None;
        self.settle_home();
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Panicked(text))) => Err(panicked(&text)),
            Err(_) => Err(gone()),
        }
    }

    /// Waits until the connection is back from work that was given up, and clears what that left.
    pub(crate) async fn come_home(&mut self) -> Result<(), SqliteError> {
        while let Home::Away { home, interrupt } = &mut self.home {
            // Again and again: an interrupt before a statement begins does not reach it.
            interrupt.fire();
            if let Ok(back) = timeout(Duration::from_millis(2), home).await {
                self.home = back.map_or(Home::Lost, Home::Here);
                self.undo = Some(ALL.into()); // noted until it is done, should this be dropped too
            }
        }
        let Some(undo) = self.undo.clone() else { return self.here().map(drop) };
        if !self.here()?.connection.is_autocommit() {
            let roll_back = move |opened: &mut Opened| {
                let connection = &opened.connection;
                connection.execute_batch(&undo).or_else(|_| connection.execute_batch(ALL))
            };
            self.run_on(roll_back).await??;
        }
        self.undo = None;
        Ok(())
    }

    /// Takes the connection home if its job has ended. True if it was there for it to take.
    pub(crate) fn settle_home(&mut self) -> bool {
        let Home::Away { home, .. } = &mut self.home else { return false };
        match home.try_recv() {
            Ok(opened) => self.home = Home::Here(opened),
            Err(TryRecvError::Closed) => self.home = Home::Lost,
            Err(TryRecvError::Empty) => return false,
        }
        true
    }

    /// Whether it is at home, perhaps from work that was given up.
    pub(crate) fn is_home(&mut self) -> bool {
        if self.settle_home() {
            self.undo = Some(ALL.into());
        }
        matches!(self.home, Home::Here(_))
    }

    pub(crate) fn here(&mut self) -> Result<&mut Opened, SqliteError> {
        match &mut self.home {
            Home::Here(opened) => Ok(opened),
            Home::Away { .. } | Home::Lost => Err(gone()),
        }
    }

    /// What a closure that failed must not have changed if it is to be run again.
    fn standing(&self) -> Option<(u64, u64, bool, bool)> {
        let Home::Here(opened) = &self.home else { return None };
        let connection = &opened.connection;
        let touched = opened.touched.load(Ordering::Relaxed);
        let commits = opened.commits.load(Ordering::Relaxed);
        Some((connection.total_changes(), commits, touched, connection.is_autocommit()))
    }

    /// Tells the observers that a statement begins.
    pub(crate) fn watch(&self) -> Watch {
        Watch::begin(&self.shared, self.activity.operation())
    }

    /// Is to tell the observers of a transaction that the next job begins and ends.
    pub(crate) fn watch_transaction(&self) -> JobWatch {
        match &self.home {
            Home::Here(opened) => JobWatch::begin(&self.shared, self.activity.operation(), opened),
            Home::Away { .. } | Home::Lost => JobWatch::default(), // no job runs there
        }
    }
}

/// Dropped before the job's end, it interrupts the job.
struct GivenUp(Option<Interrupt>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.0 {
            interrupt.fire();
        }
    }
}

impl Drop for SqliteConnection {
    fn drop(&mut self) {
        self.settle_home();
        // Closing may write to the file: not on whichever thread this happens to be.
        if let Home::Here(opened) = std::mem::replace(&mut self.home, Home::Lost) {
            drop(self.worker.run(move || opened.end()));
        }
    }
}

impl fmt::Debug for SqliteConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConnection")
            .field("database", &self.shared.database)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Undoes everything.
pub(crate) const ALL: &str = "ROLLBACK";

fn panicked(text: &str) -> SqliteError {
    SqliteError::text(
        SqliteErrorKind::Panicked,
        format!("the code that was to run panicked: {text}"),
    )
}

fn gone() -> SqliteError {
    SqliteError::text(SqliteErrorKind::Closed, "the connection's thread has ended")
}
