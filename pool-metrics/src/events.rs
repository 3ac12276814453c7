//! The last events worth a line: what opened, closed, failed, leaked. Checkouts and returns are not
//! among them; they are counted.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::unix_millis;
use crate::monitor::lock;

/// So many are kept.
const KEPT: usize = 200;
const RARELY: Duration = Duration::from_millis(100);

/// Something that happened in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Event {
    /// Its number: 1 is the first, and none is left out.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_millis: u64,
    /// The pool's name.
    pub pool: String,
    /// What.
    pub kind: EventKind,
    /// The rest of it, for people.
    pub text: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EventKind {
    /// A connection was opened.
    Connected,
    /// A connect failed.
    ConnectFailed,
    /// A connection ended.
    Closed,
    /// A caller got no connection.
    AcquireFailed,
    /// A connection could not be cleaned after use.
    ResetFailed,
    /// A connection was taken back from a future that nobody polled.
    Stalled,
    /// A connection has been held for longer than `leak_after`.
    Leaked,
}

#[derive(Default)]
pub(crate) struct Events(Mutex<Ring>, Mutex<Rarely>);

#[derive(Default)]
struct Rarely {
    last: Option<Instant>,
    left_out: u64,
}

#[derive(Default)]
struct Ring {
    last: u64,
    kept: VecDeque<Event>,
}

impl Events {
    pub(crate) fn push(&self, pool: &str, kind: EventKind, text: String) {
        let unix_millis = unix_millis();
        let mut ring = lock(&self.0);
        ring.last += 1;
        let event = Event { number: ring.last, unix_millis, pool: pool.to_owned(), kind, text };
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(event);
    }

    /// As [`push`](Self::push), for what may come by the ten thousands just when time is short: one
    /// each 100 ms, which says how many it stands for.
    pub(crate) fn push_rarely(&self, pool: &str, kind: EventKind, text: impl FnOnce() -> String) {
        let mut rarely = lock(&self.1);
        if rarely.last.is_some_and(|last| last.elapsed() < RARELY) {
            rarely.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut rarely.left_out);
        rarely.last = Some(Instant::now());
        drop(rarely);
        let more = if left_out > 0 { format!(" ({left_out} more before)") } else { String::new() };
        self.push(pool, kind, text() + &more);
    }

    /// Those after a number, oldest first, as far as they are kept.
    pub(crate) fn after(&self, number: u64) -> Vec<Event> {
        lock(&self.0).kept.iter().filter(|event| event.number > number).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_in_order() {
        let events = Events::default();
        for i in 0..KEPT + 5 {
            events.push("plots", EventKind::Closed, i.to_string());
        }
        let all = events.after(0);
        assert_eq!((all.len(), all[0].number), (KEPT, 6));
        assert_eq!(events.after(KEPT as u64 + 3).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_one_line_each_100_ms_that_says_how_much_it_was() {
        let events = Events::default();
        for _ in 0..5 {
            events.push_rarely("plots", EventKind::AcquireFailed, || "timed out".to_owned());
        }
        tokio::time::advance(RARELY).await;
        events.push_rarely("plots", EventKind::AcquireFailed, || "timed out".to_owned());
        let texts: Vec<_> = events.after(0).into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["timed out", "timed out (4 more before)"]);
    }
}
