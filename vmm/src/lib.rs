// SPDX-License-Identifier: Apache-2.0
//! Virtual machines in QEMU: description, start, and examination from outside.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use vmm::{Artifacts, Disk, Machine};
//! use std::time::Duration;
//! let vm = Machine::new(&Artifacts::from_out_dir("out")?)
//!     .memory_mib(512)
//!     .append("b2p.console=shell")
//!     .disk(Disk::raw("data.img"))
//!     .start()?;
//! let ready = vm.wait_ready(Duration::from_secs(120))?;
//! println!("up after {:?} ms, sshd on port {}", ready.boot_ms(), vm.port("ssh")?);
//! # Ok(())
//! # }
//! ```
//!
//! All files of a machine are in its own directory: `console.log`, `qemu.log` (messages of QEMU
//! itself), `qemu.args`. No machine survives its parent process.

mod accel;
mod argv;
mod board;
pub mod cmdline;
mod console;
mod disk;
mod machine;
pub mod process;
mod qmp;
mod ready;
pub mod ssh;
mod vm;

pub use accel::{Accelerator, AcceleratorChoice, loses_patches, runs_under_kvm};
pub use board::Board;
pub use console::Console;
pub use disk::{Bus, Disk};
pub use machine::{Artifacts, Card, Machine, Network};
pub use ready::{DEGRADED, Degraded, READY, RESCUE, Ready, degraded, taken_back, without_controls};
pub use vm::Vm;
