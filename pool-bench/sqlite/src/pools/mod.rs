//! The pools, each as its documentation uses it.

mod deadpool;
mod ours;
mod r2d2;
mod raw;
mod tokio_rusqlite;

pub(crate) use deadpool::Deadpool;
pub(crate) use ours::{BATCH, CALL, INLINE, Ours};
pub(crate) use r2d2::R2d2;
pub(crate) use raw::Raw;
pub(crate) use tokio_rusqlite::TokioRusqlite;
