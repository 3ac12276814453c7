//! The conformance suite on every direction; what an engine cannot do is listed with the reason.

mod bb8_in_ours;
mod fake;
mod inside;
mod ours_in_bb8;
mod ours_in_r2d2;
mod r2d2_in_ours;
mod table;
mod through;
