// SPDX-License-Identifier: Apache-2.0
//! Block devices: their drivers, their contents, and how long to wait for them. Every helper
//! that looks for a disk, a CD or a USB stick uses these modules.

pub mod answers;
pub mod async_probe;
pub mod drivers;
mod firmware;
pub mod ioctl;
pub mod labelled;
pub mod scan;
pub mod wait;
