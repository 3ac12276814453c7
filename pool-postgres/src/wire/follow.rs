//! [`Follow`]: which requests wait for which answers. Plain code, no I/O.

use std::collections::VecDeque;

use super::status::{COPYING, FORGOTTEN, PREPARED, ROLLED_BACK, STATE, SUSPECT, WireStatus};

/// What the client sent that the server has not answered.
#[derive(Debug, Default)]
pub(super) struct Follow {
    expected: VecDeque<Sent>,
    copy: Copying,
    /// The server has greeted the client: what it says about parameters from here on are changes.
    is_greeted: bool,
    /// Requests that were sent, and those of them that are answered or ignored.
    asked: u64,
    answered: u64,
}

/// The next answer would be given to the wrong question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// A simple query: answered by `ReadyForQuery`.
    Query,
    /// The end of an extended one: the same, unless the server reads a copy.
    Sync,
    /// The end of a copy that is not known to have begun.
    CopyEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copying {
    #[default]
    No,
    /// The server reads a copy.
    In,
    /// We have ended it, and the server has not said so yet.
    Ended,
}

impl Follow {
    /// A frame went to the server.
    pub(super) fn sent(&mut self, kind: u8, status: &WireStatus) {
        match kind {
            b'Q' => self.ask(Sent::Query),
            b'S' if self.copy == Copying::In => {} // the server ignores it
            b'S' => self.ask(Sent::Sync),
            b'c' | b'f' if self.copy == Copying::In => self.copy = Copying::Ended,
            b'c' | b'f' => self.expected.push_back(Sent::CopyEnd),
            b'd' if self.copy != Copying::In => status.set(SUSPECT),
            _ => {}
        }
    }

    fn ask(&mut self, request: Sent) {
        self.expected.push_back(request);
        self.asked += 1;
    }

    /// A frame came from the server.
    pub(super) fn received(
        &mut self,
        kind: u8,
        body: &[u8],
        status: &WireStatus,
    ) -> Result<(), OutOfStep> {
        match kind {
            b'Z' => return self.ready(body, status),
            b'G' => return self.copy_in(),
            b'W' => return Err(OutOfStep), // replication: not for a pool
            b'C' => command(body, status),
            b'E' if self.copy != Copying::No => status.set(SUSPECT),
            b'S' if self.is_greeted => parameter(body, status),
            _ => {}
        }
        Ok(())
    }

    /// Tells what is known.
    pub(super) fn publish(&self, status: &WireStatus) {
        match self.copy {
            Copying::In => status.set(COPYING),
            Copying::No | Copying::Ended => status.clear(COPYING),
        }
        status.set_counts(self.asked, self.answered);
    }

    /// `ReadyForQuery`: a request is answered.
    fn ready(&mut self, body: &[u8], status: &WireStatus) -> Result<(), OutOfStep> {
        self.copy = Copying::No;
        if let Some(transaction) = body.first() {
            status.set_transaction(*transaction);
        }
        if !self.is_greeted {
            self.is_greeted = true;
            return Ok(());
        }
        match self.expected.pop_front() {
            Some(Sent::Query | Sent::Sync) => {
                self.answered += 1;
                Ok(())
            }
            // Of a copy that did not begin the driver sends the end, and the server answers both.
            Some(Sent::CopyEnd) | None => Err(OutOfStep),
        }
    }

    /// The server begins to read a copy. What it reads of the requests sent since it ignores, up to
    /// the copy's end.
    fn copy_in(&mut self) -> Result<(), OutOfStep> {
        self.copy = Copying::In;
        match self.expected.front() {
            Some(Sent::Query) => {}
            Some(_) => {
                while let Some(ignored) = self.expected.pop_front() {
                    if ignored == Sent::CopyEnd {
                        self.copy = Copying::Ended;
                        break;
                    }
                    self.answered += 1;
                }
            }
            None => return Err(OutOfStep),
        }
        Ok(())
    }
}

/// A command was executed: what its tag tells about the session.
fn command(tag: &[u8], status: &WireStatus) {
    let word = tag.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    match word {
        b"COMMIT" => status.clear(ROLLED_BACK),
        b"ROLLBACK" => status.set(ROLLED_BACK),
        b"DISCARD" | b"DEALLOCATE" => {
            if tag.starts_with(b"DEALLOCATE ALL") || tag.starts_with(b"DISCARD ALL") {
                status.set(FORGOTTEN);
            }
            status.set(STATE);
        }
        b"PREPARE" => {
            status.set(PREPARED);
            status.set(STATE);
        }
        b"SET" | b"RESET" | b"LISTEN" | b"UNLISTEN" | b"DECLARE" | b"LOAD" => status.set(STATE),
        _ => {}
    }
}

/// A parameter of the session has another value: a setting, if the server's role did not change.
fn parameter(body: &[u8], status: &WireStatus) {
    const NOT_OURS: [&[u8]; 2] = [b"in_hot_standby\0", b"default_transaction_rea"];
    if !NOT_OURS.iter().any(|name| body.starts_with(name)) {
        status.set(STATE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::Transaction;
    use super::*;

    /// A connection after its greeting.
    struct Talk(Follow, WireStatus);

    impl Talk {
        fn new() -> Self {
            let mut talk = Self(Follow::default(), WireStatus::default());
            talk.server_says("S Z");
            talk
        }

        fn client_says(&mut self, kinds: &str) -> &mut Self {
            for kind in kinds.bytes() {
                self.0.sent(kind, &self.1);
            }
            self.0.publish(&self.1);
            self
        }

        /// Frames, with a body after each kind.
        fn server_says(&mut self, frames: &str) -> &mut Self {
            for frame in frames.split(' ') {
                let (kind, body) = frame.as_bytes().split_first().unwrap();
                let body = if body.is_empty() { b"I" } else { body };
                if self.0.received(*kind, body, &self.1).is_err() {
                    self.1.break_off();
                }
            }
            self.0.publish(&self.1);
            self
        }

        fn is_clean(&self) -> bool {
            self.1.is_quiet()
                && self.1.transaction() == Transaction::None
                && !(self.1.is_suspect() || self.1.is_broken() || self.1.has_state())
        }
    }

    #[test]
    fn r17_a_request_without_an_answer_is_seen() {
        let mut talk = Talk::new();
        assert!(talk.is_clean());
        talk.client_says("PBESQ");
        assert!(!talk.1.is_quiet());
        talk.server_says("Z");
        assert!(!talk.1.is_quiet(), "one of two");
        talk.server_says("Z");
        assert!(talk.is_clean());
    }

    #[test]
    fn r17_the_transaction_is_the_last_answers() {
        let mut talk = Talk::new();
        for (answer, status) in
            [("ZT", Transaction::Open), ("ZE", Transaction::Failed), ("ZI", Transaction::None)]
        {
            talk.client_says("Q").server_says(answer);
            assert_eq!(talk.1.transaction(), status);
        }
    }

    #[test]
    fn r18_tags_tell_what_stays_behind() {
        for tag in ["CSET", "CLISTEN", "CPREPARE", "CDECLARE", "CDISCARD", "CRESET", "SWhatever"] {
            let mut talk = Talk::new();
            talk.client_says("Q").server_says(tag).server_says("Z");
            assert!(talk.1.has_state(), "{tag}");
            talk.1.forget_state();
            assert!(talk.is_clean());
        }
        let mut talk = Talk::new();
        talk.client_says("Q")
            .server_says("CINSERT CBEGIN CSELECT CCOMMIT CSETOF Sin_hot_standby\0o Z");
        assert!(talk.is_clean());
    }

    #[test]
    fn a_commit_that_rolled_back_is_seen() {
        let mut talk = Talk::new();
        talk.client_says("Q").server_says("CROLLBACK Z");
        assert!(talk.1.rolled_back());
        talk.client_says("Q").server_says("CCOMMIT Z");
        assert!(!talk.1.rolled_back());
    }

    #[test]
    fn a_copy_in_has_one_answer_for_two_syncs() {
        let mut talk = Talk::new();
        talk.client_says("BES").server_says("2 G").client_says("dddcS");
        assert!(!talk.1.is_quiet());
        talk.server_says("CCOPY Z");
        assert!(talk.is_clean());
    }

    #[test]
    fn a_copy_that_is_dropped_before_it_begins_has_one_answer() {
        let mut talk = Talk::new();
        talk.client_says("BESfS").server_says("2 G E Z");
        assert!(talk.1.is_quiet() && talk.1.is_suspect() && !talk.1.is_broken());
    }

    #[test]
    fn a_copy_that_never_begins_is_out_of_step_before_its_second_answer() {
        let mut talk = Talk::new();
        talk.client_says("BES").server_says("E Z").client_says("fS").server_says("Z");
        assert!(talk.1.is_broken());
    }

    #[test]
    fn an_error_in_a_copy_makes_the_connection_suspect() {
        let mut talk = Talk::new();
        talk.client_says("BES").server_says("2 G").client_says("dd").server_says("E");
        assert!(talk.1.is_suspect());
        talk.client_says("fS").server_says("Z");
        assert!(talk.1.is_quiet());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_breaks_it() {
        let mut talk = Talk::new();
        talk.server_says("Z");
        assert!(talk.1.is_broken());
        let mut talk = Talk::new();
        talk.server_says("G");
        assert!(talk.1.is_broken());
    }

    #[test]
    fn a_copy_by_a_simple_query_that_nobody_feeds_is_not_quiet() {
        let mut talk = Talk::new();
        talk.client_says("Q").server_says("G");
        assert!(!talk.1.is_quiet());
        talk.client_says("f").server_says("E Z");
        assert!(talk.1.is_quiet());
    }
}
