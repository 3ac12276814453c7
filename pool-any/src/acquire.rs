//! [`AnyAcquire`] and [`AnyAcquireFuture`]: asking for a connection and waiting for it.
//!
//! It is the backend's own acquire, in place: not boxed, and reported at its caller's place in the
//! code.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use pool_core::{Acquire, AcquireError, AcquireFuture};

use crate::connection::{AnyConnection, Connection};
use crate::error::AnyError;

one_of! {
    Asking<'a> {
        Acquire<'a, pool_sqlite::SqliteManager>,
        Acquire<'a, pool_postgres::PgManager>,
        Acquire<'a, pool_mysql::MySqlManager>
    }
}

/// An acquire that can still be adjusted; `.await` it.
#[must_use = "nothing is acquired until this is awaited"]
pub struct AnyAcquire<'a>(pub(crate) Asking<'a>);

impl AnyAcquire<'_> {
    /// How long this one takes at most: zero tries once, `None` waits without limit.
    pub fn within(self, timeout: impl Into<Option<Duration>>) -> Self {
        let timeout = timeout.into();
        Self(each_into!(Asking, self.0, ask => Asking(ask.within(timeout))))
    }

    /// A name for what the connection is used for, in metrics and among the holders.
    pub fn operation(self, operation: &'static str) -> Self {
        Self(each_into!(Asking, self.0, ask => Asking(ask.operation(operation))))
    }

    /// The same acquire, reported as made at another place in the code. For wrappers.
    pub fn at(self, site: &'static Location<'static>) -> Self {
        Self(each_into!(Asking, self.0, ask => Asking(ask.at(site))))
    }
}

impl<'a> IntoFuture for AnyAcquire<'a> {
    type Output = Result<AnyConnection, AnyError>;
    type IntoFuture = AnyAcquireFuture<'a>;

    fn into_future(self) -> AnyAcquireFuture<'a> {
        let waiting = match self.0 {
            #[cfg(feature = "sqlite")]
            Asking::Sqlite(ask) => Waiting::Sqlite { future: ask.into_future() },
            #[cfg(feature = "postgres")]
            Asking::Postgres(ask) => Waiting::Postgres { future: ask.into_future() },
            #[cfg(feature = "mysql")]
            Asking::MySql(ask) => Waiting::MySql { future: ask.into_future() },
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Asking::Never(never, _) => match never {},
        };
        AnyAcquireFuture { waiting }
    }
}

impl fmt::Debug for AnyAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(Asking, &self.0, ask => f.debug_tuple("AnyAcquire").field(ask).finish())
    }
}

pin_project! {
    /// Waits for a connection. Dropping it gives up the wait and loses nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct AnyAcquireFuture<'a> {
        #[pin]
        waiting: Waiting<SqliteFuture<'a>, PgFuture<'a>, MySqlFuture<'a>>,
    }
}

pin_project! {
    #[project = Projected]
    #[allow(dead_code)] // where a feature is off
    enum Waiting<S, P, M> {
        Sqlite { #[pin] future: S },
        Postgres { #[pin] future: P },
        MySql { #[pin] future: M },
    }
}

#[cfg(feature = "sqlite")]
type SqliteFuture<'a> = AcquireFuture<'a, pool_sqlite::SqliteManager>;
#[cfg(not(feature = "sqlite"))]
type SqliteFuture<'a> = Absent<'a>;
#[cfg(feature = "postgres")]
type PgFuture<'a> = AcquireFuture<'a, pool_postgres::PgManager>;
#[cfg(not(feature = "postgres"))]
type PgFuture<'a> = Absent<'a>;
#[cfg(feature = "mysql")]
type MySqlFuture<'a> = AcquireFuture<'a, pool_mysql::MySqlManager>;
#[cfg(not(feature = "mysql"))]
type MySqlFuture<'a> = Absent<'a>;

/// Where a feature is off: there is none of these.
#[allow(dead_code)]
struct Absent<'a>(Infallible, std::marker::PhantomData<&'a ()>);

impl Future for Absent<'_> {
    type Output = Result<Connection, AcquireError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0 {}
    }
}

impl<S, P, M, A, B, C> Future for Waiting<S, P, M>
where
    S: Future<Output = Result<A, AcquireError>>,
    P: Future<Output = Result<B, AcquireError>>,
    M: Future<Output = Result<C, AcquireError>>,
    Connection: From<A> + From<B> + From<C>,
{
    type Output = Result<Connection, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Sqlite { future } => future.poll(cx).map_ok(Into::into),
            Projected::Postgres { future } => future.poll(cx).map_ok(Into::into),
            Projected::MySql { future } => future.poll(cx).map_ok(Into::into),
        }
    }
}

impl Future for AnyAcquireFuture<'_> {
    type Output = Result<AnyConnection, AnyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.project().waiting.poll(cx);
        polled.map(|done| done.map(AnyConnection).map_err(AnyError::from))
    }
}

impl fmt::Debug for AnyAcquireFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAcquireFuture").finish_non_exhaustive()
    }
}
