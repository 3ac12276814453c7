//! fast_pool.

use super::{Pool, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct FastPool(fast_pool::Pool<Manager>, Settings);

pub(crate) struct Manager(Server);

/// Its errors are made from text.
#[derive(Debug)]
pub(crate) struct Failed;

impl From<&str> for Failed {
    fn from(_: &str) -> Self {
        Self
    }
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self
    }
}

impl fast_pool::Manager for Manager {
    type Connection = Session;
    type Error = Failed;

    async fn connect(&self) -> Result<Session, Failed> {
        Ok(self.0.connect().await?)
    }
    async fn check(&self, session: &mut Session) -> Result<(), Failed> {
        Ok(session.ping().await?)
    }
}

impl Pool for FastPool {
    const NAME: &'static str = "fast_pool";
    type Guard = fast_pool::ConnectionGuard<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let pool = fast_pool::Pool::new(Manager(server.clone()));
        pool.set_max_open(u64::from(settings.max));
        let mut held = Vec::new();
        for _ in 0..settings.min {
            held.push(pool.get().await.expect("the server is there"));
        }
        Self(pool, settings)
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.get_timeout(Some(self.1.timeout)).await.ok()
    }
}
