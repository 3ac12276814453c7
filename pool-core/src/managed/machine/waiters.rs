//! The queue of those who wait for a connection, in order of arrival, with direct hand-off.
//!
//! A [`Waiter`] is shared by its owner (an acquire future, or a parked thread) and the pool. What it
//! gets is put *into its hands*: a connection or a refusal. So nothing can be lost between "you are
//! next" and "I am here": the owner takes what is there, or leaves and gives it back.
//!
//! ```text
//!             hand()                   take()
//!   Queued ------------> Handed(conn) -----------> Gone
//!    |  ^                    |
//!    |  | rejoin()           | take_back(): nobody polled it for a while
//!    |  +----- Dozing <------+
//!    | refuse()               take_refusal()
//!    +-----------------> Refused(why) -----------> Gone       from everywhere: leave()
//! ```
//!
//! A waiter has a lock of its own, always the inner one. Every arrow is drawn under the pool's lock
//! but for `take()`: who was served needs nothing else of the pool. The pool keeps those it handed a
//! connection to, by its slot, until it comes back or is taken back.
//!
//! Exactly those who are `Queued` are in line, in the order of their tickets. A dozing waiter keeps
//! its ticket and rejoins in front of all younger ones.

use std::collections::VecDeque;
use std::task::Waker;

use super::vocabulary::{Caller, Refusal, SlotKey, Taken, Time};
use crate::sync::{Arc, Mutex, lock};

/// Fewer gaps in line are not worth to be cleared away.
const ROOM: usize = 64;

/// Who waits.
#[derive(Debug)]
pub(crate) struct Waiter<P> {
    /// Its turn; zero before it joins.
    pub(crate) ticket: u64,
    pub(crate) since: Time,
    pub(crate) deadline: Time,
    pub(crate) caller: Caller,
    hands: Mutex<Hands<P>>,
}

/// What a waiter has in hand, and how to reach it.
#[derive(Debug)]
struct Hands<P> {
    place: Place<P>,
    /// How often a connection was taken back from it.
    dozed: u32,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) enum Place<P> {
    Queued,
    Dozing,
    Handed(Delivery<P>),
    Refused(Refusal),
    /// It has taken what there was, or has left.
    Gone,
}

/// A connection on its way to its user.
#[derive(Debug)]
pub(crate) struct Delivery<P> {
    pub(crate) slot: SlotKey,
    pub(crate) connection: P,
    pub(crate) waited: u64,
}

impl<P> Waiter<P> {
    /// One who is about to join the queue.
    pub(crate) fn new(
        since: Time,
        deadline: Time,
        caller: Caller,
        waker: Option<Waker>,
    ) -> Arc<Self> {
        let hands = Mutex::new(Hands { place: Place::Queued, dozed: 0, waker });
        Arc::new(Self { ticket: 0, since, deadline, caller, hands })
    }

    /// Its owner takes the connection that it was handed, if there is one.
    #[inline]
    pub(crate) fn take(&self) -> Option<Taken<P>> {
        let mut hands = lock(&self.hands);
        match std::mem::replace(&mut hands.place, Place::Gone) {
            Place::Handed(Delivery { connection, waited, .. }) => {
                Some(Taken::Got { connection, waited })
            }
            place => {
                hands.place = place;
                None
            }
        }
    }

    /// Its owner is told why there is no connection, if that is so.
    pub(crate) fn take_refusal(&self) -> Option<Refusal> {
        let mut hands = lock(&self.hands);
        let Place::Refused(why) = hands.place else { return None };
        hands.place = Place::Gone;
        Some(why)
    }

    /// Whether it was handed a connection that it has not taken yet.
    #[cfg(all(test, not(pool_loom)))]
    pub(crate) fn is_handed(&self) -> bool {
        self.lets_lie().is_some()
    }

    /// How often it dozed, if it was handed a connection that it has not taken yet.
    fn lets_lie(&self) -> Option<u32> {
        let hands = lock(&self.hands);
        matches!(hands.place, Place::Handed(_)).then_some(hands.dozed)
    }

    /// The connection that was handed and not taken yet.
    #[cfg(all(test, not(pool_loom)))]
    pub(crate) fn in_hand(&self) -> Option<P>
    where
        P: Copy,
    {
        match &lock(&self.hands).place {
            Place::Handed(delivery) => Some(delivery.connection),
            _ => None,
        }
    }

    pub(crate) fn is_dozing(&self) -> bool {
        matches!(lock(&self.hands).place, Place::Dozing)
    }

    /// Stores who is to be woken, if given; the one before comes back in its place, to be dropped
    /// outside the locks.
    pub(crate) fn set_waker(&self, waker: &mut Option<Waker>) {
        if waker.is_some() {
            std::mem::swap(&mut lock(&self.hands).waker, waker);
        }
    }

    /// Who is to be woken, without anything in hand.
    #[must_use]
    pub(crate) fn call(&self) -> Option<Waker> {
        lock(&self.hands).waker.take()
    }

    /// Puts the outcome into its hands; its owner is to be woken.
    pub(crate) fn put(&self, place: Place<P>) -> Option<Waker> {
        let mut hands = lock(&self.hands);
        hands.place = place;
        hands.waker.take()
    }

    /// Takes a connection back, unless its owner has come for it; its ticket is kept.
    pub(crate) fn take_back(&self) -> Option<Delivery<P>> {
        let mut hands = lock(&self.hands);
        match std::mem::replace(&mut hands.place, Place::Dozing) {
            Place::Handed(delivery) => {
                hands.dozed += 1;
                Some(delivery)
            }
            place => {
                hands.place = place;
                None
            }
        }
    }

    /// Its owner leaves: tells where it was, with what was in its hands.
    pub(crate) fn leave(&self) -> (Place<P>, Option<Waker>) {
        let mut hands = lock(&self.hands);
        (std::mem::replace(&mut hands.place, Place::Gone), hands.waker.take())
    }
}

/// Those who can be handed a connection, in the order of their tickets, and those who were.
#[derive(Debug)]
pub(crate) struct Waiters<P> {
    /// Who leaves from the middle leaves a gap; there is none at either end.
    line: VecDeque<(u64, Option<Arc<Waiter<P>>>)>,
    /// By slot: who was handed its connection, until that comes back.
    handed: Vec<Option<Arc<Waiter<P>>>>,
    queued: usize,
    /// Those who are not in line, nor were handed a connection: dozing, or not told yet that they
    /// were refused.
    aside: usize,
    /// The shortest time that anybody allowed since the queue was last empty, from when the newest
    /// of those before came: some join late.
    shortest_wait: u64,
    newest: Time,
}

impl<P> Waiters<P> {
    pub(crate) fn new() -> Self {
        Self {
            line: VecDeque::new(),
            handed: Vec::new(),
            queued: 0,
            aside: 0,
            shortest_wait: u64::MAX,
            newest: Time(0),
        }
    }

    /// Everyone who waits, but for those who were handed a connection.
    pub(crate) fn len(&self) -> usize {
        self.queued + self.aside
    }

    /// Those who can be handed a connection.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn oldest(&self) -> Option<&Waiter<P>> {
        self.line.front().and_then(|(_, waiter)| waiter.as_deref())
    }

    /// Those who can be handed a connection, oldest first.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = &Waiter<P>> {
        self.line.iter().filter_map(|(_, waiter)| waiter.as_deref())
    }

    /// Keeps the one who was handed the connection of this slot.
    #[inline]
    pub(crate) fn keep(&mut self, slot: SlotKey, waiter: Arc<Waiter<P>>) {
        if self.handed.len() <= slot {
            self.handed.resize_with(slot + 1, || None);
        }
        self.handed[slot] = Some(waiter);
    }

    /// Lets go of the one who was handed the connection of this slot, for its memory to be given back
    /// outside the lock.
    #[inline]
    pub(crate) fn let_go(&mut self, slot: SlotKey) -> Option<Arc<Waiter<P>>> {
        self.handed.get_mut(slot)?.take()
    }

    /// The same, if that one has come for it, and is needed no more.
    pub(crate) fn let_go_if_over(&mut self, slot: SlotKey) -> Option<Arc<Waiter<P>>> {
        let handed = self.handed.get_mut(slot)?;
        handed.take_if(|waiter| Arc::strong_count(waiter) == 1)
    }

    /// Slots whose connection was handed to somebody who has not come for it yet, with how often
    /// that one dozed.
    pub(crate) fn on_their_way(&self) -> impl Iterator<Item = (SlotKey, u32)> {
        let handed = self.handed.iter().enumerate();
        handed.filter_map(|(slot, waiter)| Some((slot, waiter.as_ref()?.lets_lie()?)))
    }

    /// Whether the one with this ticket is in line.
    pub(crate) fn has(&self, ticket: u64) -> bool {
        let is_last = self.line.back().is_some_and(|(last, _)| *last == ticket);
        is_last || self.find(ticket).is_some_and(|at| self.line[at].1.is_some())
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }

    /// Nobody's time is up before those who stand in front of it have waited for this.
    pub(crate) fn shortest_wait(&self) -> u64 {
        self.shortest_wait
    }

    /// Adds a waiter behind everyone with an older ticket.
    pub(crate) fn push(&mut self, waiter: Arc<Waiter<P>>) {
        if self.queued == 0 {
            (self.shortest_wait, self.newest) = (u64::MAX, Time(0));
        }
        self.newest = self.newest.max(waiter.since);
        self.shortest_wait = self.shortest_wait.min(waiter.deadline.since(self.newest));
        self.queued += 1;
        let ticket = waiter.ticket;
        let place = (ticket, Some(waiter));
        match self.line.back() {
            Some((last, _)) if *last > ticket => {
                let at = self.line.partition_point(|(other, _)| *other < ticket);
                self.line.insert(at, place);
            }
            _ => self.line.push_back(place),
        }
    }

    /// A dozing waiter is polled again: it queues where it was.
    pub(crate) fn rejoin(&mut self, waiter: Arc<Waiter<P>>) {
        self.aside -= 1;
        lock(&waiter.hands).place = Place::Queued;
        self.push(waiter);
    }

    /// One who is not in line has no connection in hand any more, or will have none.
    pub(crate) fn step_aside(&mut self) {
        self.aside += 1;
    }

    /// One of those aside is no more.
    pub(crate) fn forget_aside(&mut self) {
        self.aside -= 1;
    }

    /// Takes the first out of the line.
    pub(crate) fn pop(&mut self) -> Option<Arc<Waiter<P>>> {
        let (_, waiter) = self.line.pop_front()?;
        self.queued -= 1;
        self.trim();
        waiter
    }

    /// One of those in line leaves.
    pub(crate) fn remove(&mut self, ticket: u64) {
        let at = self.find(ticket).expect("who is queued is in line");
        self.line[at].1 = None;
        self.queued -= 1;
        self.trim();
        if self.line.len() > 2 * self.queued + ROOM {
            self.line.retain(|(_, waiter)| waiter.is_some());
        }
    }

    /// No gap stays at either end.
    fn trim(&mut self) {
        while let Some((_, None)) = self.line.front() {
            self.line.pop_front();
        }
        while let Some((_, None)) = self.line.back() {
            self.line.pop_back();
        }
        if self.line.is_empty() && self.line.capacity() > 1024 {
            self.line = VecDeque::new(); // a burst is over: give its memory back
        }
    }

    /// Takes the waker of everyone in line, so that all look again.
    pub(crate) fn wake_all(&mut self, wake: &mut Vec<Waker>) {
        wake.extend(self.in_line().filter_map(Waiter::call));
    }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::managed::machine::vocabulary::Who;

    fn waiter(ticket: u64) -> Arc<Waiter<()>> {
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        let mut waiter = Waiter::new(Time(0), Time::NEVER, caller, None);
        Arc::get_mut(&mut waiter).unwrap().ticket = ticket;
        waiter
    }

    fn line(waiters: &Waiters<()>) -> Vec<u64> {
        waiters.in_line().map(|waiter| waiter.ticket).collect()
    }

    #[test]
    fn r02_whoever_returns_stands_where_the_ticket_says() {
        let mut waiters = Waiters::new();
        for ticket in [5, 6, 9, 3, 1, 2, 4, 8, 7] {
            waiters.push(waiter(ticket));
        }
        assert_eq!(line(&waiters), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn r02_who_leaves_from_the_middle_changes_nobodys_place() {
        let mut waiters = Waiters::new();
        for ticket in 0..1000 {
            waiters.push(waiter(ticket));
        }
        for ticket in (0..1000).filter(|ticket| ticket % 7 != 3) {
            waiters.remove(ticket);
            let stayed = (0..1000).filter(|other| other % 7 == 3 || *other > ticket);
            assert!(line(&waiters).into_iter().eq(stayed), "after {ticket} left");
            assert!(waiters.line.len() <= 2 * waiters.queued() + 64, "gaps are closed");
        }
        // One who comes back to a gap's place.
        waiters.push(waiter(500));
        let mut served = Vec::new();
        while let Some(first) = waiters.oldest().map(|waiter| waiter.ticket) {
            assert_eq!(waiters.pop().map(|waiter| waiter.ticket), Some(first));
            served.push(first);
        }
        let mut expected: Vec<_> = (0..1000).filter(|ticket| ticket % 7 == 3).collect();
        expected.push(500);
        expected.sort_unstable();
        assert_eq!(served, expected);
        assert_eq!((waiters.queued(), waiters.line.len()), (0, 0));
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        for (burst, kept) in [(4, true), (1025, false), (3000, false)] {
            let mut waiters = Waiters::new();
            (0..burst).for_each(|ticket| waiters.push(waiter(ticket)));
            (0..burst).for_each(|ticket| waiters.remove(ticket));
            assert_eq!(waiters.line.capacity() > 0, kept, "after {burst}");
        }
    }
}
