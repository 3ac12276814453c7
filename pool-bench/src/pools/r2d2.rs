//! r2d2, for threads.

use super::{Blocking, Settings};
use crate::server::{Gone, Server, Session};

#[derive(Clone)]
pub(crate) struct R2d2(r2d2::Pool<Manager>);

pub(crate) struct Manager(Server);

impl r2d2::ManageConnection for Manager {
    type Connection = Session;
    type Error = Gone;

    fn connect(&self) -> Result<Session, Gone> {
        self.0.connect_blocking()
    }
    fn is_valid(&self, session: &mut Session) -> Result<(), Gone> {
        if session.has_failed() { Err(Gone) } else { Ok(()) }
    }
    fn has_broken(&self, session: &mut Session) -> bool {
        session.has_failed()
    }
}

impl Blocking for R2d2 {
    const BLOCKING: &'static str = "r2d2";
    type Blocked = r2d2::PooledConnection<Manager>;

    fn new_blocking(server: &Server, settings: Settings) -> Self {
        let builder = r2d2::Pool::builder().max_size(settings.max).min_idle(Some(settings.min));
        let builder = builder.connection_timeout(settings.timeout);
        Self(builder.build(Manager(server.clone())).expect("the server is there"))
    }

    fn get_blocking(&self) -> Option<Self::Blocked> {
        self.0.get().ok()
    }
}
