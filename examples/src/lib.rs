//! The programs are in `src/bin`. This library only sees to it that the README's examples compile
//! and run.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
