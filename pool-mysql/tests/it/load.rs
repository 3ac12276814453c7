//! Users of a pool who ask and ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pool_mysql::{MySqlError, MySqlPool};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::soon;

/// Asks and asks, until told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// From here on failures count.
    counts: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(pool: &MySqlPool, tasks: u32) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            counts: Arc::default(),
            served: Arc::default(),
            failed: Arc::default(),
            tasks: JoinSet::new(),
        };
        for nonce in 0..tasks {
            let (pool, stop, counts) = (pool.clone(), load.stop.clone(), load.counts.clone());
            let (served, failed) = (load.served.clone(), load.failed.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began_after = counts.load(Ordering::SeqCst);
                    match ask(&pool, nonce).await {
                        Ok(()) if counts.load(Ordering::SeqCst) => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(()) => {}
                        Err(error) if began_after => {
                            eprintln!("failed after: {error}");
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => sleep(Duration::from_millis(1)).await,
                    }
                }
            });
        }
        load
    }

    /// From here on failures count.
    pub(crate) fn count(&self) {
        self.counts.store(true, Ordering::SeqCst);
    }

    /// Waits until so many more have been served.
    pub(crate) async fn served(&self, many: u32) {
        let until = self.served.load(Ordering::Relaxed) + many;
        while self.served.load(Ordering::Relaxed) < until {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How often it was served, and how often not, since failures count.
    pub(crate) async fn end(mut self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = soon(self.tasks.join_next()).await {
            ended.unwrap();
        }
        (self.served.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// One question with one right answer.
pub(crate) async fn ask(pool: &MySqlPool, nonce: u32) -> Result<(), MySqlError> {
    let mut connection = pool.acquire().await?;
    let answer: Option<u32> = connection.exec_first("SELECT ?", (nonce,)).await?;
    assert_eq!(answer, Some(nonce));
    Ok(())
}
