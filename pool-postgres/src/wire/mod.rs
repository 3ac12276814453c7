//! Following the wire: [`Wire`] passes bytes on and reads along, so that the state of a connection
//! is known without asking the server.
//!
//! The driver keeps to itself whether a connection is in a transaction, and whether a statement that
//! nobody waits for still runs. Both can be read off the wire: every request ends with a frame that
//! the server answers by `ReadyForQuery`, which carries the transaction's status. So:
//!
//! | seen | means |
//! |---|---|
//! | more requests than answers | something runs |
//! | the last answer's status is not `I` | a transaction is open, or has failed |
//! | a command's tag (`SET`, `LISTEN`, `PREPARE`, ..) | session state was changed |
//! | an answer without a request, a copy frame without a copy | out of step |
//!
//! # Who moves what
//!
//! The driver's task owns the [`Wire`], and so [`Frames`] (where a frame begins and ends) and
//! [`Follow`] (which requests wait for which answers); it alone writes to [`WireStatus`]. Who has the
//! connection reads that. An answer is noted before the driver sees it, so whoever was told of a
//! result finds its status here. What the driver has not written yet is not noted: who gives up a
//! call before its end says so himself (see `Session`).
//!
//! # Copying in
//!
//! While the server reads a copy it ignores a `Sync`. The driver sends one with the `COPY`, before it
//! knows whether it becomes a copy at all, and one with the copy's end. Which of the two the server
//! answers depends on where a failure happens, and where it answers both, every later answer belongs
//! to the question before it. [`Follow`] counts as the server does. An answer too many ends the
//! connection before the driver sees it. What the wire cannot tell (an error while the copy was open:
//! had the server read the first `Sync`?) makes the connection *suspect*: nothing is sent behind a
//! copy, and after such an error first of all a question that has one right answer.

mod follow;
mod frames;
mod status;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use follow::Follow;
use frames::Frames;
pub(crate) use status::{Transaction, WireStatus};

use crate::transport::Transport;

/// A connection's stream, followed.
pub(crate) struct Wire {
    inner: Transport,
    sent: Frames,
    received: Frames,
    follow: Follow,
    status: Arc<WireStatus>,
    /// Our side has said goodbye.
    is_shut: bool,
}

impl Wire {
    /// Follows a stream on which nothing but TLS was spoken so far.
    pub(crate) fn new(inner: Transport) -> Self {
        Self {
            inner,
            sent: Frames::with_startup(),
            received: Frames::default(),
            follow: Follow::default(),
            status: Arc::default(),
            is_shut: false,
        }
    }

    /// What is read off it.
    pub(crate) fn status(&self) -> Arc<WireStatus> {
        self.status.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        let (follow, mut in_step) = (&mut this.follow, Ok(()));
        let whole = this.received.feed(new, |kind, body| {
            if in_step.is_ok() {
                in_step = follow.received(kind, body, &this.status);
            }
        });
        this.follow.publish(&this.status);
        if whole && in_step.is_ok() {
            return Poll::Ready(Ok(()));
        }
        // Before the driver gives it to the wrong question.
        buf.set_filled(before);
        this.status.break_off();
        let text =
            "the server's answers do not fit the questions: the connection is not used again";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        let follow = &mut this.follow;
        if !this.sent.feed(&buf[..written], |kind, _| follow.sent(kind, &this.status)) {
            this.status.break_off();
        }
        this.follow.publish(&this.status);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Ends our side and waits until the server has ended its own: only then has it room for
    /// another connection.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut space = [0; 512];
        loop {
            let mut rest = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Wire {
    /// However the driver ended, nobody waits for answers any more.
    fn drop(&mut self) {
        self.status.note_end();
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}
