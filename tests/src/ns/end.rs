// SPDX-License-Identifier: Apache-2.0
//! Ends of a PID 1.

use std::ffi::c_int;

/// Status with which PID 1 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// PID 1 exited: `init run` does so by design, the PID 1 of a machine never may.
    Exited(i32),
    /// A signal ended PID 1: the kernel's code for a reboot(2), or a fault.
    Killed(i32),
}

/// Converts a raw wait status of an ended process.
pub(super) fn end(status: c_int) -> End {
    if libc::WIFEXITED(status) {
        End::Exited(libc::WEXITSTATUS(status))
    } else {
        End::Killed(libc::WTERMSIG(status))
    }
}
