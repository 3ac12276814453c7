//! Tests of the kit on itself.

mod conformance;
#[cfg(feature = "proptest")]
mod lives;
mod scenarios;
mod test_pools;
