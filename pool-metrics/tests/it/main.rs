//! Tests of what is told of pools, on the engine itself.
#[cfg(any(feature = "http", feature = "prometheus"))]
mod support;

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "prometheus")]
mod prometheus;
