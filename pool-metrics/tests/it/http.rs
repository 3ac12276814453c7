//! The endpoints, over TCP.

mod answers;
mod client;
mod guard;
mod secrets;
mod shapes;
