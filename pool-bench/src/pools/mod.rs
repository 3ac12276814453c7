//! [`Pool`]: the pools that are compared, each at its defaults but for sizes and timeout.

mod bb8;
mod deadpool;
mod fast_pool;
mod floor;
mod mobc;
mod ours;
mod r2d2;
mod sqlx;

use std::future::Future;
use std::ops::DerefMut;
use std::time::Duration;

pub(crate) use self::bb8::Bb8;
pub(crate) use self::deadpool::Deadpool;
pub(crate) use self::fast_pool::FastPool;
pub(crate) use self::floor::{Bare, Semaphored};
pub(crate) use self::mobc::Mobc;
pub(crate) use self::ours::{Observed, Ours, Watched};
pub(crate) use self::r2d2::R2d2;
pub(crate) use self::sqlx::Sqlx;
use crate::server::{Server, Session};

/// What a pool is made with.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) timeout: Duration,
    /// Where the pool knows such a thing; else as it is by default.
    pub(crate) lifetime: Option<Duration>,
}

impl Settings {
    /// So many connections at most, and a timeout that plays no part.
    pub(crate) fn of(max: u32) -> Self {
        Self { min: 0, max, timeout: Duration::from_secs(30), lifetime: None }
    }

    pub(crate) fn min(self, min: u32) -> Self {
        Self { min, ..self }
    }

    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }
}

/// A pool for tasks.
pub(crate) trait Pool: Clone + Send + Sync + 'static {
    /// The first word is the package.
    const NAME: &'static str;
    type Guard: Send + 'static;

    /// Makes the pool; the minimum is open when it is there.
    fn new(server: &Server, settings: Settings) -> impl Future<Output = Self> + Send;

    /// Takes a connection.
    fn get(&self) -> impl Future<Output = Option<Self::Guard>> + Send;
}

/// A pool whose connections are sessions with the [`Server`].
pub(crate) trait Sessions: Pool<Guard: DerefMut<Target = Session>> {}

impl<P: Pool<Guard: DerefMut<Target = Session>>> Sessions for P {}

/// A pool for threads.
pub(crate) trait Blocking: Clone + Send + 'static {
    const BLOCKING: &'static str;
    type Blocked;

    fn new_blocking(server: &Server, settings: Settings) -> Self;

    fn get_blocking(&self) -> Option<Self::Blocked>;
}
