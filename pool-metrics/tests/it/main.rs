//! Tests of what is told of pools, on the engine itself.

mod health;
#[cfg(feature = "prometheus")]
mod prometheus;
mod support;
mod windows;
