//! Cases on time.
