// SPDX-License-Identifier: Apache-2.0
//! Reboot and power-off without the phases of the shutdown, for a PID 1 that crashes or has no memory. Nothing here
//! uses memory or a descriptor.
#![expect(unsafe_code, reason = "async-signal-safe system calls alone")]

use control::ShutdownKind;
use sys::syscall;

use super::{reap_for_a_second, seconds};

/// Time limit for sync(2), in seconds.
const SYNC_LIMIT_S: u32 = 30;

/// Syncs for a limited time and calls reboot(2). Returns if the kernel refuses; in a container, PID 1 exits.
pub(super) fn reboot_now(kind: ShutdownKind) {
    sync_in_child();
    // SAFETY: integers.
    unsafe { libc::reboot(kind.reboot_mode() as libc::c_int) };
    if syscall::in_other_pid_namespace() {
        syscall::exit(0);
    }
}

/// Syncs in a child, because a server that is gone can block sync(2) for ever. Without memory for a
/// child, PID 1 calls sync(2) itself, as the shutdown does. The function calls clone(2) directly, because
/// fork(3) takes locks, which the crash may have left taken.
fn sync_in_child() {
    // SAFETY: integers. The child has a copy of the stack, and only makes system calls.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if pid <= 0 {
            libc::sync();
        }
        if pid == 0 {
            libc::_exit(0);
        }
        pid as libc::pid_t
    };
    let start = seconds();
    while pid > 0 && !has_ended(pid) && seconds().saturating_sub(start) < SYNC_LIMIT_S {
        // A request during the sync changes nothing: reboot(2) follows.
        let _ = reap_for_a_second();
    }
}

/// Returns true if the child has ended, or was reaped before (ECHILD).
fn has_ended(pid: libc::pid_t) -> bool {
    // SAFETY: integers.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) != 0 }
}
