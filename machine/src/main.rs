// SPDX-License-Identifier: Apache-2.0
//! `podman-machine`: machines of boot2podman on this host.

use std::process::ExitCode;

fn main() -> ExitCode {
    machine::cli::run(std::env::args_os().collect())
}
