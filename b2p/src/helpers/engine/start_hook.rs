// SPDX-License-Identifier: Apache-2.0
//! `b2p start-hook`: prepares each container that starts. podman runs the helper as a hook of its stage `precreate`
//! (oci-hooks(5)): the hook reads the runtime's configuration from standard input, and writes it, changed or not, to
//! standard output.
//!
//! Policy is the administrator's, so [`apparmor`] is for the containers of root. podman itself sets
//! limits of root's pods, so [`pods`] is for the pods of users.

use std::io::{Read, Write, stdin, stdout};

use sys::error::{Doing, Result};
use sys::syscall;

use super::hook_log::report;
use super::{apparmor, pods};

/// Limit of a configuration: arguments and environment are 2 MiB (execve(2)).
const MAX_CONFIG: u64 = 16 << 20;

/// Runs the hook and returns the exit status. A container that cannot be prepared does not start.
pub fn main() -> i32 {
    match prepare() {
        Ok(()) => 0,
        Err(e) => {
            report(&format!("a container does not start: {e}"));
            1
        }
    }
}

fn prepare() -> Result<()> {
    let mut config = Vec::new();
    let read = stdin().take(MAX_CONFIG).read_to_end(&mut config);
    read.doing("standard input")?;
    let changed = if !syscall::in_initial_user_namespace() {
        let directory = std::env::current_dir().doing("the working directory")?;
        pods::confine(&config, &directory)?
    } else if nix::unistd::geteuid().is_root() {
        apparmor::confine::confine(&config)?
    } else {
        None
    };
    let config = changed.unwrap_or(config);
    stdout().write_all(&config).doing("standard output")
}
