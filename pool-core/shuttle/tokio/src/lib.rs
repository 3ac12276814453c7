//! As much of tokio as pool-core uses, made of shuttle's parts, so that shuttle decides who runs
//! next, when time passes, and when a runtime dies.
//!
//! Only the shapes are tokio's. What is checked with it is the pool, not tokio.
#![forbid(unsafe_code)]

pub mod runtime;
pub mod sync;
pub mod task;
pub mod time;
