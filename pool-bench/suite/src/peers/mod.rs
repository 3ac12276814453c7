//! The pools: a file for each.

pub(crate) mod bb8;
pub(crate) mod deadpool;
pub(crate) mod mobc;
pub(crate) mod ours;
pub(crate) mod r2d2;
pub(crate) mod sqlx;
