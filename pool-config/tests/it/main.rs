//! The settings that programs in the field already have, wrong ones, and random ones.

mod faults;
mod go_server;
mod node_app;
mod properties;
mod python_app;
mod python_service;
mod rust_api;
mod written;
