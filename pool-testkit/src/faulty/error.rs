//! [`FaultyError`]: what a `FaultyManager` fails with.

use std::fmt;

use pool_core::BoxError;

use crate::faults::Injected;

/// An error of a [`FaultyManager`](crate::FaultyManager).
#[derive(Debug)]
#[non_exhaustive]
pub enum FaultyError<E> {
    /// The plan's.
    Injected(Injected),
    /// The real manager's.
    Real(E),
}

impl<E: Into<Self>> From<FaultyError<E>> for BoxError {
    fn from(error: FaultyError<E>) -> Self {
        match error {
            FaultyError::Injected(injected) => Box::new(injected),
            FaultyError::Real(error) => error.into(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for FaultyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(injected) => injected.fmt(f),
            Self::Real(error) => error.fmt(f),
        }
    }
}
