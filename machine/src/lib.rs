// SPDX-License-Identifier: Apache-2.0
//! Machines of boot2podman on a host.
//!
//! The crate needs no daemon: each running machine has one keeper process, and a machine's state follows from
//! locks that the kernel holds for the keeper and for QEMU ([`state`]). Pure functions ([`text`]) make the
//! text that people and scripts read. On a host without the unix sockets, locks and signals of POSIX, the crate
//! has these functions only.

#[cfg(unix)]
#[macro_use]
pub mod out;

#[cfg(unix)]
pub mod capacity;
#[cfg(unix)]
pub mod cli;
#[cfg(unix)]
pub mod clients;
#[cfg(unix)]
pub mod commands;
#[cfg(unix)]
pub mod compat;
#[cfg(unix)]
mod debug;
#[cfg(unix)]
pub mod driver;
pub mod fault;
#[cfg(unix)]
pub mod finding;
#[cfg(unix)]
pub mod keeper;
#[cfg(unix)]
pub mod owner;
#[cfg(unix)]
pub mod state;
#[cfg(unix)]
pub mod store;
pub mod text;
#[cfg(unix)]
pub mod tool;
