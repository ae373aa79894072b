// SPDX-License-Identifier: Apache-2.0
//! Drivers of virtual machines.

pub mod launch;
pub mod qemu;
pub mod shares;
