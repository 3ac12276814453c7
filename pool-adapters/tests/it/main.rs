//! Every direction, and what the foreign pools do without the adapters.
//!
//! Tests on a paused clock check exact times; live ones (threads) check order, counts and states
//! under a hard deadline, so that a hang is a failure.

mod alone;
mod bb8_in_ours;
mod conformance;
mod ours_in_bb8;
mod ours_in_r2d2;
mod pools;
mod r2d2_in_ours;
mod r2d2_pool;
mod support;
mod theirs;
