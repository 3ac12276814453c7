//! What a pool could be at the least: no lifetimes, no failures, no close, no statistics.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Pool, Settings};
use crate::server::{Server, Session};

/// A queue of sessions. Who finds it empty has to come again.
#[derive(Clone)]
pub(crate) struct Bare(Arc<ArrayQueue<Session>>);

/// The same behind tokio's semaphore, which is fair.
#[derive(Clone)]
pub(crate) struct Semaphored(Bare, Arc<Semaphore>);

pub(crate) struct Guard {
    session: Option<Session>,
    queue: Bare,
    // Goes after the session is back.
    _permit: Option<OwnedSemaphorePermit>,
}

async fn queue(server: &Server, settings: Settings) -> Bare {
    let queue = ArrayQueue::new(settings.max as usize);
    for _ in 0..settings.max {
        queue.push(server.connect().await.expect("the server is there")).expect("there is room");
    }
    Bare(Arc::new(queue))
}

impl Bare {
    fn take(&self, permit: Option<OwnedSemaphorePermit>) -> Option<Guard> {
        let session = Some(self.0.pop()?);
        Some(Guard { session, queue: self.clone(), _permit: permit })
    }
}

impl Pool for Bare {
    const NAME: &'static str = "floor ArrayQueue";
    type Guard = Guard;

    async fn new(server: &Server, settings: Settings) -> Self {
        queue(server, settings).await
    }

    async fn get(&self) -> Option<Guard> {
        self.take(None)
    }
}

impl Pool for Semaphored {
    const NAME: &'static str = "floor Semaphore + ArrayQueue";
    type Guard = Guard;

    async fn new(server: &Server, settings: Settings) -> Self {
        Self(queue(server, settings).await, Arc::new(Semaphore::new(settings.max as usize)))
    }

    async fn get(&self) -> Option<Guard> {
        let permit = self.1.clone().acquire_owned().await.ok()?;
        self.0.take(Some(permit))
    }
}

impl Deref for Guard {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.queue.0.push(session).expect("it came from there");
        }
    }
}
