//! [`Marked`]: a connection with a mark that keeps it from being used again.

use std::ops::{Deref, DerefMut};

/// A connection in a foreign pool, which has no way to give one up: a mark that `has_broken` sees.
///
/// It is the connection for all purposes. Its own functions are not methods, so that they hide
/// none of the connection's.
///
/// ```
/// # use pool_adapters::Marked;
/// # fn demo(mut guard: Marked<String>) {
/// guard.push_str("used as the connection"); // through the pool's guard too
/// Marked::invalidate(&mut guard); // closed when it is dropped, never used again
/// # }
/// ```
#[derive(Debug)]
pub struct Marked<C> {
    connection: C,
    unfit: bool,
}

impl<C> Marked<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self { connection, unfit: false }
    }

    /// Gives the connection up: the pool discards it when it comes back.
    pub fn invalidate(this: &mut Self) {
        this.unfit = true;
    }

    /// Whether it was given up, by its user or by a test that was cut short.
    pub fn is_unfit(this: &Self) -> bool {
        this.unfit
    }

    /// The connection alone.
    pub fn into_inner(this: Self) -> C {
        this.connection
    }

    /// Marks it until [`passed`](Self::passed): a test dropped halfway leaves behind a connection
    /// that has asked and not heard the answer.
    #[cfg(feature = "bb8")]
    pub(crate) fn testing(this: &mut Self) -> &mut C {
        this.unfit = true;
        &mut this.connection
    }

    /// The test ended well.
    #[cfg(feature = "bb8")]
    pub(crate) fn passed(this: &mut Self) {
        this.unfit = false;
    }
}

impl<C> Deref for Marked<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for Marked<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}
