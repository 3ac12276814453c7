//! bb8.

use super::{Pool, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct Bb8(bb8::Pool<Manager>);

#[derive(Debug)]
pub(crate) struct Manager(Server);

impl bb8::ManageConnection for Manager {
    type Connection = Session;
    type Error = Gone;

    async fn connect(&self) -> Result<Session, Gone> {
        self.0.connect().await
    }
    async fn is_valid(&self, session: &mut Session) -> Result<(), Gone> {
        session.ping().await
    }
    fn has_broken(&self, session: &mut Session) -> bool {
        session.has_failed()
    }
}

impl Pool for Bb8 {
    const NAME: &'static str = "bb8";
    type Guard = bb8::PooledConnection<'static, Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let builder = bb8::Pool::builder().max_size(settings.max).min_idle(settings.min);
        let mut builder = builder.connection_timeout(settings.timeout);
        if let Some(lifetime) = settings.lifetime {
            // It looks every 30 s unless it is told otherwise.
            builder = builder.max_lifetime(lifetime).reaper_rate(lifetime / 30);
        }
        Self(builder.build(Manager(server.clone())).await.expect("the server is there"))
    }

    async fn get(&self) -> Option<Self::Guard> {
        self.0.get_owned().await.ok()
    }
}
