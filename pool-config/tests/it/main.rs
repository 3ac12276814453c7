//! The settings that programs in the field already have, wrong ones, random ones; and machines.

mod auto;
mod cgroup;
mod faults;
mod go_server;
mod linux;
mod machine;
mod node_app;
mod properties;
mod python_app;
mod python_service;
mod rust_api;
mod written;
