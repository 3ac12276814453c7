//! bb8 and r2d2: their managers in our pool, our managers in theirs, and their pools behind our
//! trait.
#![cfg_attr(all(feature = "bb8", feature = "r2d2"), doc = "")]
#![cfg_attr(all(feature = "bb8", feature = "r2d2"), doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bb8")]
mod bb8_manager;
#[cfg(feature = "bb8")]
mod bb8_pool;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod calls;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod contain;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod error;
#[cfg(feature = "bb8")]
mod for_bb8;
#[cfg(feature = "r2d2")]
mod for_r2d2;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod front;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod invalidable;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod marked;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
mod places;
#[cfg(feature = "r2d2")]
mod r2d2_manager;
#[cfg(feature = "r2d2")]
mod r2d2_pool;
#[cfg(feature = "r2d2")]
mod thread;

#[cfg(feature = "bb8")]
pub use bb8_manager::Bb8Manager;
#[cfg(feature = "bb8")]
pub use bb8_pool::Bb8Pool;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
pub use error::AdapterError;
#[cfg(feature = "bb8")]
pub use for_bb8::ForBb8;
#[cfg(feature = "r2d2")]
pub use for_r2d2::ForR2d2;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
pub use invalidable::Invalidable;
#[cfg(any(feature = "bb8", feature = "r2d2"))]
pub use marked::Marked;
#[cfg(feature = "r2d2")]
pub use r2d2_manager::{R2d2Connection, R2d2Manager};
#[cfg(feature = "r2d2")]
pub use r2d2_pool::R2d2Pool;
