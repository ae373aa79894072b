// SPDX-License-Identifier: Apache-2.0
//! Machines of boot2podman on a host.
//!
//! No daemon: each running machine has one keeper process, and a machine's state follows from
//! locks that the kernel holds for the keeper and for QEMU ([`state`]). Text that people and
//! scripts read is made by pure functions ([`text`]).

pub mod cli;
pub mod clients;
pub mod commands;
pub mod compat;
mod debug;
pub mod driver;
pub mod fault;
pub mod keeper;
pub mod state;
pub mod store;
pub mod text;
pub mod tool;
