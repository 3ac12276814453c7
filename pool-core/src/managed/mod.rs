//! The engine: [`ManagedPool`], a pool over any [`Manager`].
//!
//! # How it is built
//!
//! All state (idle connections, waiters, counts) is one pure state machine ([`machine`]) under one
//! short mutex; around it lies a shell that does what the machine asks for once the lock is
//! released. The machine's doc says which states a slot has, who may move it, and why no wake-up is
//! lost; the rest of the argument is here.
//!
//! * [`machine`]: the state machine, its queue, its flight recorder.
//! * [`slot`]: capacity as a value. A slot is taken while its token lives, and the token lives
//!   inside the connection's box, in the task that opens it, or in the task that closes it. There
//!   is no other way to hold capacity, so every way out of every function gives it back.
//! * [`shared`]: the lock and the way out of it. Lock order: runtime binding, diagnosis,
//!   settings or the wall clock before state, before a waiter's hands or the name of what a connection
//!   does; no other two locks are ever held together. Under a lock runs nothing of a user's.
//! * [`settings`]: what the pool goes by, exchanged while it runs.
//! * [`acquire`], [`guard`], [`blocking`], [`close`]: what callers hold.
//! * [`tasks`], [`maintenance`], [`runtime`]: what runs in the background, and on what.
//! * [`diagnosis`]: how it explains itself.
//!
//! # Why cancelling is safe
//!
//! A caller's future owns nothing but its place in the queue. Opening, proving, resetting and closing
//! are done by tasks of the pool that own their connection and its token. So dropping a caller's
//! future gives up the place, and what it was handed goes to the next in line; no I/O is ever cut in
//! half by it. A *task* can be cut only by its own deadline or the close of the pool, which end the
//! connection, or by the end of its runtime, which drops connection and token: the slot is free, the
//! pool unbound, and everybody who waits is woken to bind it anew.
//!
//! # What stays in memory
//!
//! Connections hold the pool's shared part and lie in it: a cycle, which closing the pool cuts. The
//! last [`ManagedPool`] handle to go closes it.

mod acquire;
mod blocking;
mod close;
mod diagnosis;
mod guard;
mod machine;
mod maintenance;
#[cfg(all(test, not(pool_loom)))]
mod nothing;
mod runtime;
mod settings;
pub(crate) mod shared;
mod slot;
mod tasks;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

pub use acquire::{Acquire, AcquireFuture};
pub use blocking::{Blocking, on_async_worker};
pub use close::CloseReport;
pub use guard::ManagedGuard;
pub use machine::replay::Recording;

use crate::config::{ConfigError, PoolConfig, Reuse, Validation};
use crate::holders::Holder;
use crate::hooks::{BoxFuture, Hook, Hooks};
use crate::manager::{BoxError, Manager};
use crate::metrics::Metrics;
use crate::reconfigured::Reconfigured;
use crate::snapshot::{CloseReason, Snapshot, Statistics};
use crate::sync::Arc;
use crate::{AcquireError, AcquireErrorKind, PoolView};
use machine::vocabulary::{Caller, Settled, Who};
use shared::{Parts, Shared};

/// A pool of the connections that a [`Manager`] makes. Cheap to clone: every clone is a handle to
/// the same pool, and the last one to go closes it.
///
/// See the [crate's documentation](crate) for what it promises.
pub struct ManagedPool<M: Manager> {
    shared: Arc<Shared<M>>,
}

impl<M: Manager> ManagedPool<M> {
    /// A pool with the default settings.
    ///
    /// Like [`Builder::build`] it does no I/O. Inside a tokio runtime the pool is bound to that;
    /// elsewhere to the runtime of its first user.
    pub fn new(manager: M) -> Self {
        Self::builder(manager).build().expect("the default settings are valid")
    }

    /// Starts a pool's settings.
    pub fn builder(manager: M) -> Builder<M> {
        Builder {
            parts: Parts {
                manager,
                config: PoolConfig::default(),
                after_connect: Hooks::new(),
                before_acquire: Hooks::new(),
                after_release: Hooks::new(),
                metrics: Vec::new(),
                wall_clock: SystemTime::now,
                seed: fastrand::u64(..),
            },
            runtime: None,
        }
    }

    /// Takes a connection: `pool.acquire().await?`, or
    /// `pool.acquire().within(limit).operation("list_plots").await?`.
    ///
    /// It returns within the pool's `acquire_timeout` (or `within`), whatever the server or the
    /// network does. Callers are served in the order in which they came.
    ///
    /// # Errors
    /// [`AcquireError`]; its [`kind`](AcquireError::kind) says which, its `Display` why.
    ///
    /// # Cancel safety
    /// Dropping the future at any moment loses nothing.
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_, M> {
        Acquire::new(&self.shared, Location::caller())
    }

    /// The pool for threads: acquiring parks the thread. It needs no runtime of the caller's; if
    /// the pool has none yet, it gets a thread of its own to work on.
    pub fn blocking(&self) -> Blocking<'_, M> {
        Blocking(self)
    }

    /// Waits until the minimums are reached, at most for the `acquire_timeout`; if that is zero, for
    /// the `connect_timeout`.
    ///
    /// # Errors
    /// If a connect failed for good ([`Connect`](AcquireErrorKind::Connect)), the time is up, or
    /// the pool is closed.
    #[track_caller]
    pub fn ready(&self) -> impl Future<Output = Result<(), AcquireError>> + Send + '_ {
        let site = Location::caller();
        async move {
            let shared = &self.shared;
            let (begun, binds) = (shared.now(), Cell::new(0));
            let reached = shared.until(move |_| {
                if !shared.read(|state| state.bound) {
                    // A runtime that is just ending lets itself be bound, again and again.
                    binds.set(binds.get() + 1);
                    if binds.get() > 3 || !shared.bind_here() {
                        return Some(Err(AcquireErrorKind::NoRuntime));
                    }
                }
                let reached = shared.read(|state| state.readiness());
                reached.map(|reached| reached.map_err(|why| why.kind(false)))
            });
            let within = match shared.settings.acquire_timeout() {
                0 => Some(shared.settings.present().connect_timeout), // nothing opens in no time
                u64::MAX => None,
                nanos => Some(Duration::from_nanos(nanos)),
            };
            let reached = match within {
                None => reached.await,
                Some(within) => {
                    let reached = shared.limited(within, reached).await;
                    reached.unwrap_or(Err(AcquireErrorKind::TimedOut))
                }
            };
            let waited = shared.now().since(begun);
            reached.map_err(|kind| shared.explain(kind, nobody(site), waited))
        }
    }

    /// The pool at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The pool at this moment, and how long things took so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// The pool as others look at it, without holding it open.
    pub fn view(&self) -> PoolView {
        PoolView::new(self.shared.clone())
    }

    /// A handle, if there is one yet.
    pub(crate) fn upgrade(shared: Arc<Shared<M>>) -> Option<Self> {
        let one_more = |handles: usize| (handles > 0).then_some(handles + 1);
        let order = Ordering::Relaxed;
        shared.handles.fetch_update(order, order, one_more).ok().map(|_| Self { shared })
    }

    /// Who holds connections now, most first.
    pub fn holders(&self) -> Vec<Holder> {
        self.shared.holders()
    }

    /// How hard the pool is pressed, see [`Snapshot::pressure`].
    pub fn pressure(&self) -> f64 {
        self.snapshot().pressure()
    }

    /// The settings by which the pool goes now: those it was built with, or of the last
    /// [`reconfigure`](Self::reconfigure).
    pub fn config(&self) -> Arc<PoolConfig> {
        self.shared.settings.present()
    }

    /// What makes the connections.
    pub fn manager(&self) -> &M {
        &self.shared.manager
    }

    /// Goes by other settings from now on, as far as that can be done without building the pool anew,
    /// and says what changed and what needs a restart: `name` and `flight_recorder`. Call it inside
    /// the pool's runtime or anywhere else.
    ///
    /// What it means for what there is already:
    ///
    /// * **Sizes**: spare connections above them close now, others as they come back; new room goes
    ///   to those who wait, at once, and new minimums are opened.
    /// * **`idle_timeout`, `max_lifetime`, `lifetime_jitter`, `keepalive`** hold for connections
    ///   that are open too, counted from when each was last used or born, with the share of the
    ///   jitter that it drew then, and never beyond what the server allows. A connection that is too
    ///   old already ends now, or as it comes back.
    /// * **`validation`, `reuse`** hold from the next hand-out on.
    /// * **`leak_after`** holds for connections that are held too; each is reported once.
    /// * **`acquire_timeout`, `max_waiting`** hold for acquires that begin later: who waits keeps
    ///   deadline and place.
    /// * **`connect_timeout`, `ping_timeout`, `reset_timeout`, `close_timeout`** hold for what
    ///   begins later.
    /// * **`max_connecting`** lets more connects start at once, or as many fewer once those under way
    ///   have ended; **`backoff_base`, `backoff_cap`** hold from the next failure on, and a pause
    ///   under way is cut down to the cap.
    ///
    /// # Errors
    /// If settings make no sense, all of them at once; then nothing is changed.
    ///
    /// ```
    /// # use pool_core::{ConnectContext, ManagedPool, Manager};
    /// # struct Numbers;
    /// # impl Manager for Numbers {
    /// #     type Connection = u64;
    /// #     type Error = std::io::Error;
    /// #     async fn connect(&self, cx: &ConnectContext) -> Result<u64, Self::Error> { Ok(cx.id()) }
    /// #     async fn ping(&self, _: &mut u64) -> Result<(), Self::Error> { Ok(()) }
    /// # }
    /// use std::time::Duration;
    /// use pool_core::PoolConfig;
    ///
    /// let pool = ManagedPool::new(Numbers);
    /// let wanted = PoolConfig::clone(&pool.config()).max_size(20).name("plots");
    /// let done = pool.reconfigure(&wanted.idle_timeout(Duration::from_secs(60)))?;
    /// assert_eq!(done.to_string(), "changed max_size, idle_timeout; needs a restart: name");
    /// assert_eq!(pool.config().max_size, 20);
    /// # Ok::<(), pool_core::ConfigError>(())
    /// ```
    pub fn reconfigure(&self, new: &PoolConfig) -> Result<Reconfigured, ConfigError> {
        new.validate()?;
        Ok(self.shared.reconfigure(|_| new.clone()))
    }

    /// Changes the sizes alone: [`reconfigure`](Self::reconfigure) with all else as it is now.
    ///
    /// # Errors
    /// If settings make no sense; then nothing is changed.
    pub fn resize(&self, sizes: &PoolConfig) -> Result<(), ConfigError> {
        sizes.validate()?;
        let PoolConfig { max_size, min_size, min_idle, max_idle, .. } = *sizes;
        let change = |present: &PoolConfig| {
            let present = present.clone().max_size(max_size).min_size(min_size);
            present.min_idle(min_idle).max_idle(max_idle)
        };
        let _ = self.shared.reconfigure(change);
        Ok(())
    }

    /// Stops handing out and connecting: callers wait, until [`resume`](Self::resume) or their
    /// deadline. For a failover, with [`invalidate_all`](Self::invalidate_all) in between.
    pub fn suspend(&self) {
        self.shared.with(|state| state.suspend(true));
    }

    /// Goes on after [`suspend`](Self::suspend).
    pub fn resume(&self) {
        self.shared.with(|state| state.suspend(false));
    }

    /// Ends every connection opened so far: spare ones now, others as they come back.
    pub fn invalidate_all(&self) {
        self.shared.with(|state| state.invalidate_all());
    }

    /// Looks at every spare connection and ends those that are not to be kept. How many ended.
    ///
    /// # Panics
    /// If `keep` does, once all have been looked at; the connection it panicked for is ended.
    pub fn retain(&self, mut keep: impl FnMut(&mut M::Connection) -> bool) -> usize {
        let (mut ended, mut panicked) = (0, None);
        for mut live in self.shared.with(|state| state.take_idle()) {
            let kept = catch_unwind(AssertUnwindSafe(|| keep(&mut live.connection)));
            let kept = kept.unwrap_or_else(|panic| {
                panicked = Some(panic);
                false
            });
            ended += usize::from(!kept);
            let settled = if kept { Settled::Kept } else { Settled::Close(CloseReason::Retain) };
            let key = live.token.key();
            self.shared.with(|state| state.settle(key, live, settled));
        }
        match panicked {
            Some(panic) => resume_unwind(panic),
            None => ended,
        }
    }

    /// Closes the pool. From this call on acquires fail with [`Closed`](AcquireErrorKind::Closed)
    /// and spare connections close; the future waits at most this long for those in use and then
    /// says who still holds one. It need not be awaited.
    pub fn close(&self, within: Duration) -> impl Future<Output = CloseReport> + Send + use<M> {
        close::close(self.shared.clone(), within)
    }

    /// Whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.read(|state| state.closed)
    }

    /// What the flight recorder holds: the last engine events.
    pub fn flight_recording(&self) -> Recording {
        let shared = &self.shared;
        shared.read(|state| Recording::take(state, shared.settings.birth.clone(), shared.seed))
    }
}

fn nobody(site: &'static Location<'static>) -> Caller {
    Caller { site, operation: None, who: Who::Unknown }
}

impl<M: Manager> Clone for ManagedPool<M> {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<M: Manager> Drop for ManagedPool<M> {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.shut();
        }
    }
}

impl<M: Manager> fmt::Debug for ManagedPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("ManagedPool")
            .field("name", &snapshot.name)
            .field("idle", &snapshot.idle)
            .field("in_use", &snapshot.in_use)
            .field("waiting", &snapshot.waiting)
            .field("max_size", &snapshot.max_size)
            .finish_non_exhaustive()
    }
}

/// A [`ManagedPool`] in the making.
pub struct Builder<M: Manager> {
    parts: Parts<M>,
    runtime: Option<Handle>,
}

impl<M: Manager> Builder<M> {
    crate::config::each_field!(setters);

    fn config_mut(&mut self) -> &mut PoolConfig {
        &mut self.parts.config
    }

    /// Takes all settings from here; those set before are forgotten.
    #[must_use]
    pub fn config(mut self, config: PoolConfig) -> Self {
        self.parts.config = config;
        self
    }

    /// Is told what happens in the pool. There may be several, told in the order of their adding.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.parts.metrics.push(metrics);
        self
    }

    /// The runtime on which the pool does its work. Without it: the one in which it is built, or
    /// that of its first user.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Runs on every connection when it was opened, and again when a reset has wiped it. Hooks run
    /// in the order in which they were added; an error ends the connection.
    #[must_use]
    pub fn after_connect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&mut M::Connection) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.parts.after_connect.push(Hook::Plain(Box::new(hook)));
        self
    }

    /// As [`after_connect`](Self::after_connect), for hooks that have to wait.
    ///
    /// ```
    /// # use pool_core::{ConnectContext, ManagedPool, Manager};
    /// # struct Lines;
    /// # impl Manager for Lines {
    /// #     type Connection = Vec<String>;
    /// #     type Error = std::io::Error;
    /// #     async fn connect(&self, _: &ConnectContext) -> std::io::Result<Vec<String>> {
    /// #         Ok(Vec::new())
    /// #     }
    /// #     async fn ping(&self, _: &mut Vec<String>) -> std::io::Result<()> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// # async fn greet(connection: &mut Vec<String>) -> std::io::Result<()> {
    /// #     connection.push("hello".into());
    /// #     Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = ManagedPool::builder(Lines)
    ///     // Written in its place: as a variable of its own it would be for one lifetime only.
    ///     .after_connect_async(|connection| Box::pin(async move { Ok(greet(connection).await?) }))
    ///     .build()?;
    /// # assert_eq!(*pool.acquire().await?, ["hello"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn after_connect_async<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut M::Connection) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        self.parts.after_connect.push(Hook::Boxed(Box::new(hook)));
        self
    }

    /// Runs on every connection before it is handed out, on the caller's thread. An error ends the
    /// connection, and the caller gets another one.
    #[must_use]
    pub fn before_acquire<F>(mut self, hook: F) -> Self
    where
        F: Fn(&mut M::Connection) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.parts.before_acquire.push(Hook::Plain(Box::new(hook)));
        self
    }

    /// As [`before_acquire`](Self::before_acquire), for hooks that have to wait: all such hooks
    /// then run in the background, under the `ping_timeout`, before each hand-out.
    #[must_use]
    pub fn before_acquire_async<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut M::Connection) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        self.parts.before_acquire.push(Hook::Boxed(Box::new(hook)));
        self
    }

    /// Runs on every connection that comes back, on the thread that returns it. An error ends the
    /// connection.
    #[must_use]
    pub fn after_release<F>(mut self, hook: F) -> Self
    where
        F: Fn(&mut M::Connection) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.parts.after_release.push(Hook::Plain(Box::new(hook)));
        self
    }

    /// As [`after_release`](Self::after_release), for hooks that have to wait: all such hooks then
    /// run in the background, under the `reset_timeout`, after each return.
    #[must_use]
    pub fn after_release_async<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut M::Connection) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        self.parts.after_release.push(Hook::Boxed(Box::new(hook)));
        self
    }

    /// For tests: the wall clock that tells whether the machine slept.
    #[must_use]
    pub fn wall_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.parts.wall_clock = clock;
        self
    }

    /// For tests: where the pool's random numbers begin.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.parts.seed = seed;
        self
    }

    /// Makes the pool. Does no I/O: with a runtime at hand, the minimums are opened in the
    /// background.
    ///
    /// # Errors
    /// Settings that make no sense, all of them at once.
    pub fn build(self) -> Result<ManagedPool<M>, ConfigError> {
        self.parts.config.validate()?;
        let pool = ManagedPool { shared: Arc::new(Shared::new(self.parts)) };
        match self.runtime {
            Some(handle) => pool.shared.bind(&handle),
            None => drop(pool.shared.bind_here()),
        }
        Ok(pool)
    }
}

impl<M: Manager> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.parts.config).finish_non_exhaustive()
    }
}
