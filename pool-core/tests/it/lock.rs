//! R15: nothing of a user's runs under the pool's lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

use pool_core::{
    AcquireFailed, Acquired, Closed, Condition, ConnectContext, ManagedPool, Manager, Metrics,
    Released, Validation,
};

use crate::support::*;

/// Looks at the pool from everywhere: under the pool's lock that would never return.
struct Nosy;

static NOSY: OnceLock<ManagedPool<Nosy>> = OnceLock::new();
static LOOKS: AtomicU64 = AtomicU64::new(0);

fn look() {
    if let Some(pool) = NOSY.get() {
        assert!(pool.snapshot().open() <= 2);
        LOOKS.fetch_add(1, Ordering::Relaxed);
    }
}

struct NosyConnection;

impl Drop for NosyConnection {
    fn drop(&mut self) {
        look();
    }
}

impl Manager for Nosy {
    type Connection = NosyConnection;
    type Error = std::io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<NosyConnection, Self::Error> {
        look();
        Ok(NosyConnection)
    }
    async fn ping(&self, _: &mut NosyConnection) -> Result<(), Self::Error> {
        look();
        Ok(())
    }
    fn condition(&self, _: &mut NosyConnection) -> Condition {
        look();
        Condition::Clean
    }
}

impl Metrics for Nosy {
    fn acquired(&self, _: &Acquired<'_>) {
        look();
    }
    fn released(&self, _: &Released<'_>) {
        look();
    }
    fn closed(&self, _: &Closed<'_>) {
        look();
    }
    fn acquire_failed(&self, _: &AcquireFailed<'_>) {
        look();
    }
}

struct NosyWaker;

impl Wake for NosyWaker {
    fn wake(self: Arc<Self>) {
        look();
    }
}

impl Drop for NosyWaker {
    fn drop(&mut self) {
        look();
    }
}

#[test]
fn r15_nothing_of_a_users_runs_under_the_lock() {
    live(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let pool = ManagedPool::builder(Nosy)
                .max_size(2)
                .metrics(Arc::new(Nosy))
                .validation(Validation::Always)
                .before_acquire(|_| {
                    look();
                    Ok(())
                })
                .after_release(|_| {
                    look();
                    Ok(())
                })
                .build()
                .unwrap();
            let pool = NOSY.get_or_init(|| pool);
            for _ in 0..50 {
                let (first, second) = (pool.acquire().await, pool.acquire().await);
                let mut waiting = Box::pin(pool.acquire().into_future());
                for _ in 0..2 {
                    let waker = Waker::from(Arc::new(NosyWaker));
                    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                }
                first.unwrap().invalidate();
                drop((second, waiting));
                assert!(pool.acquire().within(std::time::Duration::ZERO).await.is_err());
                pool.retain(|_| {
                    look();
                    true
                });
            }
            pool.close(secs(5)).await;
        });
        assert!(LOOKS.load(Ordering::Relaxed) > 500);
    });
}
