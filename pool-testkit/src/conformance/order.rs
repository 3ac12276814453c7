//! Cases on order.
