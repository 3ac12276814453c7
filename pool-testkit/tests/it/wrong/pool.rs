//! Wrong pools: a correct one behind a front with one flaw.

use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pool_core::{
    AcquireError, AcquireErrorKind, BoxFuture, CloseReport, Guarded, ManagedGuard, ManagedPool,
    Manager, Pool, PoolGuard, Request, Snapshot,
};
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum PoolFlaw {
    None,
    /// Waits without limit, whatever it was told.
    NoDeadline,
    ZeroIsNone,
    NoneIsDefault,
    /// Asks again and again instead of queueing.
    AnyOrder,
    /// Gives back in a task, some time later.
    ReturnsLate,
    /// What an acquire was given that is dropped is lost.
    LosesCancelled,
    /// A dropped acquire takes connects with it.
    CancelsConnects,
    /// The error does not say what the last connect failed by.
    HidesCause,
    IgnoresInvalidate,
    Poisoned,
    NeverCloses,
    CloseHasNoDeadline,
    LyingSnapshot,
}

pub(crate) struct WrongPool<M: Manager> {
    inner: ManagedPool<M>,
    flaw: PoolFlaw,
    poisoned: Arc<AtomicBool>,
}

impl<M: Manager> WrongPool<M> {
    pub(crate) fn new(inner: ManagedPool<M>, flaw: PoolFlaw) -> Self {
        Self { inner, flaw, poisoned: Arc::default() }
    }

    async fn acquire(&self, request: Request) -> Result<ManagedGuard<M>, AcquireError> {
        let within = request.timeout().unwrap_or_else(|| self.inner.config().acquire_timeout);
        let within = match self.flaw {
            PoolFlaw::NoDeadline => None,
            PoolFlaw::ZeroIsNone if within == Some(Duration::ZERO) => None,
            PoolFlaw::NoneIsDefault if within.is_none() => Some(Duration::from_millis(100)),
            _ => within,
        };
        let site = request.site();
        let mut acquire = self.inner.acquire().at(site).within(within);
        if let Some(operation) = request.operation_name() {
            acquire = acquire.operation(operation);
        }
        match self.flaw {
            PoolFlaw::AnyOrder => self.ask_again_and_again(site, within).await,
            PoolFlaw::LosesCancelled => {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let inner = self.inner.clone();
                tokio::spawn(async move {
                    let outcome = inner.acquire().at(site).within(within).await;
                    if let Err(Ok(lost)) = sender.send(outcome) {
                        let _lost = ManuallyDrop::new(lost);
                    }
                });
                receiver.await.expect("it answers")
            }
            PoolFlaw::CancelsConnects => {
                let mut cancel = Cancel { pool: &self.inner, armed: true };
                let outcome = acquire.await;
                cancel.armed = false;
                outcome
            }
            _ => acquire.await,
        }
    }

    async fn ask_again_and_again(
        &self,
        site: &'static Location<'static>,
        within: Option<Duration>,
    ) -> Result<ManagedGuard<M>, AcquireError> {
        let begun = Instant::now();
        loop {
            // Who comes later looks more often.
            let pause = Duration::from_millis(10);
            match self.inner.acquire().at(site).within(Duration::ZERO).await {
                Err(error) if error.kind() == AcquireErrorKind::TimedOut => {
                    if within.is_some_and(|within| begun.elapsed() >= within) {
                        return Err(error);
                    }
                    let left =
                        within.map_or(pause, |within| within.saturating_sub(begun.elapsed()));
                    sleep(left.min(pause)).await;
                }
                outcome => return outcome,
            }
        }
    }
}

struct Cancel<'a, M: Manager> {
    pool: &'a ManagedPool<M>,
    armed: bool,
}

impl<M: Manager> Drop for Cancel<'_, M> {
    fn drop(&mut self) {
        if self.armed {
            self.pool.invalidate_all();
        }
    }
}

impl<M: Manager> Pool for WrongPool<M> {
    type Connection = M::Connection;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<M::Connection>, AcquireError>> {
        Box::pin(async move {
            let snapshot = || Pool::snapshot(&self.inner);
            if self.poisoned.load(Ordering::Relaxed) {
                let kind = AcquireErrorKind::Panicked;
                return Err(AcquireError::foreign(kind, Duration::ZERO, snapshot(), vec![], None));
            }
            match self.acquire(request).await {
                Ok(guard) => Ok(PoolGuard::new(WrongGuard { guard: Some(guard), flaw: self.flaw })),
                Err(error) => {
                    let panicked = error.kind() == AcquireErrorKind::Panicked;
                    if self.flaw == PoolFlaw::Poisoned && panicked {
                        self.poisoned.store(true, Ordering::Relaxed);
                    }
                    if self.flaw == PoolFlaw::HidesCause {
                        let (kind, waited) = (error.kind(), error.waited());
                        let holders = error.holders().to_vec();
                        return Err(AcquireError::foreign(kind, waited, snapshot(), holders, None));
                    }
                    Err(error)
                }
            }
        })
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.inner.snapshot();
        if self.flaw == PoolFlaw::LyingSnapshot {
            snapshot.idle += snapshot.in_use;
            snapshot.in_use = 0;
        }
        snapshot
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        match self.flaw {
            PoolFlaw::NeverCloses => {
                Box::pin(async move { CloseReport::foreign(Duration::ZERO, 0, 0, vec![]) })
            }
            PoolFlaw::CloseHasNoDeadline => Box::pin(self.inner.close(Duration::MAX)),
            _ => Box::pin(self.inner.close(within)),
        }
    }
}

struct WrongGuard<M: Manager> {
    guard: Option<ManagedGuard<M>>,
    flaw: PoolFlaw,
}

impl<M: Manager> Guarded<M::Connection> for WrongGuard<M> {
    fn connection(&self) -> &M::Connection {
        self.guard.as_ref().expect("there until it is dropped")
    }
    fn connection_mut(&mut self) -> &mut M::Connection {
        self.guard.as_mut().expect("there until it is dropped")
    }
    fn invalidate(mut self: Box<Self>) {
        if self.flaw != PoolFlaw::IgnoresInvalidate
            && let Some(guard) = self.guard.take()
        {
            guard.invalidate();
        }
    }
}

impl<M: Manager> Drop for WrongGuard<M> {
    fn drop(&mut self) {
        if self.flaw == PoolFlaw::ReturnsLate
            && let Some(guard) = self.guard.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(async move {
                tokio::task::yield_now().await;
                drop(guard);
            }));
        }
    }
}
