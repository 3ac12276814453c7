//! [`Inside`]: a pool of wrapped connections as a pool of what they wrap, which the suite works with.

use std::time::Duration;

use pool_adapters::{Marked, R2d2Connection};
use pool_core::{
    AcquireError, BoxFuture, CloseReport, Guarded, Pool, PoolGuard, Request, Snapshot,
};

/// A connection around another.
pub(super) trait Wrapped: Send + 'static {
    type Inner: Send + 'static;
    fn inner(&self) -> &Self::Inner;
    fn inner_mut(&mut self) -> &mut Self::Inner;
}

impl<C: Send + 'static> Wrapped for Marked<C> {
    type Inner = C;
    fn inner(&self) -> &C {
        self
    }
    fn inner_mut(&mut self) -> &mut C {
        self
    }
}

impl<C: Send + 'static> Wrapped for R2d2Connection<Marked<C>> {
    type Inner = C;
    fn inner(&self) -> &C {
        self
    }
    fn inner_mut(&mut self) -> &mut C {
        self
    }
}

pub(super) struct Inside<P>(pub(super) P);

impl<P: Pool<Connection: Wrapped>> Pool for Inside<P> {
    type Connection = <P::Connection as Wrapped>::Inner;

    fn acquire_with(
        &self,
        request: Request,
    ) -> BoxFuture<'_, Result<PoolGuard<Self::Connection>, AcquireError>> {
        Box::pin(async move {
            let guard = self.0.acquire_with(request).await?;
            Ok(PoolGuard::new(InsideGuard(guard)))
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, CloseReport> {
        self.0.close(within)
    }
}

struct InsideGuard<W>(PoolGuard<W>);

impl<W: Wrapped> Guarded<W::Inner> for InsideGuard<W> {
    fn connection(&self) -> &W::Inner {
        self.0.inner()
    }
    fn connection_mut(&mut self) -> &mut W::Inner {
        self.0.inner_mut()
    }
    fn invalidate(self: Box<Self>) {
        self.0.invalidate();
    }
}
