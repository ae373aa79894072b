// SPDX-License-Identifier: Apache-2.0
//! Kernel flags in, one typed configuration out.
//!
//! [`Sources::parse`] takes the kernel command line, QEMU's fw_cfg entries, the OEM strings of
//! SMBIOS and the configuration on the data disk as raw bytes. The function returns a [`Config`]
//! and a list of [`Diagnostic`]s. The crate is pure and total: no system calls, no panics, and a
//! result for every input. An invalid flag is reported and leaves its setting at the default,
//! because the machine must boot with any input.
//!
//! [`FLAGS`] is the item to read first: the table of every flag with the function that applies it.
//! `reader` loops over the table; `cmdline` splits a command line as the kernel does; `values`,
//! `net`, `share`, `swap`, `rsyslog` and `sshkey` parse values; `compat` has the flags of Tiny
//! Core.
//!
//! Precedence: default < data disk < SMBIOS < fw_cfg < command line; within one source the later
//! flag wins. Repeatable flags are joined from all sources.

mod builder;
mod cmdline;
mod compat;
mod diagnostic;
mod flag;
mod flags;
pub mod hostname;
mod keywords;
mod markdown;
mod module_options;
mod net;
mod net_args;
mod occurrence;
mod origin;
mod parse;
mod reader;
mod rsyslog;
mod settings;
mod share;
mod smbios;
mod sources;
mod sshkey;
mod storage;
mod suggest;
mod swap;
mod switches;
mod values;

pub use compat::canonical_service_name;
pub use diagnostic::{Diagnostic, MAX_DIAGNOSTIC_BYTES, MAX_DIAGNOSTICS, Source};
pub use flag::Flag;
pub use flags::FLAGS;
pub use markdown::flags_markdown;
pub use module_options::module_options;
pub use origin::{Origin, origins};
pub use parse::parse;
pub use settings::{
    AutoUpdate, Config, Console, DEFAULT_UID, Etc, Ignition, LogReceiver, Loglevel, Modules, Net,
    Podman, Proxy, Role, Rootless, SharedFolder, Slot, Transport,
};
pub use share::ROSETTA_PATH;
pub use smbios::oem_strings;
pub use sources::{FwCfg, Sources};
pub use storage::{DiskSelector, FormatPolicy, Swap, WaitUsb, ZramSize};
pub use suggest::suggest;
pub use values::{is_extension_name, is_user_name};
