//! What every handle, guard and task of a pool shares: the state under its lock, and the way out of
//! the lock again.
//!
//! [`Shared::with`] is the way in. It locks, runs the state machine, unlocks, and then carries out
//! what that has asked for: wakes, spawns, closes. Lock order: `runtime`, `diagnosis`, the settings or
//! the wall clock before `state`, before a waiter's own; nothing of a user's runs under any.

use std::cell::Cell;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::diagnosis::Diagnosis;
use super::machine::outbox::{Errands, Outbox};
use super::machine::state::State;
use super::machine::tuning::nanos;
use super::machine::vocabulary::Time;
use super::runtime::Binding;
use super::settings::Settings;
use super::slot::{Live, SlotToken};
use super::tasks;
use crate::hooks::Hooks;
use crate::metrics::{Leaked, Metrics, Stalled};
use crate::sync::{Arc, AtomicUsize, Mutex, lock};
use crate::{Manager, PoolConfig};

/// The wall clock running ahead of the monotonic one by this much means that the machine slept.
const JUMP: Duration = Duration::from_secs(5);
/// How often the wall clock is looked at, at most, in nanoseconds.
const LOOK: u64 = 1_000_000;

type Conn<M> = Box<Live<M>>;

/// On cache lines of its own (they come in pairs): what all threads write is not beside what all
/// threads read.
#[repr(align(128))]
struct Apart<T>(T);

/// In this order, since what a checkout touches lies together, on few cache lines.
#[repr(C)]
pub(crate) struct Shared<M: Manager> {
    state: Apart<Mutex<State<Conn<M>>>>,
    origin: Instant,
    wall: Wall,
    /// Somebody waits: only a hint, since it is read without the lock.
    queue: AtomicBool,
    metrics: Box<[Arc<dyn Metrics>]>,
    pub(crate) before_acquire: Hooks<M::Connection>,
    pub(crate) after_release: Hooks<M::Connection>,
    pub(crate) settings: Settings,
    pub(crate) manager: M,
    pub(crate) name: String,
    pub(super) seed: u64,
    pub(crate) after_connect: Hooks<M::Connection>,
    pub(super) runtime: Mutex<Binding>,
    pub(crate) handles: AtomicUsize,
    pub(super) nudge: Notify,
    pub(super) changed: Notify,
    pub(super) shut: watch::Sender<bool>,
    last_error: Mutex<Option<(Time, Arc<dyn StdError + Send + Sync>)>>,
    last_refusal: Mutex<Option<(Time, Arc<dyn StdError + Send + Sync>)>>,
    pub(super) diagnosis: Mutex<Option<(Time, Arc<Diagnosis>)>>,
}

/// What a pool is made of, before it is one.
pub(super) struct Parts<M: Manager> {
    pub(super) manager: M,
    pub(super) config: PoolConfig,
    pub(super) after_connect: Hooks<M::Connection>,
    pub(super) before_acquire: Hooks<M::Connection>,
    pub(super) after_release: Hooks<M::Connection>,
    pub(super) metrics: Vec<Arc<dyn Metrics>>,
    pub(super) wall_clock: fn() -> SystemTime,
    pub(super) seed: u64,
}

#[repr(C)]
struct Wall {
    /// When it was last looked at, on both clocks.
    looked_at: AtomicU64,
    clock: fn() -> SystemTime,
    then: Mutex<(SystemTime, Instant)>,
}

impl<M: Manager> Shared<M> {
    pub(super) fn new(parts: Parts<M>) -> Self {
        use super::machine::recorder::Recorder;
        let (prepare, finish) = (parts.before_acquire.any_boxed(), parts.after_release.any_boxed());
        let (name, flight) = (parts.config.name.clone(), parts.config.flight_recorder);
        let settings = Settings::new(parts.config, prepare, finish);
        let state = State::new(settings.birth.clone(), parts.seed, Recorder::new(flight));
        let origin = Instant::now();
        Self {
            state: Apart(Mutex::new(state)),
            queue: AtomicBool::new(false),
            manager: parts.manager,
            name,
            settings,
            seed: parts.seed,
            after_connect: parts.after_connect,
            before_acquire: parts.before_acquire,
            after_release: parts.after_release,
            metrics: parts.metrics.into(),
            runtime: Mutex::default(),
            handles: AtomicUsize::new(1),
            nudge: Notify::new(),
            changed: Notify::new(),
            shut: watch::Sender::new(false),
            last_error: Mutex::new(None),
            last_refusal: Mutex::new(None),
            diagnosis: Mutex::new(None),
            origin,
            wall: Wall {
                clock: parts.wall_clock,
                looked_at: AtomicU64::new(0),
                then: Mutex::new(((parts.wall_clock)(), origin)),
            },
        }
    }

    /// Runs the state machine under the lock, then carries out what it asks for.
    pub(crate) fn with<R>(self: &Arc<Self>, run: impl FnOnce(&mut State<Conn<M>>) -> R) -> R {
        self.with_at(self.now(), run)
    }

    /// The same, where the time was just read.
    #[inline]
    pub(crate) fn with_at<R>(
        self: &Arc<Self>,
        now: Time,
        run: impl FnOnce(&mut State<Conn<M>>) -> R,
    ) -> R {
        let mut out = None;
        let result = self.step(now, &mut out, run);
        self.perform(out);
        result
    }

    /// Runs the state machine; the caller carries out what it asks for, if anything.
    #[inline]
    pub(super) fn step<R>(
        &self,
        now: Time,
        out: &mut Option<Outbox<Conn<M>>>,
        run: impl FnOnce(&mut State<Conn<M>>) -> R,
    ) -> R {
        let mut state = lock(&self.state.0);
        // Who came later may have read the clock earlier: in the state machine time never goes back.
        state.now = state.now.max(now);
        let _inside = Inside::enter();
        let result = run(&mut state);
        let queue = state.waiters().queued() > 0;
        if self.has_queue() != queue {
            self.queue.store(queue, Ordering::Relaxed); // only then, as all read it
        }
        if !state.out.is_empty() {
            *out = Some(std::mem::take(&mut state.out));
        }
        result
    }

    /// Whether somebody was waiting a moment ago.
    pub(super) fn has_queue(&self) -> bool {
        self.queue.load(Ordering::Relaxed)
    }

    /// Reads the state under the lock.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State<Conn<M>>) -> R) -> R {
        look(&lock(&self.state.0))
    }

    #[inline]
    pub(super) fn perform(self: &Arc<Self>, out: Option<Outbox<Conn<M>>>) {
        if let Some(out) = out {
            self.carry_out(out);
        }
    }

    #[inline(never)]
    fn carry_out(self: &Arc<Self>, mut out: Outbox<Conn<M>>) {
        if let Some(waker) = out.wake.take() {
            quietly(|| waker.wake());
        }
        if out.nudge {
            self.nudge();
        }
        if out.changed {
            self.changed.notify_waiters();
        }
        if let Some(errands) = out.take_errands() {
            self.run_errands(*errands);
        }
    }

    fn run_errands(self: &Arc<Self>, errands: Errands<Conn<M>>) {
        errands.wake.into_iter().for_each(|waker| quietly(|| Waker::wake(waker)));
        errands.stale.into_iter().for_each(|waker| quietly(|| drop(waker)));
        for start in errands.connect {
            tasks::connect(SlotToken::new(self.clone(), start.slot), start);
        }
        errands.validate.into_iter().for_each(|(live, ping)| tasks::validate(live, ping));
        errands.reset.into_iter().for_each(|(live, why)| tasks::reset(live, why));
        errands.close.into_iter().for_each(|(live, polite)| tasks::close(live, polite));
        let pool = &self.name;
        for caller in errands.stalled {
            let (site, operation) = (caller.site, caller.operation);
            self.tell(|m| m.stalled(&Stalled { pool, site, operation }));
        }
        for (caller, held) in errands.leaks {
            let (site, operation) = (caller.site, caller.operation);
            let held = Duration::from_nanos(held);
            self.tell(|m| m.leaked(&Leaked { pool, site, operation, held }));
        }
    }

    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        !self.metrics.is_empty()
    }

    /// Tells every observer; a panic of one is its own affair.
    pub(crate) fn tell(&self, tell: impl Fn(&dyn Metrics)) {
        for metrics in &self.metrics {
            quietly(|| tell(&**metrics));
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Time {
        Time(nanos(Instant::now().saturating_duration_since(self.origin)))
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_nanos(time.0).min(crate::config::FAR)
    }

    /// Looks, now and then, whether the machine slept: then every connection is suspect.
    #[inline]
    pub(crate) fn look_at_the_wall_clock(self: &Arc<Self>, now: Time) {
        let looked_at = self.wall.looked_at.load(Ordering::Acquire);
        if now.0.saturating_sub(looked_at) >= LOOK {
            self.compare_the_clocks(now);
        }
    }

    /// Whoever comes meanwhile waits: it must not take what is about to be suspect.
    #[cold]
    fn compare_the_clocks(self: &Arc<Self>, now: Time) {
        let (wall, mono) = ((self.wall.clock)(), Instant::now());
        let mut then = lock(&self.wall.then);
        if mono <= then.1 {
            return; // somebody looked later, and saw as much
        }
        let (old_wall, old_mono) = std::mem::replace(&mut *then, (wall, mono));
        let on_the_wall = wall.duration_since(old_wall).unwrap_or_default();
        let ahead = on_the_wall.saturating_sub(mono.saturating_duration_since(old_mono));
        let mut out = None;
        if ahead > JUMP {
            self.step(now, &mut out, |state| state.suspect_all());
        }
        self.wall.looked_at.store(now.0, Ordering::Release);
        drop(then);
        self.perform(out);
    }

    pub(crate) fn keep_error(&self, error: Arc<dyn StdError + Send + Sync>) {
        let old = lock(&self.last_error).replace((self.now(), error));
        super::slot::discard(old);
    }

    /// Keeps why a connection was not handed out although it could be opened.
    #[cold]
    pub(crate) fn keep_refusal(&self, by: &str, error: impl std::fmt::Display) {
        let text = format!("a connection was refused by {by}: {error}");
        let error = Arc::from(crate::manager::BoxError::from(text));
        let old = lock(&self.last_refusal).replace((self.now(), error));
        super::slot::discard(old);
    }

    /// The last such refusal and when it was.
    pub(crate) fn last_refusal(&self) -> Option<(Time, Arc<dyn StdError + Send + Sync>)> {
        lock(&self.last_refusal).clone()
    }

    /// The last connect error and when it was.
    pub(crate) fn last_error(&self) -> Option<(Time, Arc<dyn StdError + Send + Sync>)> {
        lock(&self.last_error).clone()
    }
}

crate::sync::thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// This thread runs the state machine, under its lock.
struct Inside;

impl Inside {
    #[inline]
    fn enter() -> Self {
        INSIDE.with(|inside| inside.set(true));
        Self
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
    }
}

/// Whether this thread is in the state machine: what is dropped there is dropped by a panic of
/// ours, and to lock once more would hang.
pub(super) fn in_the_machine() -> bool {
    INSIDE.with(Cell::get)
}

/// Runs what may be a user's code, whose panic is its own affair.
pub(crate) fn quietly(run: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(run));
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use std::time::Duration;

    use crate::ManagedPool;
    use crate::managed::machine::vocabulary::Phase;
    use crate::managed::machine::waiters::Waiter;
    use crate::managed::nothing::Nothing;
    use crate::sync::SECTIONS;

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_the_state_machine_hangs_nobody() {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        let pool = ManagedPool::builder(Nothing).max_size(2).build().unwrap();
        drop(pool.acquire().await.unwrap());
        let idle = pool.shared.with(|state| state.take_idle());
        let bug = catch_unwind(AssertUnwindSafe(|| {
            pool.shared.with(|_| {
                let _dropped_by_the_panic = idle;
                panic!("a bug of ours");
            })
        }));
        assert!(bug.is_err());
        assert!(!super::in_the_machine());
        // The slot is lost to the bug; who asks is told in time, and the pool can be closed.
        assert_eq!(pool.snapshot().open(), 1);
        let _ = pool.acquire().within(Duration::from_secs(1)).await;
        assert_eq!(pool.close(Duration::from_secs(1)).await.abandoned, 1);
    }

    /// A long stress run found it: a connection that had to be proven a moment ago did not have to
    /// any more, and lay idle while somebody waited.
    #[tokio::test(start_paused = true)]
    async fn time_does_not_go_back_for_who_read_the_clock_early() {
        let pool = ManagedPool::new(Nothing);
        let early = pool.shared.now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = pool.shared.now();
        let seen = [late, early].map(|now| pool.shared.with_at(now, |state| state.now));
        assert_eq!(seen, [late, late]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_tries_once_has_a_turn_though_others_read_the_clock_later() {
        let pool = ManagedPool::builder(Nothing).max_size(1).build().unwrap();
        let shared = &pool.shared;
        let early = shared.now();
        tokio::time::advance(Duration::from_secs(1)).await;
        shared.with(|_| ());
        let nobody = super::super::nobody(std::panic::Location::caller());
        let mut waiter = Waiter::new(early, early, nobody, None);
        let joined = shared.with_at(early, |state| {
            state.enqueue(&mut waiter, None).unwrap();
            let _ = state.give_up(&waiter, false);
            state.count(Phase::Connecting)
        });
        assert_eq!(joined, 1, "what was begun for it is there for the next");
    }

    #[tokio::test(start_paused = true)]
    async fn whose_time_was_up_before_it_joined_is_called_at_once() {
        let pool = ManagedPool::builder(Nothing).max_size(1).build().unwrap();
        let shared = &pool.shared;
        let _held = pool.acquire().await.unwrap();
        let early = shared.now();
        tokio::time::sleep(Duration::from_secs(1)).await; // all that is due is done
        // It read the clock when its deadline was still to come, and so waits to be called.
        let nobody = super::super::nobody(std::panic::Location::caller());
        shared.with(|_| ());
        let called = std::sync::Arc::new(Called::default());
        let waker = Some(called.clone().into());
        let mut waiter = Waiter::new(early, early.after(1), nobody, waker);
        shared.with_at(early, |state| state.enqueue(&mut waiter, None).unwrap());
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert!(called.0.load(std::sync::atomic::Ordering::Relaxed));
    }

    #[derive(Default)]
    struct Called(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Called {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_a_queue_joins_it_in_one_lock_section() {
        let pool = ManagedPool::builder(Nothing).max_size(1).build().unwrap();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut ask = || {
            let (before, mut future) = (SECTIONS.get(), Box::pin(pool.acquire().into_future()));
            let guard = future.as_mut().poll(&mut cx);
            (SECTIONS.get() - before, future, guard)
        };
        drop(pool.acquire().await.unwrap());
        let (free, _first, held) = ask();
        let (waits, second, _) = ask();
        let (joins, third, _) = ask();
        assert!(held.is_ready());
        assert_eq!((free, waits, joins), (1, 2, 1));
        drop((second, third, held));
        let (free, ..) = ask();
        assert_eq!(free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_uncontended_checkout_and_return_enter_two_lock_sections() {
        let pool = ManagedPool::new(Nothing);
        drop(pool.acquire().await.unwrap());
        let before = SECTIONS.get();
        for _ in 0..100 {
            drop(pool.acquire().await.unwrap());
        }
        assert_eq!(SECTIONS.get() - before, 200);
    }
}
