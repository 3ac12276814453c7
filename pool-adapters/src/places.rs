//! [`Places`]: so many may pass at once, and the others wait in the order in which they came.
//!
//! A semaphore, but for one thing: a turn that came to a future which nobody polls (a branch of a
//! `select!` left behind) goes to the next in the queue after a while.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep};

/// How long a turn waits to be noticed: as long as in our own pool.
const NOTICE: Duration = Duration::from_millis(200);

pub(crate) struct Places(Mutex<Queue>);

/// While somebody is in `waiting`, nothing is free.
struct Queue {
    free: usize,
    /// By their rank. Those whose turn was taken back are missing until they are polled again.
    waiting: BTreeMap<u64, Waker>,
    /// Those who have a place since then, and have not noticed.
    served: BTreeMap<u64, Instant>,
    next: u64,
    /// Whom to wake when the lock is released.
    wake: Vec<Waker>,
}

/// A place. Dropping it lets the next in.
pub(crate) struct Permit(Arc<Places>);

impl Places {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: count,
            waiting: BTreeMap::new(),
            served: BTreeMap::new(),
            next: 0,
            wake: Vec::new(),
        })))
    }

    /// Takes a place, if one is free and nobody waits for it.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let taken = self.change(|queue| {
            queue.take_back();
            queue.take_free()
        });
        taken.then(|| Permit(self.clone()))
    }

    /// Waits for a place. Dropping the future gives up the rank, and passes on the turn.
    pub(crate) async fn take(self: &Arc<Self>) -> Permit {
        let mut rank = Rank { places: self, key: None };
        let mut look_again = pin!(None);
        poll_fn(|cx| {
            // A loop that always finds one must not keep its thread for itself.
            let coop = ready!(poll_proceed(cx));
            let polled = rank.poll(cx, look_again.as_mut());
            if polled.is_ready() {
                coop.made_progress();
            }
            polled
        })
        .await
    }

    /// Does this under the lock, and then wakes whom it served.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut queue);
        let wake = std::mem::take(&mut queue.wake);
        drop(queue);
        wake.into_iter().for_each(Waker::wake);
        out
    }
}

impl Queue {
    /// Gives free places to those who wait.
    fn serve(&mut self) {
        while self.free > 0
            && let Some((key, waker)) = self.waiting.pop_first()
        {
            self.free -= 1;
            self.served.insert(key, Instant::now());
            self.wake.push(waker);
        }
    }

    /// Passes on the places that were not noticed in time.
    fn take_back(&mut self) {
        let before = self.served.len();
        self.served.retain(|_, since| since.elapsed() < NOTICE);
        self.free += before - self.served.len();
        self.serve();
    }

    fn take_free(&mut self) -> bool {
        let taken = self.free > 0;
        self.free -= usize::from(taken);
        taken
    }
}

/// A rank in the queue, given up when it is dropped.
struct Rank<'a> {
    places: &'a Arc<Places>,
    key: Option<u64>,
}

impl Rank<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut look_again: Pin<&mut Option<Sleep>>,
    ) -> Poll<Permit> {
        let served = self.places.change(|queue| {
            let key = *self.key.get_or_insert_with(|| {
                queue.next += 1;
                queue.next
            });
            if queue.served.remove(&key).is_some() {
                return true;
            }
            queue.take_back();
            let served = queue.served.remove(&key).is_some() || queue.take_free();
            if !served {
                queue.waiting.insert(key, cx.waker().clone());
            }
            served
        });
        if served {
            self.key = None;
            return Poll::Ready(Permit(self.places.clone()));
        }
        // Somebody before this one may not notice, and then nothing else would wake it.
        loop {
            if look_again.is_none() {
                look_again.set(Some(sleep(NOTICE)));
            }
            let Some(due) = look_again.as_mut().as_pin_mut() else { return Poll::Pending };
            match due.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => look_again.set(None),
            }
        }
    }
}

impl Drop for Rank<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        self.places.change(|queue| {
            queue.waiting.remove(&key);
            queue.free += usize::from(queue.served.remove(&key).is_some());
            queue.serve();
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.change(|queue| {
            queue.free += 1;
            queue.serve();
        });
    }
}
