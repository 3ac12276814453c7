//! `media_scan` as its users run it: the real program on small trees, each run with a deadline.
#![cfg(unix)]

mod collections;
mod faults;
mod output;
mod rescans;
mod servers;
mod signals;
mod support;
