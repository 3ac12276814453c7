//! Cases on failure.
