//! deadpool.

use deadpool::managed::{Metrics, Object, RecycleError, RecycleResult};

use super::{Pool, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct Deadpool(deadpool::managed::Pool<Manager>);

pub(crate) struct Manager(Server);

impl deadpool::managed::Manager for Manager {
    type Type = Session;
    type Error = Gone;

    async fn create(&self) -> Result<Session, Gone> {
        self.0.connect().await
    }
    /// As its own managers do with "fast": what the driver knows.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Gone> {
        if session.has_failed() { Err(RecycleError::Backend(Gone)) } else { Ok(()) }
    }
}

impl Pool for Deadpool {
    const NAME: &'static str = "deadpool";
    type Guard = Object<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let pool = deadpool::managed::Pool::builder(Manager(server.clone()))
            .max_size(settings.max as usize)
            .wait_timeout(Some(settings.timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .expect("the settings are valid");
        // It has no minimum.
        let mut held = Vec::new();
        for _ in 0..settings.min {
            held.push(pool.get().await.expect("the server is there"));
        }
        Self(pool)
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.get().await.ok()
    }
}
