//! Tests of the kit on itself.

mod conformance;
