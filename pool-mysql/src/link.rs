//! [`Link`]: the driver's connection, and whether its next answer will be to its next question.
//!
//! The protocol has no numbers: answers come in the order of the questions, and nothing says which
//! belongs to which. A future that is dropped between the two leaves its answer behind, and the next
//! question gets it, with every sign of success; a ping too. So what counts is noted here, before
//! the driver is asked:
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | `Ready` | nothing is outstanding | `begin` |
//! | `Busy` | a call is under way, or was dropped under way | `end`, `keep_rows` |
//! | `Rows` | the last answer came, but for some of its rows | `begin`, once they are read |
//! | `Lost` | the connection is gone, or not to be trusted | nothing |
//!
//! A call holds the link by `&mut`. So whoever finds it `Busy` finds the leavings of a dropped
//! future (or of a panic): it is never used again. That is the latch.

use mysql_async::Conn;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;

use crate::error::{MySqlError, MySqlErrorKind};

pub(crate) struct Link {
    conn: Conn,
    state: State,
    /// The last answer was to a prepare. The driver takes that for one with a status in it, and reads
    /// the status off its number of columns.
    is_misled: bool,
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
        Self { conn, state: State::Ready, is_misled: false }
    }

    pub(crate) fn conn(&self) -> &Conn {
        &self.conn
    }

    pub(crate) fn state(&self) -> State {
        if self.state == State::Ready && self.conn.is_disconnected() {
            return State::Lost;
        }
        self.state
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

    /// A call begins. What is left of the last answer is read first.
    pub(crate) async fn begin(&mut self) -> Result<&mut Conn, MySqlError> {
        self.check()?;
        while self.state == State::Rows {
            self.state = State::Busy;
            let drained = self.conn.ping().await; // reads them, to their end
            // An error is that of a statement whose answer nobody wanted to the end.
            let _ = self.end(drained);
        }
        self.check()?;
        self.state = State::Busy;
        self.is_misled = false;
        Ok(&mut self.conn)
    }

    /// Whether the last answer was to a prepare, which says nothing of the session.
    pub(crate) fn misled(&mut self, is_misled: bool) {
        self.is_misled = is_misled;
    }

    /// As [`begin`](Self::begin), for the next rows of the last answer.
    pub(crate) fn go_on(&mut self) -> Result<&mut Conn, MySqlError> {
        self.check()?;
        self.state = State::Busy;
        Ok(&mut self.conn)
    }

    /// The call has ended so, and its answer was read to its end.
    pub(crate) fn end<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
    ) -> Result<T, MySqlError> {
        self.settle(done, State::Ready)
    }

    /// The same, but rows are left.
    pub(crate) fn keep_rows<T>(
        &mut self,
        done: Result<T, impl Into<MySqlError>>,
    ) -> Result<T, MySqlError> {
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
        &mut self.conn
    }

    /// What the last answer said of the session; nothing, if it was an error, or to a prepare.
    pub(crate) fn status(&self) -> Option<Status> {
        if self.is_misled {
            return None;
        }
        let flags = self.conn.last_ok_packet()?.status_flags();
        Some(Status {
            in_transaction: flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS),
            autocommit: flags.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT),
        })
    }

    /// The same; where the last answer was an error, by a round trip.
    pub(crate) async fn ask_status(&mut self) -> Result<Option<Status>, MySqlError> {
        if self.status().is_none() || self.state == State::Rows {
            let pinged = self.begin().await?.ping().await;
            self.end(pinged)?;
        }
        Ok(self.status())
    }

    pub(crate) fn into_parts(self) -> (Conn, State) {
        (self.conn, self.state)
    }

    /// For a user who wants to do it himself.
    pub(crate) fn raw(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
