// SPDX-License-Identifier: Apache-2.0
//! PID 1 of boot2podman, as a library. The program is `main.rs`; the boot in its order is
//! [`boot`], the services are [`service_table`], the reactions to events [`reactions`], the
//! shutdown [`shutdown`].

pub mod boot;
pub mod bounded;
pub mod cgroups;
pub mod coldplug;
pub mod console;
pub mod context;
pub mod control_requests;
pub mod crash;
pub mod crypto_selftests;
pub mod data_disk;
pub mod degraded;
pub mod disk_config;
pub mod emergency_remount;
pub mod event_sources;
pub mod events;
pub mod identity;
pub mod modprobe;
pub mod module_prefetch;
pub mod mounts;
pub mod net_interface;
pub mod options;
pub mod power_button;
pub mod reactions;
pub mod ready;
pub mod rescue;
pub mod root;
pub mod run;
pub mod service_table;
pub mod session;
pub mod shutdown;
pub mod state;
pub mod sysctl;
pub mod unmount;
