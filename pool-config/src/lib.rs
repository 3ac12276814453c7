//! Where a pool's settings come from: environment, URL, files, presets and the machine, with the source of each kept.
#![forbid(unsafe_code)]

pub mod auto;
mod backend;
mod machine;
pub mod sizing;

pub use auto::{Advice, Advisor, AutoConfig, Reason};
pub use backend::Backend;
pub use machine::{Found, Machine};
