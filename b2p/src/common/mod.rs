// SPDX-License-Identifier: Apache-2.0
//! Modules shared by the client and the helpers.

pub mod args;
pub mod atomic_file;
pub mod audit;
pub mod certs;
pub mod cgroups;
pub mod clock;
pub mod confined;
pub mod control_client;
pub mod degraded;
pub mod listen_fds;
pub mod log;
pub mod notify;
pub mod owner_program;
pub mod owner_text;
pub mod paths;
pub mod pidfd;
pub mod podman_defaults;
pub mod private_key;
pub mod registry_files;
pub mod sshkey;
pub mod stop;
pub mod table;
pub mod terminal;
#[cfg(test)]
pub mod testing;
pub mod token_bucket;
pub mod tool;
pub mod units;
pub mod users;
