//! Time: it stands still until the test's clock task moves it to the next timer.
//!
//! Shuttle picks that task like any other, so a timer may fire between any two steps of the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Add;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
pub use std::time::Duration;

/// A timer this far away never fires.
const NEVER: Duration = Duration::from_secs(1 << 30);

std::thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::default();
}

#[derive(Default)]
struct Clock {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
}

/// Starts at zero without a timer: for the begin of an execution.
pub fn reset() {
    let old = CLOCK.take();
    drop(old);
}

/// Moves time to the next timer and fires it. False if there is none.
pub fn advance() -> bool {
    let waker = CLOCK.with_borrow_mut(|clock| {
        let timer = clock.timers.first_entry().filter(|timer| timer.key().0 < NEVER)?;
        let ((due, _), waker) = timer.remove_entry();
        clock.now = clock.now.max(due);
        Some(waker)
    });
    waker.map(Waker::wake).is_some()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Self {
        Self(CLOCK.with_borrow(|clock| clock.now))
    }

    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

#[derive(Debug)]
pub struct Sleep {
    deadline: Duration,
    timer: Option<(Duration, u64)>,
}

pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline: deadline.0, timer: None }
}

impl Sleep {
    fn forget(&mut self, clock: &mut Clock) -> Option<Waker> {
        self.timer.take().and_then(|timer| clock.timers.remove(&timer))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (done, old) = CLOCK.with_borrow_mut(|clock| {
            let old = self.forget(clock);
            let done = clock.now >= self.deadline;
            if !done {
                let timer = (self.deadline, clock.next);
                clock.next += 1;
                clock.timers.insert(timer, cx.waker().clone());
                self.timer = Some(timer);
            }
            (done, old)
        });
        drop(old);
        if done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let old = CLOCK.with_borrow_mut(|clock| self.forget(clock));
        drop(old);
    }
}

pub mod error {
    #[derive(Debug)]
    pub struct Elapsed;
}

pub async fn timeout<F: Future>(
    duration: Duration,
    future: F,
) -> Result<F::Output, error::Elapsed> {
    let deadline = Instant::now().checked_add(duration).unwrap_or(Instant(Duration::MAX));
    timeout_at(deadline, future).await
}

pub async fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> Result<F::Output, error::Elapsed> {
    let (mut future, mut timer) = (pin!(future), pin!(sleep_until(deadline)));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        timer.as_mut().poll(cx).map(|()| Err(error::Elapsed))
    })
    .await
}
