//! The programs as their users run them: `media_scan` on small trees, `reload`; each run with a
//! deadline.
#![cfg(unix)]

mod collections;
mod faults;
mod output;
mod reload;
mod rescans;
mod serve;
mod servers;
mod settings;
mod signals;
mod support;
