// SPDX-License-Identifier: Apache-2.0
//! `make bench`: this system and its peers in QEMU on the instruction clock, with the same kernel,
//! packages, devices and data disk. docs/measured/bench.md describes the set-up and the figures.
//!
//! [`peers`], the table of the compared systems, is the module to read first. [`image`] makes their initrds, [`disk`]
//! the data disk, [`boot`] boots one once, [`reading`] parses its console. [`pid1`] measures PID 1 alone, [`quadlet`]
//! the start of a quadlet, [`machine`] that of podman-machine, [`memory`] the least memory. [`figures`] are the columns; [`page`], [`report`], [`svg`]
//! and [`guard`] are the output.

pub mod boot;
pub mod disk;
pub mod figures;
pub mod guard;
pub mod image;
pub mod machine;
pub mod memory;
pub mod page;
pub mod peers;
pub mod pid1;
pub mod quadlet;
pub mod reading;
pub mod report;
pub mod svg;
