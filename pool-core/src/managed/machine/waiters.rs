//! The queue of those who wait for a connection, in order of arrival, with direct hand-off.
//!
//! A waiter is a node in a slab; its owner (an acquire future, or a parked thread) holds the key
//! and is the only one who removes it. What a waiter gets is put *into its node*: a connection or
//! a refusal. So nothing can be lost between "you are next" and "I am here": whoever removes the
//! node takes what is in it, also when it only came to cancel.
//!
//! ```text
//!             hand()                    remove()
//!   Queued ------------> Handed(conn) -----------> gone
//!    |  ^                    |
//!    |  | rejoin()           | take_back(): nobody polled it for a while
//!    |  +----- Dozing <------+
//!    | refuse()                         remove()
//!    +-----------------> Refused(why) -----------> gone
//! ```
//!
//! `Queued` nodes form a list in the order of their tickets, `Handed` nodes a list in the order of
//! hand-off. A dozing node is in neither; it keeps its ticket and rejoins in front of all younger
//! ones.

use std::task::Waker;

use slab::Slab;

use super::vocabulary::{Caller, Refusal, SlotKey, Time, Wait};

pub(crate) type WaiterKey = usize;

#[derive(Debug)]
pub(crate) struct Waiter<P> {
    pub(crate) ticket: u64,
    pub(crate) since: Time,
    pub(crate) deadline: Time,
    pub(crate) caller: Caller,
    pub(crate) place: Place<P>,
    /// How often a connection was taken back from it.
    pub(crate) dozed: u32,
    waker: Option<Waker>,
    prev: Option<WaiterKey>,
    next: Option<WaiterKey>,
}

#[derive(Debug)]
pub(crate) enum Place<P> {
    Queued,
    Dozing,
    Handed { slot: SlotKey, connection: P, at: Time },
    Refused(Refusal),
}

#[derive(Debug)]
pub(crate) struct Waiters<P> {
    nodes: Slab<Waiter<P>>,
    queued: List,
    handed: List,
    /// The shortest time that anybody allowed since the queue was last empty.
    shortest_wait: u64,
}

#[derive(Debug, Default)]
struct List {
    head: Option<WaiterKey>,
    tail: Option<WaiterKey>,
    len: usize,
}

impl<P> Waiters<P> {
    pub(crate) fn new() -> Self {
        let (queued, handed) = (List::default(), List::default());
        Self { nodes: Slab::new(), queued, handed, shortest_wait: u64::MAX }
    }

    /// Everyone who has not taken an outcome yet: queued, dozing or with one in hand.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Those who can be handed a connection.
    pub(crate) fn queued(&self) -> usize {
        self.queued.len
    }

    pub(crate) fn oldest(&self) -> Option<(WaiterKey, &Waiter<P>)> {
        self.queued.head.map(|key| (key, &self.nodes[key]))
    }

    /// Those who can be handed a connection, oldest first.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = (WaiterKey, &Waiter<P>)> {
        self.list(&self.queued)
    }

    /// Those with a connection in hand that they have not taken, longest first.
    pub(crate) fn handed(&self) -> impl Iterator<Item = (WaiterKey, &Waiter<P>)> {
        self.list(&self.handed)
    }

    fn list(&self, list: &List) -> impl Iterator<Item = (WaiterKey, &Waiter<P>)> {
        let after = |key: &WaiterKey| self.nodes[*key].next;
        std::iter::successors(list.head, after).map(|key| (key, &self.nodes[key]))
    }

    /// Nobody in line waits for less time than this.
    pub(crate) fn shortest_wait(&self) -> u64 {
        self.shortest_wait
    }

    pub(crate) fn place(&self, key: WaiterKey) -> &Place<P> {
        &self.nodes[key].place
    }

    pub(crate) fn caller(&self, key: WaiterKey) -> Caller {
        self.nodes[key].caller
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter<P>> {
        self.nodes.iter().map(|(_, waiter)| waiter)
    }

    /// Adds a waiter behind everyone with an older ticket.
    pub(crate) fn push(
        &mut self,
        ticket: u64,
        wait: Wait,
        caller: Caller,
        waker: Option<Waker>,
    ) -> WaiterKey {
        let Wait { since, deadline, .. } = wait;
        let key = self.nodes.insert(Waiter {
            ticket,
            since,
            deadline,
            caller,
            place: Place::Queued,
            dozed: 0,
            waker,
            prev: None,
            next: None,
        });
        self.link_by_ticket(key);
        key
    }

    /// Stores who is to be woken, if given; the one before comes back in its place, to be dropped
    /// outside the lock.
    pub(crate) fn set_waker(&mut self, key: WaiterKey, waker: &mut Option<Waker>) {
        if waker.is_some() {
            std::mem::swap(&mut self.nodes[key].waker, waker);
        }
    }

    /// Who is to be woken, without anything in hand.
    #[must_use]
    pub(crate) fn call(&mut self, key: WaiterKey) -> Option<Waker> {
        self.nodes[key].waker.take()
    }

    /// Puts a connection into a queued waiter's hands; its owner is to be woken.
    #[must_use]
    pub(crate) fn hand(
        &mut self,
        key: WaiterKey,
        slot: SlotKey,
        connection: P,
        at: Time,
    ) -> Option<Waker> {
        self.unlink(key);
        self.nodes[key].place = Place::Handed { slot, connection, at };
        link_last(&mut self.nodes, &mut self.handed, key);
        self.nodes[key].waker.take()
    }

    /// Tells a queued waiter that there will be no connection; its owner is to be woken.
    #[must_use]
    pub(crate) fn refuse(&mut self, key: WaiterKey, why: Refusal) -> Option<Waker> {
        self.unlink(key);
        self.nodes[key].place = Place::Refused(why);
        self.nodes[key].waker.take()
    }

    /// Takes a handed connection back from a waiter that nobody polls; its place is kept.
    pub(crate) fn take_back(&mut self, key: WaiterKey) -> (SlotKey, P, Caller) {
        self.unlink(key);
        let waiter = &mut self.nodes[key];
        waiter.dozed += 1;
        match std::mem::replace(&mut waiter.place, Place::Dozing) {
            Place::Handed { slot, connection, .. } => (slot, connection, waiter.caller),
            _ => unreachable!("only handed waiters are in the handed list"),
        }
    }

    /// A dozing waiter is polled again: it queues where it was. Tells when its time is up.
    pub(crate) fn rejoin(&mut self, key: WaiterKey) -> Time {
        debug_assert!(matches!(self.nodes[key].place, Place::Dozing));
        self.nodes[key].place = Place::Queued;
        self.link_by_ticket(key);
        self.nodes[key].deadline
    }

    /// Ends a waiter. Whatever it was handed comes with it.
    pub(crate) fn remove(&mut self, key: WaiterKey) -> (Waiter<P>, Option<Waker>) {
        self.unlink(key);
        let mut waiter = self.nodes.remove(key);
        let waker = waiter.waker.take();
        if self.nodes.is_empty() && self.nodes.capacity() > 1024 {
            self.nodes = Slab::new(); // a burst is over: give its memory back
        }
        (waiter, waker)
    }

    /// Takes the waker of every waiter, so that all look again.
    pub(crate) fn wake_all(&mut self, wake: &mut Vec<Waker>) {
        wake.extend(self.nodes.iter_mut().filter_map(|(_, waiter)| waiter.waker.take()));
    }

    fn link_by_ticket(&mut self, key: WaiterKey) {
        let Waiter { ticket, since, deadline, .. } = self.nodes[key];
        let others = if self.queued.len == 0 { u64::MAX } else { self.shortest_wait };
        self.shortest_wait = others.min(deadline.since(since));
        match self.queued.tail {
            Some(tail) if self.nodes[tail].ticket > ticket => {
                // A returning elder: the few who are older still are at the very front.
                let mut at = self.queued.head.expect("a list with a tail has a head");
                while self.nodes[at].ticket < ticket {
                    at = self.nodes[at].next.expect("the tail is younger");
                }
                link_before(&mut self.nodes, &mut self.queued, key, at);
            }
            _ => link_last(&mut self.nodes, &mut self.queued, key),
        }
    }

    fn unlink(&mut self, key: WaiterKey) {
        let list = match self.nodes[key].place {
            Place::Queued => &mut self.queued,
            Place::Handed { .. } => &mut self.handed,
            Place::Dozing | Place::Refused(_) => return,
        };
        let (prev, next) = (self.nodes[key].prev.take(), self.nodes[key].next.take());
        match prev {
            Some(prev) => self.nodes[prev].next = next,
            None => list.head = next,
        }
        match next {
            Some(next) => self.nodes[next].prev = prev,
            None => list.tail = prev,
        }
        list.len -= 1;
    }
}

fn link_last<P>(nodes: &mut Slab<Waiter<P>>, list: &mut List, key: WaiterKey) {
    nodes[key].prev = list.tail;
    match list.tail {
        Some(tail) => nodes[tail].next = Some(key),
        None => list.head = Some(key),
    }
    list.tail = Some(key);
    list.len += 1;
}

fn link_before<P>(nodes: &mut Slab<Waiter<P>>, list: &mut List, key: WaiterKey, at: WaiterKey) {
    let prev = nodes[at].prev;
    nodes[key].prev = prev;
    nodes[key].next = Some(at);
    nodes[at].prev = Some(key);
    match prev {
        Some(prev) => nodes[prev].next = Some(key),
        None => list.head = Some(key),
    }
    list.len += 1;
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::managed::machine::vocabulary::Who;

    #[test]
    fn r02_whoever_returns_stands_where_the_ticket_says() {
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        let wait = Wait { since: Time(0), deadline: Time::NEVER, ticket: None };
        let mut waiters = Waiters::<()>::new();
        for ticket in [5, 6, 9, 3, 1, 2, 4, 8, 7] {
            waiters.push(ticket, wait, caller, None);
        }
        let line: Vec<_> = waiters.in_line().map(|(_, waiter)| waiter.ticket).collect();
        assert_eq!(line, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        let wait = Wait { since: Time(0), deadline: Time::NEVER, ticket: None };
        for (burst, kept) in [(4, 4), (1024, 1024), (1025, 0), (3000, 0)] {
            let mut waiters = Waiters::<()>::new();
            let keys: Vec<_> =
                (0..burst).map(|ticket| waiters.push(ticket, wait, caller, None)).collect();
            for key in keys {
                waiters.remove(key);
            }
            assert_eq!(waiters.nodes.capacity(), kept, "after {burst}");
        }
    }
}
