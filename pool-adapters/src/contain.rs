//! Panics of a manager, made into errors: a foreign pool that is unwound through loses a place.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use crate::AdapterError;

/// Runs this; a panic is an error.
pub(crate) fn contained<T>(
    call: impl FnOnce() -> Result<T, AdapterError>,
) -> Result<T, AdapterError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(AdapterError::panicked(&*panic)))
}

/// As [`contained`], for a future.
pub(crate) async fn contained_async<T>(
    call: impl Future<Output = Result<T, AdapterError>>,
) -> Result<T, AdapterError> {
    let mut call = pin!(call);
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Err(AdapterError::panicked(&*panic)).into())
    })
    .await
}
