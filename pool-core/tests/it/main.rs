//! The rules, R1 to R25, proven one by one against a fake server.
//!
//! Tests on a paused clock check exact times; live ones (threads, several runtimes) check order,
//! counts and states under a hard deadline, so that a hang is a failure.

mod allocations;
mod cancel;
mod cleanliness;
mod close;
mod controls;
mod counts;
mod demand;
mod failure;
mod fairness;
mod foreign;
mod insight;
mod lifetime;
mod lock;
mod order;
mod panics;
mod ready;
mod reconfigure;
mod reconfigure_aging;
mod replay;
mod restarts;
mod runtime;
mod size;
mod support;
mod sweep;
mod time;
