//! [`PgCopyIn`], [`PgCopyOut`]: `COPY` to the server and from it.

use std::fmt;
use std::future::poll_fn;
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
    /// What it brought, if it is kept.
    rows: Option<u64>,
}

impl<'c, T: Buf + Send + 'static> PgCopyIn<'c, T> {
    pub(crate) fn new(sink: CopyInSink<T>, call: Call<'c>, session: &'c Session) -> Self {
        Self { sink: Box::pin(sink), call: Some(call), session, rows: None }
    }

    /// Sends data; the server may be slower than it comes.
    ///
    /// # Errors
    /// The connection is lost, or the server takes no more: what was wrong is said by
    /// [`finish`](Self::finish).
    pub async fn send(&mut self, data: T) -> Result<(), PgError> {
        poll_fn(|cx| self.sink.as_mut().poll_ready(cx)).await.map_err(|e| self.said(e))?;
        self.sink.as_mut().start_send(data).map_err(|error| self.said(error))
    }

    /// Ends the copy. Says how many rows it brought.
    ///
    /// # Errors
    /// What is wrong with the data, or with the table; also what is found out only when it is
    /// committed, as a deferred constraint.
    pub async fn finish(mut self) -> Result<u64, PgError> {
        let done = poll_fn(|cx| self.poll_end(cx)).await;
        match self.call.take() {
            Some(call) => call.finish(done).await,
            None => done.map_err(|error| self.said(error)),
        }
    }

    /// The driver stops at the words that the copy is complete. Those that it is kept, or not, come
    /// after them.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, tokio_postgres::Error>> {
        if self.rows.is_none() {
            match ready!(self.sink.as_mut().poll_finish(cx)) {
                Ok(rows) => self.rows = Some(rows),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let kept = match ready!(self.sink.as_mut().poll_finish(cx)) {
            Ok(_) => Ok(()),
            Err(error) => after_end(error),
        };
        Poll::Ready(kept.map(|()| self.rows.unwrap_or_default()))
    }

    /// Whether the server has said that the copy failed: it drops what is sent from then on.
    pub(crate) fn has_failed(&self) -> bool {
        self.session.wire.is_suspect()
    }

    /// Fails the copy for a reason of ours, which is given back. When this returns, the server is
    /// ready for something else.
    pub(crate) async fn abort(self, why: PgError) -> PgError {
        let Self { sink, call, session, .. } = self;
        drop(sink); // the driver tells the server
        session.wire.quiet().await;
        let ended: Result<(), PgError> = match call {
            Some(call) => call.end(Err(why.clone())),
            None => Ok(()),
        };
        ended.err().unwrap_or(why)
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
        let done = ready!(self.poll_end(cx)).map(drop);
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

/// What comes after the end of the data the driver does not expect, and so calls an error: the words
/// that the statement is complete and that it is kept. Unless it is not.
fn after_end(error: tokio_postgres::Error) -> Result<(), tokio_postgres::Error> {
    let is_real = error.as_db_error().is_some() || error.is_closed();
    if is_real { Err(error) } else { Ok(()) }
}

/// The data of a `COPY .. TO STDOUT`, as it comes. Dropped before its end, the statement is given
/// up.
pub struct PgCopyOut<'c> {
    stream: Pin<Box<CopyOutStream>>,
    call: Option<Call<'c>>,
    session: &'c Session,
    /// What the server said since the end of the data.
    words_after: Option<u8>,
}

impl<'c> PgCopyOut<'c> {
    pub(crate) fn new(stream: CopyOutStream, call: Call<'c>, session: &'c Session) -> Self {
        Self { stream: Box::pin(stream), call: Some(call), session, words_after: None }
    }
}

impl Stream for PgCopyOut<'_> {
    type Item = Result<Bytes, PgError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        let done = loop {
            match ready!(self.stream.as_mut().poll_next(cx)) {
                Some(Ok(data)) => return Poll::Ready(Some(Ok(data))),
                // The data is at its end. That the statement is, and that it is kept, comes after.
                None => self.words_after = Some(0),
                Some(Err(error)) => match self.words_after {
                    None => break Err(self.session.said(error)),
                    Some(words) => match after_end(error) {
                        Ok(()) if words == 0 => self.words_after = Some(1),
                        Ok(()) => break Ok(()),
                        Err(error) => break Err(self.session.said(error)),
                    },
                },
            }
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
