//! [`Acquire`] and [`AcquireFuture`]: asking for a connection and waiting for it.
//!
//! The future first tries the fast path (one lock section, nothing cloned, no timer), else it joins
//! the queue. From then on it only looks into its own hands; connects, pings and resets are done by
//! tasks that it does not own. So it may be dropped at any moment: what it was handed goes to the
//! next in line.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::guard::{ManagedGuard, judge_checkout};
use super::machine::state::State;
use super::machine::tuning::optional_nanos;
use super::machine::vocabulary::{Caller, Fate, Miss, Refusal, Taken, Time, Verdict, Who};
use super::machine::waiters::Waiter;
use super::shared::Shared;
use super::slot::Live;
use crate::metrics::Acquired;
use crate::sync::Arc;
use crate::{AcquireError, AcquireErrorKind, Manager};

/// An acquire that can still be adjusted; `.await` it.
#[must_use = "nothing is acquired until this is awaited"]
pub struct Acquire<'a, M: Manager> {
    shared: &'a Arc<Shared<M>>,
    site: &'static Location<'static>,
    operation: Option<&'static str>,
    /// In nanoseconds; `u64::MAX` is none.
    timeout: u64,
}

impl<'a, M: Manager> Acquire<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared<M>>, site: &'static Location<'static>) -> Self {
        Self { shared, site, operation: None, timeout: shared.settings.acquire_timeout() }
    }

    /// How long this one takes at most: zero tries once, `None` waits without limit.
    pub fn within(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = optional_nanos(timeout.into());
        self
    }

    /// A name for what the connection is used for, in metrics and among the holders.
    pub fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    /// The same acquire, reported as made at another place in the code. For wrappers.
    pub fn at(mut self, site: &'static Location<'static>) -> Self {
        self.site = site;
        self
    }

    /// Takes an idle connection for a thread, without a future. Else [`begun`](Self::begun) makes the
    /// one that goes on from here.
    #[inline]
    pub(super) fn at_once(&self, who: Who) -> Result<ManagedGuard<M>, (Time, Tried<M>)> {
        let now = self.shared.now();
        self.shared.look_at_the_wall_clock(now);
        try_at_once(self.shared, &self.caller(who), now).map_err(|tried| (now, tried))
    }

    /// The future of a thread that began at this time, and parks itself while it waits.
    pub(super) fn begun(self, who: Who, at: Time) -> AcquireFuture<'a, M> {
        let mut future = self.into_future();
        (future.caller.who, future.parks) = (who, true);
        future.begun = Some(Begun { at, deadline: at.after(future.timeout) });
        future
    }

    pub(super) fn caller(&self, who: Who) -> Caller {
        Caller { site: self.site, operation: self.operation, who }
    }
}

impl<'a, M: Manager> IntoFuture for Acquire<'a, M> {
    type Output = Result<ManagedGuard<M>, AcquireError>;
    type IntoFuture = AcquireFuture<'a, M>;

    fn into_future(self) -> AcquireFuture<'a, M> {
        AcquireFuture {
            shared: self.shared,
            caller: self.caller(Who::Unknown), // asked at the first poll
            parks: false,
            timeout: self.timeout,
            begun: None,
            binds: 0,
            waiter: None,
            look: false,
            at_home: false,
            done: false,
            timer: None,
        }
    }
}

impl<M: Manager> fmt::Debug for Acquire<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("site", &self.site).finish_non_exhaustive()
    }
}

/// Waits for a connection. Dropping it gives up the wait and loses nothing.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture<'a, M: Manager> {
    shared: &'a Arc<Shared<M>>,
    caller: Caller,
    /// It is a thread's that parks itself, and needs no timer.
    parks: bool,
    timeout: u64,
    begun: Option<Begun>,
    /// How often this future found a runtime for the pool.
    binds: u8,
    /// In the queue, or served: shared with the pool.
    waiter: Option<Arc<Waiter<Box<Live<M>>>>>,
    /// It is worth a look at once: there is something in its hands, or a runtime is needed.
    look: bool,
    /// The pool's maintenance runs on the same runtime, and wakes it when its time is up.
    at_home: bool,
    done: bool,
    /// Boxed, since few need one and all would be as large.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<M: Manager> Drop for AcquireFuture<'_, M> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            drop(self.shared.with(|state| state.give_up(&waiter, true)));
        } else if self.begun.is_some() && !self.done {
            self.shared.with(|state| state.given_up_early());
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Time,
    deadline: Time,
}

impl<M: Manager> Future for AcquireFuture<'_, M> {
    type Output = Result<ManagedGuard<M>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let now = self.begun.is_none().then(|| self.begin());
        // An always-ready loop of acquires must not starve the tasks beside it.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let polled = match self.look_at_once(now) {
            Ok(guard) => {
                self.done = true;
                Poll::Ready(Ok(guard))
            }
            Err(tried) => self.go_on(now, tried, cx),
        };
        if polled.is_ready() {
            coop.made_progress();
        }
        polled
    }
}

impl<M: Manager> AcquireFuture<'_, M> {
    #[inline]
    fn begin(&mut self) -> Time {
        let now = self.shared.now();
        self.caller.who = whoever_polls();
        self.begun = Some(Begun { at: now, deadline: now.after(self.timeout) });
        self.shared.look_at_the_wall_clock(now);
        now
    }

    /// What nearly every acquire needs: what it was served, for which it needs neither the clock nor
    /// the pool's lock, or an idle connection, in one lock section.
    #[inline]
    fn look_at_once(&mut self, now: Option<Time>) -> Result<ManagedGuard<M>, Tried<M>> {
        let shared = self.shared;
        let Some(waiter) = &self.waiter else {
            return try_at_once(shared, &self.caller, now.unwrap_or_else(|| shared.now()));
        };
        let Some(Taken::Got { connection, waited }) = waiter.take() else {
            return Err(Tried::Not);
        };
        self.waiter = None;
        admit(shared, connection, &self.caller, waited).map_err(Tried::Unfit)
    }

    /// The rest: after a first try, or by who waits.
    #[inline(never)]
    pub(super) fn go_on(
        &mut self,
        now: Option<Time>,
        tried: Tried<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ManagedGuard<M>, AcquireError>> {
        let polled = self.poll_acquire(now, tried, cx);
        self.done = polled.is_ready();
        polled
    }

    fn poll_acquire(
        &mut self,
        now: Option<Time>,
        mut tried: Tried<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ManagedGuard<M>, AcquireError>> {
        let Begun { deadline, .. } = self.begun.expect("set at the first poll");
        let mut now = now.unwrap_or_else(|| self.shared.now());
        loop {
            let outcome = match (std::mem::replace(&mut tried, Tried::Not), &self.waiter) {
                (Tried::Not, Some(_)) => self.look(now, cx),
                (Tried::Not | Tried::Missed(Miss::MustWait), _) => self.join(now, cx, |_| None),
                (Tried::Missed(miss), _) => self.missed(miss),
                (Tried::Unfit(unfit), _) => self.reject(*unfit, cx),
            };
            if let Some(outcome) = outcome {
                return Poll::Ready(outcome);
            }
            if self.waiter.is_none() || std::mem::take(&mut self.look) {
                continue; // bound to a runtime, or served at once
            }
            if now >= deadline {
                match self.time_out(now, cx) {
                    Some(outcome) => return Poll::Ready(outcome),
                    None => continue,
                }
            }
            match self.poll_timer(deadline, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => now = self.shared.now().max(deadline),
            }
        }
    }

    fn missed(&mut self, miss: Miss) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        match miss {
            Miss::Refused(why) => Some(Err(self.refused(why, false))),
            Miss::Unbound => self.bind(),
            Miss::MustWait => None,
        }
    }

    /// Joins the queue, in one lock section with what comes before; or need not, if there is none
    /// any more. Who had its turn before keeps that: an unfit connection must not cost the place.
    /// `None`: it waits.
    fn join(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        first: impl FnOnce(&mut State<Box<Live<M>>>) -> Option<u64>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        let caller = self.caller;
        let Begun { at, deadline } = self.begun.expect("set at the first poll");
        let mut waiter = Waiter::new(at, deadline, caller, Some(cx.waker().clone()));
        let (mut live, mut miss, mut look, mut home) = (None, Miss::MustWait, false, None);
        let joined = self.shared.with_at(now, |state| {
            let ticket = first(state);
            if ticket.is_none() {
                live = state.acquire(&caller, &mut miss);
                if live.is_some() || miss != Miss::MustWait {
                    return false;
                }
            }
            if let Err(why) = state.enqueue(&mut waiter, ticket) {
                miss = Miss::Refused(why);
                return false;
            }
            // A runtime lost between the fast path and here has woken only those who waited then.
            look = !state.waiters().has(waiter.ticket) || !state.bound;
            home = state.home;
            true
        });
        if joined {
            let at_home = is_here(home);
            (self.waiter, self.look, self.at_home) = (Some(waiter), look, at_home);
            return None;
        }
        super::slot::discard(waiter);
        match live {
            Some(live) => self.admit_or_rejoin(live, 0, cx),
            None => self.missed(miss),
        }
    }

    /// Looks, with the pool, for an outcome that came since, or sees to it that it is woken.
    /// `None`: nothing there yet.
    fn look(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        let waiter = self.waiter.as_ref().expect("looked for only while it waits");
        let mut waker = Some(cx.waker().clone());
        let look = |state: &mut State<_>| (state.look(waiter, &mut waker), state.home);
        let (taken, home) = self.shared.with_at(now, look);
        super::slot::discard(waker);
        self.at_home = is_here(home);
        match taken {
            Taken::Nothing { bound: true, .. } => None,
            Taken::Nothing { bound: false, .. } => {
                self.look = true;
                self.bind()
            }
            taken => {
                self.waiter = None;
                self.accept(taken, cx)
            }
        }
    }

    fn time_out(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        let waiter = self.waiter.take().expect("times out only as it waits");
        let taken = self.shared.with_at(now, |state| state.give_up(&waiter, false));
        self.accept(taken, cx)
    }

    /// Makes of what came out of the queue what the caller gets; it does not wait any more.
    fn accept(
        &mut self,
        taken: Taken<Box<Live<M>>>,
        cx: &mut Context<'_>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        match taken {
            Taken::Got { connection, waited } => self.admit_or_rejoin(connection, waited, cx),
            Taken::Refused(why) => Some(Err(self.refused(why, false))),
            Taken::Nothing { suspended, .. } => {
                Some(Err(self.refused(Refusal::TimedOut, suspended)))
            }
        }
    }

    /// Takes a connection that is fit. `None`: it was unfit, and the place is kept.
    fn admit_or_rejoin(
        &mut self,
        live: Box<Live<M>>,
        waited: u64,
        cx: &mut Context<'_>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        match admit(self.shared, live, &self.caller, waited) {
            Ok(guard) => Some(Ok(guard)),
            Err(unfit) => self.reject(*unfit, cx),
        }
    }

    /// Gives back what was unfit. `None`: the place is kept.
    #[cold]
    fn reject(
        &mut self,
        (live, fate): Unfit<M>,
        cx: &mut Context<'_>,
    ) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        let shared = self.shared;
        let (now, key, verdict) = (shared.now(), live.token.key(), Verdict::Rejected(fate));
        if fate == Fate::Panicked {
            shared.keep_refusal("a panic", "in a before_acquire hook or Manager::condition");
            shared.with_at(now, |state| state.release(key, live, verdict));
            return Some(Err(self.refused(Refusal::Panicked, false)));
        }
        let is_new = live.token.fresh || shared.read(|state| state.slot(key).is_cleaned());
        match fate {
            Fate::Reset(cause) if is_new => {
                let why = format!("{cause} after it was opened or reset, see Manager::adopt");
                shared.keep_refusal("Manager::condition", why);
            }
            Fate::Close(cause) if live.token.fresh => {
                shared.keep_refusal("Manager::condition", format!("{cause} as it was opened"));
            }
            _ => {}
        }
        self.join(now, cx, |state| {
            let ticket = state.slot(key).ticket;
            state.release(key, live, verdict);
            Some(ticket)
        })
    }

    /// Finds a runtime for the pool. `None`: it has one now.
    fn bind(&mut self) -> Option<Result<ManagedGuard<M>, AcquireError>> {
        // A runtime that is just ending lets itself be bound, again and again.
        self.binds += 1;
        let bound = match self.parks {
            _ if self.binds > 3 => false,
            true if self.binds > 1 => self.shared.bind_to_thread().is_ok(),
            true => self.shared.bind_here() || self.shared.bind_to_thread().is_ok(),
            false => self.shared.bind_here(),
        };
        if bound {
            return None;
        }
        let waiter = self.waiter.take();
        self.shared.with(|state| state.stranded(waiter.as_deref()));
        let waited = self.waited();
        Some(Err(self.shared.error(AcquireErrorKind::NoRuntime, self.caller, waited)))
    }

    fn refused(&self, why: Refusal, suspended: bool) -> AcquireError {
        self.shared.error(why.kind(suspended), self.caller, self.waited())
    }

    /// Nanoseconds since it began.
    fn waited(&self) -> u64 {
        self.shared.now().since(self.begun.expect("set at the first poll").at)
    }

    /// The deadline's timer, made when it is first needed. A thread that parks has none, nor has who
    /// waits where the pool's maintenance runs.
    fn poll_timer(&mut self, deadline: Time, cx: &mut Context<'_>) -> Poll<()> {
        if deadline == Time::NEVER || self.parks || self.at_home {
            return Poll::Pending;
        }
        let shared = self.shared;
        if self.timer.is_none() {
            let Some(home) = shared.handle() else {
                return Poll::Pending;
            };
            let _inside = Handle::try_current().is_err().then(|| home.enter());
            self.timer = Some(Box::pin(tokio::time::sleep_until(shared.instant(deadline))));
        }
        self.timer.as_mut().expect("just set").as_mut().poll(cx)
    }

    /// When a parked thread has to wake by itself.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.begun.map(|begun| begun.deadline).filter(|deadline| *deadline != Time::NEVER)
    }
}

/// What an acquire has tried before it gets in line, or looks again.
pub(super) enum Tried<M: Manager> {
    Not,
    Missed(Miss),
    /// It got what must not be used.
    Unfit(Box<Unfit<M>>),
}

/// A connection that must not be used, and what becomes of it.
pub(super) type Unfit<M> = (Box<Live<M>>, Fate);

/// Takes an idle connection, in one lock section.
#[inline]
fn try_at_once<M: Manager>(
    shared: &Arc<Shared<M>>,
    caller: &Caller,
    now: Time,
) -> Result<ManagedGuard<M>, Tried<M>> {
    if shared.has_queue() {
        return Err(Tried::Not);
    }
    let mut miss = Miss::MustWait;
    let live = shared.with_at(now, |state| state.acquire(caller, &mut miss));
    admit(shared, live.ok_or(Tried::Missed(miss))?, caller, 0).map_err(Tried::Unfit)
}

/// Looks at a connection once more, and makes it its user's.
#[inline]
fn admit<M: Manager>(
    shared: &Arc<Shared<M>>,
    mut live: Box<Live<M>>,
    caller: &Caller,
    waited: u64,
) -> Result<ManagedGuard<M>, Box<Unfit<M>>> {
    if let Err(fate) = judge_checkout(&mut live) {
        return Err(Box::new((live, fate)));
    }
    let hit = !std::mem::take(&mut live.token.fresh);
    if shared.is_observed() {
        let waited = Duration::from_nanos(waited);
        let Caller { operation, site, .. } = *caller;
        let pool = &shared.name;
        shared.tell(|m| m.acquired(&Acquired { pool, operation, site, waited, hit }));
    }
    Ok(ManagedGuard::new(live))
}

/// Whether the caller runs on this runtime.
fn is_here(home: Option<tokio::runtime::Id>) -> bool {
    Handle::try_current().is_ok_and(|here| Some(here.id()) == home)
}

/// The task that polls; in a runtime's `block_on`, which is no task, the thread.
fn whoever_polls() -> Who {
    match tokio::task::try_id() {
        Some(task) => Who::Task(task),
        None if Handle::try_current().is_ok() => this_thread(),
        None => Who::Unknown,
    }
}

/// The calling thread; to ask the standard library each time takes longer.
pub(super) fn this_thread() -> Who {
    std::thread_local! {
        static ID: std::thread::ThreadId = std::thread::current().id();
    }
    Who::Thread(ID.with(|id| *id))
}

impl<M: Manager> fmt::Debug for AcquireFuture<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture").field("site", &self.caller.site).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::ManagedPool;
    use crate::managed::nothing::Nothing;

    /// Shuttle found it: nobody woke who joined in that moment, and no timer did.
    #[tokio::test(start_paused = true)]
    async fn r22_a_runtime_lost_while_a_waiter_joins_is_noticed() {
        let pool = ManagedPool::builder(Nothing).max_size(1).build().unwrap();
        let mut future = pin!(pool.acquire().into_future());
        let mut cx = Context::from_waker(Waker::noop());
        let now = pool.shared.now();
        future.begun = Some(Begun { at: now, deadline: Time::NEVER });
        let joined = future.join(now, &mut cx, |state| {
            state.unbind();
            Some(1)
        });
        assert!(joined.is_none());
        assert!(future.look, "it has to look once more, since nobody will wake it");
    }

    #[test]
    fn r07_a_parked_thread_knows_when_to_wake_by_itself() {
        let pool = ManagedPool::new(Nothing);
        for (within, known) in [(Some(Duration::from_secs(1)), true), (None, false)] {
            let future = pool.acquire().within(within).into_future();
            assert!(future.deadline().is_none(), "it has not begun");
            let begun = pool.acquire().within(within).begun(this_thread(), pool.shared.now());
            assert_eq!(begun.deadline().is_some(), known);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r22_an_acquire_binds_its_pool_three_times_at_most() {
        let pool = ManagedPool::new(Nothing);
        let mut future = pin!(pool.acquire().into_future());
        let now = pool.shared.now();
        future.begun = Some(Begun { at: now, deadline: Time::NEVER });
        let bound: Vec<_> = (0..4).map(|_| future.bind().is_none()).collect();
        assert_eq!(bound, [true, true, true, false]);
    }

    #[test]
    fn r22_a_thread_whose_runtime_ends_gets_one_of_the_pools_own() {
        let pool = ManagedPool::new(Nothing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let mut future = pool.acquire().begun(this_thread(), pool.shared.now());
        assert!(future.bind().is_none());
        assert_eq!(pool.shared.handle().unwrap().id(), runtime.handle().id());
        pool.shared.lose_runtime(1);
        assert!(future.bind().is_none());
        assert_ne!(pool.shared.handle().unwrap().id(), runtime.handle().id());
    }
}
