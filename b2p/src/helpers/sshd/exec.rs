// SPDX-License-Identifier: Apache-2.0
//! The step between sshd and its sshd-session.
//!
//! sshd that runs as inetd's child forks a process that sends the configuration, and becomes
//! sshd-session, which does not wait for that child: a zombie for each session, as long as the
//! session lasts. `SshdSessionPath` names this program in between.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::poll::{PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Path of sshd-session(8).
const SESSION: &str = "/usr/lib/openssh/sshd-session";
/// Milliseconds that the child may take. The configuration fits into the socket, so that the child
/// does not wait for its reader; else the zombie is the lesser evil.
const TIMEOUT_MS: usize = 1_000;

/// Reaps the child of sshd, then executes sshd-session; returns the exit status of a failure.
pub fn exec_session(arguments: &[String]) -> i32 {
    for _ in 0..TIMEOUT_MS {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                let _ = poll(&mut [], PollTimeout::from(1_u8));
            }
            Ok(_) => {}
            Err(_) => break, // No child is left.
        }
    }
    let why = Command::new(SESSION).args(arguments).exec();
    eprintln!("{SESSION}: {why}");
    255
}
