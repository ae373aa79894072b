// SPDX-License-Identifier: Apache-2.0
//! Files of machines: directories, configuration, locks, images, disks and keys.

pub mod archive;
pub mod ca;
pub mod command_lock;
pub mod config;
mod config_file;
pub mod contested_ports;
pub mod dirs;
pub mod disks;
pub mod draft;
pub mod fetch;
pub mod field;
pub mod files;
mod forward;
mod greeting;
mod hash;
pub mod image;
pub mod image_source;
pub mod iso;
mod kernel;
pub mod lock;
pub mod lock_state;
pub mod logfile;
pub mod machine;
pub mod media;
pub mod progress;
pub mod quadlet;
pub mod record;
pub mod saved;
pub mod share;
pub mod space;
pub mod template;
pub mod watch;

pub use dirs::Dirs;
pub use machine::Machine;
