//! [`poll_times`]: a future that is dropped half-way.

use std::future::Future;
use std::task::{Context, Poll};

/// Polls a future so many times, as often as it is woken, and then drops it: at once, or when it
/// would be polled again. What came of it, if it ended before.
pub async fn poll_times<F: Future>(future: F, polls: usize, at_once: bool) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |cx: &mut Context<'_>| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && at_once => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
