//! mobc.

use super::{Pool, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct Mobc(mobc::Pool<Manager>);

pub(crate) struct Manager(Server);

#[async_trait::async_trait]
impl mobc::Manager for Manager {
    type Connection = Session;
    type Error = Gone;

    async fn connect(&self) -> Result<Session, Gone> {
        self.0.connect().await
    }
    async fn check(&self, mut session: Session) -> Result<Session, Gone> {
        session.ping().await.map(|()| session)
    }
    fn validate(&self, session: &mut Session) -> bool {
        !session.has_failed()
    }
}

impl Pool for Mobc {
    const NAME: &'static str = "mobc";
    type Guard = mobc::Connection<Manager>;

    async fn new(server: &Server, settings: Settings) -> Self {
        let max = u64::from(settings.max);
        let mut builder = mobc::Pool::builder().max_open(max).max_idle(max);
        if let Some(lifetime) = settings.lifetime {
            builder = builder.max_lifetime(Some(lifetime)).clean_rate(lifetime / 30);
        }
        let pool = builder.get_timeout(Some(settings.timeout)).build(Manager(server.clone()));
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
