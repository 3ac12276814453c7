//! Where a pool's settings come from: environment, URL, files, presets and the machine, with the source of each kept.
#![forbid(unsafe_code)]

mod backend;
pub mod sizing;

pub use backend::Backend;
