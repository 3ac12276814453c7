//! Tests of what is told of pools, on the engine itself.

#[cfg(feature = "dashboard")]
mod dashboard;
#[cfg(feature = "facade")]
mod facade;
mod health;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "log")]
mod log;
mod operating;
#[cfg(feature = "otlp")]
mod otel;
#[cfg(feature = "prometheus")]
mod prometheus;
mod support;
mod windows;
