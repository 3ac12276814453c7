//! What stands in front of a foreign pool: a queue, deadlines, an end, and the books.
//!
//! As many callers are let through as the pool has connections, first come, first served. So the
//! foreign pool never has a queue of its own: nobody overtakes, nobody waits where the end of the
//! pool is not heard, and blocking pools need at most a thread for each connection.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pool_core::{
    AcquireError, AcquireErrorKind, BoxError, CloseReport, Counts, Holder, Request, Snapshot,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::places::{Permit, Places};

pub(crate) struct Front {
    name: String,
    max_size: u32,
    /// How long an acquire takes at most that does not say; also how long a try may test.
    timeout: Duration,
    places: Arc<Places>,
    closed: watch::Sender<bool>,
    /// A place was given back.
    came_back: Notify,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    counts: Counts,
    waiting: BTreeMap<u64, Instant>,
    holders: BTreeMap<u64, Checkout>,
    /// Places taken: by those who hold a connection, or are getting one.
    taken: usize,
    next: u64,
}

#[derive(Clone, Copy)]
struct Checkout {
    site: &'static Location<'static>,
    operation: Option<&'static str>,
    since: Instant,
}

impl Front {
    pub(crate) fn new(name: impl Into<String>, max_size: u32, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            max_size,
            timeout,
            places: Places::new(max_size as usize),
            closed: watch::Sender::new(false),
            came_back: Notify::new(),
            books: Mutex::default(),
        })
    }

    /// Somebody asks.
    pub(crate) fn ask(self: &Arc<Self>, request: Request) -> Asking {
        let begun = Instant::now();
        let limit = request.timeout().unwrap_or(Some(self.timeout));
        let once = limit == Some(Duration::ZERO);
        let limit = if once { Some(self.timeout) } else { limit };
        let mut books = self.books();
        let key = books.next;
        books.next += 1;
        books.waiting.insert(key, begun);
        drop(books);
        Asking {
            front: self.clone(),
            key,
            request,
            begun,
            deadline: limit.and_then(|limit| begun.checked_add(limit)),
            once,
        }
    }

    /// What the front knows; what is open in the pool is for the caller to fill in.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let books = self.books();
        let mut snapshot = Snapshot::foreign(&*self.name, self.max_size);
        snapshot.waiting = books.waiting.len() as u32;
        snapshot.oldest_waiter = books.waiting.values().min().map(Instant::elapsed);
        snapshot.in_use = books.holders.len() as u32;
        snapshot.closed = *self.closed.borrow();
        snapshot.counts = books.counts;
        snapshot
    }

    /// From now on everybody is refused.
    pub(crate) fn shut(&self) {
        self.closed.send_replace(true);
    }

    /// How many hold a connection.
    pub(crate) fn held(&self) -> usize {
        self.books().holders.len()
    }

    /// Waits until every place was given back.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut came_back = pin!(self.came_back.notified());
            came_back.as_mut().enable();
            if self.books().taken == 0 {
                return;
            }
            came_back.await;
        }
    }

    /// How the closing went that ended this many spare connections, and began when so many were
    /// held.
    pub(crate) fn report(&self, begun: Instant, spare: u64, held: usize) -> CloseReport {
        let holders = self.holders();
        let left = holders.iter().map(|holder| holder.count).sum::<usize>();
        let closed = spare + held.saturating_sub(left) as u64;
        CloseReport::foreign(begun.elapsed(), closed, self.books().taken, holders)
    }

    /// One line for each call site, most connections first.
    fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<Holder> = Vec::new();
        for one in self.books().holders.values() {
            let held = one.since.elapsed();
            let same =
                |holder: &&mut Holder| holder.site == one.site && holder.operation == one.operation;
            match holders.iter_mut().find(same) {
                Some(holder) => {
                    holder.count += 1;
                    holder.longest = holder.longest.max(held);
                }
                None => holders.push(Holder::new(one.site, one.operation, 1, held)),
            }
        }
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.count));
        holders
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acquire that has no outcome yet. Dropped so, it was cancelled.
pub(crate) struct Asking {
    front: Arc<Front>,
    key: u64,
    request: Request,
    begun: Instant,
    pub(crate) deadline: Option<Instant>,
    /// Nobody is waited for; only a connection that is there is proven.
    pub(crate) once: bool,
}

impl Asking {
    /// Waits for a place.
    pub(crate) async fn place(&self) -> Result<Place, AcquireErrorKind> {
        let places = &self.front.places;
        let permit = match self.once {
            true => places.try_take().ok_or(AcquireErrorKind::TimedOut)?,
            false => places.take().await,
        };
        self.front.books().taken += 1;
        Ok(Place { front: self.front.clone(), permit: Some(permit) })
    }

    /// Does this, until the time is up or the pool is closed.
    pub(crate) async fn limited<T>(
        &self,
        work: impl Future<Output = Result<T, AcquireErrorKind>>,
    ) -> Result<T, AcquireErrorKind> {
        let mut closed = self.front.closed.subscribe();
        let mut closed = pin!(closed.wait_for(|closed| *closed));
        let mut work = pin!(work);
        let either = std::future::poll_fn(|cx| match closed.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(Err(AcquireErrorKind::Closed)),
            Poll::Pending => work.as_mut().poll(cx),
        });
        match self.deadline {
            None => either.await,
            Some(deadline) => tokio::time::timeout_at(deadline, either)
                .await
                .unwrap_or(Err(AcquireErrorKind::TimedOut)),
        }
    }

    /// It got a connection.
    pub(crate) fn served(self, place: Place) -> Held {
        let checkout = Checkout {
            site: self.request.site(),
            operation: self.request.operation_name(),
            since: Instant::now(),
        };
        let mut books = self.front.books();
        books.waiting.remove(&self.key);
        books.counts.acquired += 1;
        books.holders.insert(self.key, checkout);
        drop(books);
        Held { key: self.key, place }
    }

    /// It got none.
    pub(crate) fn refused(
        self,
        kind: AcquireErrorKind,
        look: impl FnOnce() -> Snapshot,
        last_error: Option<(BoxError, Duration)>,
    ) -> AcquireError {
        let mut books = self.front.books();
        books.waiting.remove(&self.key);
        let count = match kind {
            AcquireErrorKind::TimedOut => &mut books.counts.timed_out,
            AcquireErrorKind::Closed => &mut books.counts.closed,
            _ => &mut books.counts.failed,
        };
        *count += 1;
        drop(books);
        let waited = self.begun.elapsed();
        AcquireError::foreign(kind, waited, look(), self.front.holders(), last_error)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut books = self.front.books();
        if books.waiting.remove(&self.key).is_some() {
            books.counts.cancelled += 1;
        }
    }
}

/// Room for one connection, whether one is there or is being got. Dropping it lets the next in.
pub(crate) struct Place {
    front: Arc<Front>,
    permit: Option<Permit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        self.front.books().taken -= 1;
        self.front.came_back.notify_waiters();
    }
}

/// Somebody holds a connection, and a place with it, until this is dropped.
pub(crate) struct Held {
    key: u64,
    place: Place,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.place.front.books().holders.remove(&self.key);
    }
}
