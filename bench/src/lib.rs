//! `make bench`: this system and its peers under QEMU on the instruction clock, with
//! the same kernel, packages, devices and data disk; docs/measured/bench.md says how each is set
//! up, and what the figures are.
//!
//! Read [`peers`] first, the table of who is compared. [`image`] makes their initrds,
//! [`disk`] the data disk, [`boot`] boots one once, [`reading`] understands what its
//! console said. [`pid1`] measures PID 1 alone. [`figures`] are the columns; [`report`], [`svg`] and [`guard`] are what
//! comes out.

pub mod boot;
pub mod disk;
pub mod figures;
pub mod guard;
pub mod image;
pub mod peers;
pub mod pid1;
pub mod reading;
pub mod report;
pub mod svg;
