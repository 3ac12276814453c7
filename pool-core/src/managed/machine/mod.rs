//! The engine's state machine: plain synchronous functions, events in, answers and errands out.
//!
//! It knows no runtime, no clock and no connection type: time is set before each event, and a
//! connection is an opaque `P` that it stores, hands on and gives out, but never drops. Nothing of
//! a user's runs in here (no manager, hook, waker, `Drop`), so it is always called under one short
//! lock. What is to be done outside the lock goes into its [`outbox`].
//!
//! [`state`] is what it knows, with the callers' side; [`returns`] what comes back; [`demand`] who
//! gets what, and which connects that takes; [`fitness`] what may stay; [`tick`] what time does;
//! [`controls`] what operators do. [`waiters`] is the queue, [`record`] what is known of a slot,
//! [`tuning`] the settings in numbers; [`vocabulary`] and [`outbox`] are what goes in and comes out,
//! [`recorder`] notes all of it, and [`replay`] can play it again.
//!
//! # States of a slot, and who moves it
//!
//! ```text
//!                 serve()            connected()                 hand() / acquire()
//!   (free) ------------> Connecting ------------> Idle <--------------------------> InUse
//!     ^                      |                    |  ^                                |
//!     |       connect_failed |           validate |  | settle()             release()  | dirty
//!     |                      v                    v  |                                v
//!     +<------ ended() <- Closing <----------- Validating         settle() <----- Resetting
//! ```
//!
//! Upkeep that can wait takes an idle connection by `Resetting` back to `Idle`, once it has rested
//! ([`tick`](state::State::tick)).
//!
//! From every state but `Connecting` a slot may go to `Closing`, and from every state straight to
//! free when its token is dropped ([`ended`](state::State::ended)): a panic or a dead runtime lose the
//! connection, never the slot. A connection and its slot's token travel together inside `P`.
//!
//! # Why no wake-up is lost
//!
//! A connection becomes available in [`place`](state::State::place), which gives it to the first
//! waiter or makes it idle, or in [`release`](state::State::release), which makes it idle by itself
//! where nobody is queued. A waiter joins in [`enqueue`](state::State::enqueue) only, which then calls
//! [`serve`](state::State::serve): idle connections go to waiters first. Both run under the lock, so there
//! is no moment in which a usable idle connection and a queued waiter do not see each other.
//! Capacity becomes free in [`ended`](state::State::ended) and [`connect_failed`](state::State::connect_failed),
//! which call `serve` too. A handed connection lies in the waiter's hands: its owner takes it, or
//! gives it back as it leaves ([`give_up`](state::State::give_up)), or it is taken back
//! ([`tick`](state::State::tick)). Who comes first is settled under the waiter's own lock.
//!
//! # When a checkout counts
//!
//! When its user takes the connection. But the pool need not hear of that moment, which spares a
//! user who waited the pool's lock: it counts from the hand-out on, takes the checkout out of the
//! counts if its user never comes, and who reads the counts meanwhile is told without what is still
//! on its way ([`on_their_way`](state::State::on_their_way)).

pub(super) mod controls;
pub(super) mod demand;
pub(super) mod fitness;
#[cfg(all(test, not(pool_loom)))]
mod life_test;
#[cfg(all(test, pool_loom))]
mod loom_test;
pub(super) mod outbox;
pub(super) mod record;
pub(super) mod recorder;
pub(super) mod replay;
pub(super) mod returns;
pub(super) mod state;
pub(super) mod tick;
pub(super) mod tuning;
pub(super) mod vocabulary;
pub(super) mod waiters;
