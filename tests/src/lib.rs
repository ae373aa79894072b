// SPDX-License-Identifier: Apache-2.0
//! Boots the real machine in QEMU and examines it from outside.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tests::{Checks, Guest};
//! let guest = Guest::boot("example", |machine| machine.append("b2p.hostname=box"))?;
//! let mut checks = Checks::new("example");
//! checks.check("hostname", || {
//!     anyhow::ensure!(guest.sh("hostname")? == "box");
//!     Ok(())
//! });
//! checks.finish(&guest)
//! # }
//! ```
//!
//! A boot under TCG takes ten seconds and more, so one test is one boot, with
//! many named checks that all run and are reported together. `CHECK=name` runs
//! only the checks whose names contain that. The logs of each machine stay in
//! `out/vm/<name>/`.

mod checks;
mod clients;
pub mod disks;
pub mod firmware;
pub mod folder;
mod guest;
pub mod http;
pub mod image;
pub mod initrd;
pub mod lan;
pub mod lima;
pub mod ns;
mod random;
mod shell;

pub use checks::{Checks, eventually};
pub use guest::{Guest, READY, artifacts, keyless, machine, machine_of, text};
pub use random::Random;
pub use shell::Shell;
