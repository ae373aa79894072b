// SPDX-License-Identifier: Apache-2.0
//! Files of machines: directories, configuration, locks, images, disks and keys.

pub mod config;
pub mod dirs;
pub mod files;
pub mod image;
pub mod lock;
pub mod machine;
pub mod saved;

pub use dirs::Dirs;
pub use machine::Machine;
