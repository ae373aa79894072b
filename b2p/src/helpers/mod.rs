// SPDX-License-Identifier: Apache-2.0
//! Helpers: programs that PID 1 runs as children.

pub mod block;
pub mod cloud;
pub mod compat;
pub mod console;
pub mod data;
pub mod engine;
pub mod ext;
pub mod ignition;
pub mod image_sync;
pub mod log_files;
pub mod net;
pub mod quadlet;
pub mod registries;
pub mod remote_log;
pub mod share;
pub mod sshd;
pub mod store;
pub mod swap;
pub mod syslog;
pub mod template;
pub mod time;
pub mod upgrade;
pub mod varlink;
pub mod vsock;
