// SPDX-License-Identifier: Apache-2.0
//! `podman-machine`: machines of boot2podman on this host.

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    machine::cli::run(std::env::args_os().collect())
}

/// The keeper needs unix sockets, locks and signals of POSIX.
#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("Error: machines do not run under this system yet: run podman-machine in WSL 2");
    ExitCode::from(machine::fault::FAILURE)
}
