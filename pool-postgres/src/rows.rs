//! [`PgRowStream`]: rows as they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio_postgres::{Row, RowStream};

use crate::error::PgError;
use crate::session::{Call, Session};

pin_project! {
    /// Rows as they come from the server. No more than a few are in memory at once: the server waits
    /// for who reads slowly.
    ///
    /// Dropped before its end, the statement is given up: the next one on the same connection, or the
    /// pool when the connection comes back, ends it.
    pub struct PgRowStream<'c> {
        #[pin]
        stream: RowStream,
        call: Option<Call<'c>>,
        session: &'c Session,
    }
}

impl<'c> PgRowStream<'c> {
    pub(crate) fn new(stream: RowStream, call: Call<'c>, session: &'c Session) -> Self {
        Self { stream, call: Some(call), session }
    }

    /// How many rows the statement touched, known once the stream has ended.
    pub fn rows_affected(&self) -> Option<u64> {
        self.stream.rows_affected()
    }
}

impl Stream for PgRowStream<'_> {
    type Item = Result<Row, PgError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(call) = this.call.take() else { return Poll::Ready(None) };
        Poll::Ready(match this.stream.poll_next(cx) {
            Poll::Pending => {
                *this.call = Some(call);
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(row))) => {
                *this.call = Some(call);
                Some(Ok(row))
            }
            Poll::Ready(Some(Err(error))) => Some(call.end(Err(this.session.said(error)))),
            Poll::Ready(None) => call.end(Ok(())).err().map(Err),
        })
    }
}

impl std::fmt::Debug for PgRowStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgRowStream").finish_non_exhaustive()
    }
}
