// SPDX-License-Identifier: Apache-2.0
//! System interface that PID 1 and its helpers share.

pub mod account_files;
pub mod arch;
pub mod clock;
pub mod config_sources;
pub mod date;
pub mod error;
pub mod exit_status;
pub mod files;
pub mod gpio;
pub mod heap;
pub mod hostname;
pub mod image;
pub mod kmsg;
pub mod links;
pub mod memory;
pub mod modules;
pub mod mountinfo;
pub mod net;
pub mod paths;
pub mod poll;
pub mod printable;
pub mod ready_limit;
pub mod runtime_dir;
pub mod script;
pub mod service_names;
pub mod session;
pub mod signals;
pub mod sort;
pub mod ssh_ports;
pub mod syscall;
pub mod uevent;
#[cfg(all(target_env = "musl", panic = "abort"))]
mod unwind_stub;
pub mod user_cgroup;
pub mod varlink_interfaces;
pub mod vsock;
