// SPDX-License-Identifier: Apache-2.0
//! Files of machines: directories, configuration, locks, images, disks and keys.

pub mod config;
