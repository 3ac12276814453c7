//! Closing a pool: nothing more goes out, what is out is awaited, what stays out is named.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::shared::Shared;
use crate::Manager;
use crate::config::FAR;
use crate::holders::Holder;
use crate::sync::Arc;

/// How the closing of a pool went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloseReport {
    /// How long it took.
    pub took: Duration,
    /// How many connections were closed meanwhile.
    pub closed: u64,
    /// How many had not come to an end at the deadline.
    pub abandoned: usize,
    /// Who still holds connections.
    pub holders: Vec<Holder>,
}

impl CloseReport {
    /// Whether everything was closed in time.
    pub fn is_complete(&self) -> bool {
        self.abandoned == 0
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed {} connections in {:?}", self.closed, self.took)?;
        if self.abandoned > 0 {
            write!(f, "; abandoned {}", self.abandoned)?;
        }
        for holder in &self.holders {
            write!(f, "; held: {holder}")?;
        }
        Ok(())
    }
}

impl<M: Manager> Shared<M> {
    /// From now on nothing is handed out.
    pub(super) fn shut(self: &Arc<Self>) {
        self.with(|state| state.shut());
        self.shut.send_replace(true);
    }

    /// Waits until no slot is taken.
    pub(super) async fn emptied(&self) {
        self.until(|shared| shared.read(|state| state.open() == 0).then_some(())).await;
    }

    /// Waits for this long at most, by the caller's clock or else the pool's. Where neither has a
    /// runtime there is nothing to wait by: it looks once.
    pub(super) async fn limited<T>(
        &self,
        within: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let deadline = (within < FAR).then(|| Instant::now() + within);
        let (mut future, mut timer) = (pin!(future), None);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(found) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(found));
            }
            let Some(home) = Handle::try_current().ok().or_else(|| self.handle()) else {
                return Poll::Ready(None);
            };
            let Some(deadline) = deadline else { return Poll::Pending };
            // A timer of a runtime that has ended panics; the pool may have another by now.
            if timer.as_ref().is_none_or(|(made_on, _)| *made_on != home.id()) {
                let _inside = home.enter();
                timer = Some((home.id(), Box::pin(sleep_until(deadline))));
            }
            let (_, timer) = timer.as_mut().expect("just made");
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Waits until a look at the state finds something; it looks again at each change.
    pub(super) async fn until<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match look(self) {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }
}

/// Closes a pool; begins at once, also if the future is never polled.
pub(super) fn close<M: Manager>(
    shared: Arc<Shared<M>>,
    within: Duration,
) -> impl Future<Output = CloseReport> + Send + 'static {
    let begun = Instant::now();
    let before = shared.read(|state| state.ended_so_far());
    shared.shut();
    async move {
        let _ = shared.limited(within, shared.emptied()).await;
        let (abandoned, after) = shared.read(|state| (state.open(), state.ended_so_far()));
        CloseReport {
            took: begun.elapsed(),
            closed: after - before,
            abandoned,
            holders: shared.holders(),
        }
    }
}
