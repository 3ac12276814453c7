//! Hooks: what an application adds to the life of every connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::manager::BoxError;

/// A boxed future, as the boxed forms of hooks and the [`Pool`](crate::Pool) trait use it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

type Plain<C> = Box<dyn Fn(&mut C) -> Result<(), BoxError> + Send + Sync>;
type Boxed<C> = Box<dyn for<'a> Fn(&'a mut C) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync>;

pub(crate) enum Hook<C> {
    Plain(Plain<C>),
    Boxed(Boxed<C>),
}

/// The hooks of one occasion, in the order they were added.
pub(crate) struct Hooks<C>(Vec<Hook<C>>);

impl<C> Hooks<C> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, hook: Hook<C>) {
        self.0.push(hook);
    }

    /// Whether one of them has to be awaited.
    pub(crate) fn any_boxed(&self) -> bool {
        self.0.iter().any(|hook| matches!(hook, Hook::Boxed(_)))
    }

    /// Runs the hooks that need not be awaited; the first error ends it.
    pub(crate) fn run_plain(&self, connection: &mut C) -> Result<(), BoxError> {
        self.0.iter().try_for_each(|hook| match hook {
            Hook::Plain(hook) => hook(connection),
            Hook::Boxed(_) => Ok(()),
        })
    }

    /// Runs all of them in order; the first error ends it.
    pub(crate) async fn run(&self, connection: &mut C) -> Result<(), BoxError> {
        for hook in &self.0 {
            match hook {
                Hook::Plain(hook) => hook(connection)?,
                Hook::Boxed(hook) => hook(connection).await?,
            }
        }
        Ok(())
    }
}

impl<C> fmt::Debug for Hooks<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}
