//! [`Link`]: the driver's connection, and whether its next answer will be to its next question.
//!
//! The protocol has no numbers: answers come in the order of the questions, and nothing says which
//! belongs to which. A future that is dropped between the two leaves its answer behind, and the next
//! question gets it, with every sign of success; a ping too. So what counts is noted here, before
//! the driver is asked:
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | `Ready` | nothing is outstanding | `take_up`, `begin` |
//! | `Busy` | a call is under way, or was dropped under way | `end`, `keep_rows` |
//! | `Rows` | the last answer came, but for some of its rows | `begin`, once they are read |
//! | `Lost` | the connection is gone, or not to be trusted | nothing |
//!
//! A call holds the link by `&mut`. So whoever finds it `Busy` finds the leavings of a dropped
//! future (or of a panic): it is never used again. That is the latch.

use std::task::{Context, Waker};

use mysql_async::Conn;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;

use crate::error::{MySqlError, MySqlErrorKind};

pub(crate) struct Link {
    /// There until the goodbye.
    conn: Option<Conn>,
    state: State,
    /// What the last answer said of the session; nothing, if it was an error. Those to a prepare say
    /// nothing, though the driver reads a status off their number of columns.
    status: Option<Status>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Busy,
    Rows,
    Lost,
}

/// What the server said last about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) in_transaction: bool,
    pub(crate) autocommit: bool,
}

impl Link {
    /// Over a connection on which nothing is outstanding.
    pub(crate) fn new(conn: Conn) -> Self {
        let status = status_of(&conn);
        Self { conn: Some(conn), state: State::Ready, status }
    }

    pub(crate) fn conn(&self) -> &Conn {
        self.conn.as_ref().expect("there until the goodbye")
    }

    fn conn_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("there until the goodbye")
    }

    pub(crate) fn state(&self) -> State {
        if self.state == State::Ready && self.conn().is_disconnected() {
            return State::Lost;
        }
        self.state
    }

    /// Whether a call was dropped under way; by a raw handle, too.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state == State::Busy || (self.state == State::Ready && self.conn().is_disconnected())
    }

    /// Whether a statement can be sent, once what is left of the last answer is read.
    pub(crate) fn check(&self) -> Result<(), MySqlError> {
        match self.state() {
            State::Ready | State::Rows => Ok(()),
            State::Busy => Err(MySqlError::text(
                MySqlErrorKind::Abandoned,
                "an earlier call on this connection was dropped before its answer came, and the next \
                 answer would be that one's: release this connection and acquire another",
            )),
            State::Lost => Err(MySqlError::text(
                MySqlErrorKind::Disconnected,
                "the connection is closed: release it and acquire another",
            )),
        }
    }

    /// Whether a statement can be sent at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.state() == State::Ready
    }

    /// A call begins on a link that is ready.
    pub(crate) fn take_up(&mut self) {
        debug_assert!(self.is_ready(), "or it has to be brought in step first");
        self.state = State::Busy;
    }

    /// A call begins. What is left of the last answer is read first.
    pub(crate) async fn begin(&mut self) -> Result<&mut Conn, MySqlError> {
        self.check()?;
        while self.state == State::Rows {
            self.state = State::Busy;
            let drained = self.conn_mut().ping().await; // reads them, to their end
            // An error is that of a statement whose answer nobody wanted to the end.
            let _ = self.end(drained);
        }
        self.check()?;
        self.state = State::Busy;
        Ok(self.conn_mut())
    }

    /// As [`begin`](Self::begin), for the next rows of the last answer.
    pub(crate) fn go_on(&mut self) -> Result<&mut Conn, MySqlError> {
        self.check()?;
        self.state = State::Busy;
        Ok(self.conn_mut())
    }

    /// The call has ended so, and its answer was read to its end.
    pub(crate) fn end<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
    ) -> Result<T, MySqlError> {
        self.status = status_of(self.conn());
        self.settle(done, State::Ready)
    }

    /// The same, but nothing was answered, or only a prepare: the session is as it was.
    pub(crate) fn end_unanswered<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
    ) -> Result<T, MySqlError> {
        self.settle(done, State::Ready)
    }

    /// The same, but rows are left, and after them what the server says of the session.
    pub(crate) fn keep_rows<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
    ) -> Result<T, MySqlError> {
        self.status = None;
        self.settle(done, State::Rows)
    }

    fn settle<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
        next: State,
    ) -> Result<T, MySqlError> {
        let said = done.map_err(Into::into);
        self.state = match &said {
            Ok(_) => next,
            Err(error) if error.leaves_a_connection() => State::Ready,
            Err(_) => State::Lost,
        };
        said
    }

    /// The driver's connection, for the call under way.
    pub(crate) fn busy(&mut self) -> &mut Conn {
        debug_assert_eq!(self.state, State::Busy, "between begin and end");
        self.conn_mut()
    }

    /// What the last answer said of the session; nothing, if it was an error, or rows are left.
    pub(crate) fn status(&self) -> Option<Status> {
        self.status
    }

    /// The same; where it is not known, by a round trip.
    pub(crate) async fn ask_status(&mut self) -> Result<Option<Status>, MySqlError> {
        if self.status.is_none() {
            let pinged = self.begin().await?.ping().await;
            self.end(pinged)?;
        }
        Ok(self.status)
    }

    /// For a user who wants to do it himself.
    pub(crate) fn raw(&mut self) -> &mut Conn {
        self.conn_mut()
    }

    /// Reads what was outstanding when a call was dropped, so that the goodbye is heard.
    pub(crate) async fn read_out(&mut self) {
        let _ = self.conn_mut().ping().await;
    }

    /// Says goodbye, if nothing is outstanding, and closes.
    pub(crate) async fn goodbye(mut self) {
        if let Some(conn) = self.conn.take() {
            let _ = conn.disconnect().await;
        }
    }
}

impl Drop for Link {
    /// The driver's drop would spawn a task that reads what is outstanding, however long that takes;
    /// but not once a command is under way.
    fn drop(&mut self) {
        let Some(conn) = self.conn.as_mut().filter(|_| self.state != State::Ready) else { return };
        // A second time where the first one came to the next of several answers.
        for _ in 0..3 {
            if !conn.is_disconnected() {
                let _ = conn.ping().as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        }
    }
}

fn status_of(conn: &Conn) -> Option<Status> {
    let flags = conn.last_ok_packet()?.status_flags();
    Some(Status {
        in_transaction: flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS),
        autocommit: flags.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT),
    })
}
