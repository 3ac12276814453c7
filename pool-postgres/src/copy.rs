//! [`PgCopyIn`], [`PgCopyOut`]: `COPY` to the server and from it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use tokio_postgres::{CopyInSink, CopyOutStream};

use crate::error::PgError;
use crate::session::{Call, Session};

/// Takes the data of a `COPY .. FROM STDIN`. Nothing is kept unless [`finish`](Self::finish)
/// succeeds; dropped before, the copy fails on the server, and the connection is fit for use again.
pub struct PgCopyIn<'c, T> {
    sink: Pin<Box<CopyInSink<T>>>,
    call: Option<Call<'c>>,
    session: &'c Session,
}

impl<'c, T: Buf + Send + 'static> PgCopyIn<'c, T> {
    pub(crate) fn new(sink: CopyInSink<T>, call: Call<'c>, session: &'c Session) -> Self {
        Self { sink: Box::pin(sink), call: Some(call), session }
    }

    /// Sends data; the server may be slower than it comes.
    ///
    /// # Errors
    /// The connection is lost, or the server takes no more: what was wrong is said by
    /// [`finish`](Self::finish).
    pub async fn send(&mut self, data: T) -> Result<(), PgError> {
        std::future::poll_fn(|cx| self.sink.as_mut().poll_ready(cx))
            .await
            .map_err(|e| self.said(e))?;
        self.sink.as_mut().start_send(data).map_err(|error| self.said(error))
    }

    /// Ends the copy. Says how many rows it brought.
    ///
    /// # Errors
    /// What is wrong with the data, or with the table.
    pub async fn finish(mut self) -> Result<u64, PgError> {
        let done = self.sink.as_mut().finish().await;
        match self.call.take() {
            Some(call) => call.finish(done).await,
            None => done.map_err(|error| self.said(error)),
        }
    }

    fn said(&self, error: tokio_postgres::Error) -> PgError {
        self.session.said(error)
    }
}

impl<T: Buf + Send + 'static> Sink<T> for PgCopyIn<'_, T> {
    type Error = PgError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PgError>> {
        self.sink.as_mut().poll_ready(cx).map_err(|error| self.said(error))
    }

    fn start_send(mut self: Pin<&mut Self>, data: T) -> Result<(), PgError> {
        self.sink.as_mut().start_send(data).map_err(|error| self.said(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PgError>> {
        self.sink.as_mut().poll_flush(cx).map_err(|error| self.said(error))
    }

    /// As [`finish`](Self::finish), without the number of rows.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PgError>> {
        let done = ready!(self.sink.as_mut().poll_finish(cx)).map(drop);
        let done = done.map_err(|error| self.said(error));
        Poll::Ready(match self.call.take() {
            Some(call) => call.end(done),
            None => done,
        })
    }
}

impl<T> fmt::Debug for PgCopyIn<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCopyIn").finish_non_exhaustive()
    }
}

/// The data of a `COPY .. TO STDOUT`, as it comes. Dropped before its end, the statement is given
/// up.
pub struct PgCopyOut<'c> {
    stream: Pin<Box<CopyOutStream>>,
    call: Option<Call<'c>>,
    session: &'c Session,
}

impl<'c> PgCopyOut<'c> {
    pub(crate) fn new(stream: CopyOutStream, call: Call<'c>, session: &'c Session) -> Self {
        Self { stream: Box::pin(stream), call: Some(call), session }
    }
}

impl Stream for PgCopyOut<'_> {
    type Item = Result<Bytes, PgError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        let item = ready!(self.stream.as_mut().poll_next(cx));
        if let Some(Ok(data)) = item {
            return Poll::Ready(Some(Ok(data)));
        }
        let done = match item {
            Some(Err(error)) => Err(self.session.said(error)),
            _ => Ok(()),
        };
        let done = match self.call.take() {
            Some(call) => call.end(done),
            None => done,
        };
        Poll::Ready(done.err().map(Err))
    }
}

impl fmt::Debug for PgCopyOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCopyOut").finish_non_exhaustive()
    }
}
