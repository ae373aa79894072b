// SPDX-License-Identifier: Apache-2.0
//! Machines of boot2podman on a host.
//!
//! No daemon: each running machine has one keeper process, and a machine's state follows from
//! locks that the kernel holds for the keeper and for QEMU ([`state`]). Text that people and
//! scripts read is made by pure functions ([`text`]), and is all that there is where unix sockets,
//! locks and signals are not those of POSIX.

#[cfg(unix)]
#[macro_use]
pub mod out;

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
pub mod state;
#[cfg(unix)]
pub mod store;
pub mod text;
#[cfg(unix)]
pub mod tool;
