//! Kernel flags in, one typed configuration out.
//!
//! [`Sources::parse`] takes the kernel command line, QEMU's fw_cfg entries, the
//! OEM strings of SMBIOS and the data disk's file as raw bytes and gives a [`Config`] and a list of [`Diagnostic`]s. It is pure and
//! total: no system calls, no panics, an answer for every input. What is wrong
//! is complained about and left at its default, because the machine must come
//! up whatever was typed.
//!
//! Where to read first: [`FLAGS`] is the table of every flag, with the function
//! that applies it; `reader` loops over it; `cmdline` splits a command line as
//! the kernel does; `values`, `net`, `swap` and `sshkey` hold the value parsers.
//!
//! Precedence: default < data disk < SMBIOS < fw_cfg < command line; within one
//! source the later of two wins. SSH keys, the module blacklist and swap are joined from all sources.

mod builder;
mod cmdline;
mod compat;
mod diagnostic;
mod flags;
mod markdown;
mod net;
mod net_args;
mod options;
mod origin;
mod reader;
mod rsyslog;
mod settings;
mod share;
mod smbios;
mod sources;
mod sshkey;
mod suggest;
mod swap;
mod values;

pub use compat::canonical_service_name;
pub use diagnostic::{Diagnostic, MAX_DIAGNOSTICS, MAX_LINE, Source};
pub use flags::{FLAGS, Flag};
pub use markdown::flags_markdown;
pub use options::module_options;
pub use origin::{Origin, origins};
pub use settings::{
    Config, Console, DiskSelector, FormatPolicy, LogReceiver, Loglevel, Modules, Net, Podman,
    Proxy, Role, SharedFolder, Slot, Swap, Transport, WaitUsb, ZramSize,
};
pub use smbios::oem_strings;
pub use sources::{FwCfg, Sources, parse};
pub use suggest::suggest;
pub use values::extension as is_extension_name;
