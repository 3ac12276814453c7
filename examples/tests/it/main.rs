//! The programs as their users run them: `media_scan` on small trees, `reload` and `service`; each run
//! with a deadline.
#![cfg(unix)]

mod collections;
mod faults;
mod output;
mod reload;
mod rescans;
mod serve;
mod servers;
mod service;
mod settings;
mod signals;
mod support;
