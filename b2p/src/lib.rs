//! The client of PID 1 and the helpers that PID 1 runs.

pub mod client;
pub mod common;
pub mod helpers;
