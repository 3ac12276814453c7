//! The endpoints, over TCP.

mod answers;
mod client;
mod crowd;
mod guard;
#[cfg(feature = "dashboard")]
mod page;
mod secrets;
mod shapes;
